"""text/segment."""
