"""Continued pretraining on top of the Hugging Face Trainer."""
