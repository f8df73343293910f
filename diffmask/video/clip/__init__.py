"""video/clip."""
