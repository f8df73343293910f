"""text/score."""
