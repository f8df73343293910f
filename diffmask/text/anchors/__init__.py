"""text/anchors."""
