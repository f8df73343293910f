"""video/read."""
