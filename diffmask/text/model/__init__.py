"""text/model."""
