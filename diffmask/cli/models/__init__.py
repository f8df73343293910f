"""Commands that make a model from a model."""
