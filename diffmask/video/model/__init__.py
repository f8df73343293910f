"""video/model."""
