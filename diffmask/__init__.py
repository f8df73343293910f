"""Continued pretraining that chooses what to mask by how much it makes a domain different."""

__version__ = "0.1.0"
