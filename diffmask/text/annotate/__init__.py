"""text/annotate."""
