"""video/score."""
