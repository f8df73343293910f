"""video/index."""
