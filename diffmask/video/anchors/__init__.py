"""video/anchors."""
