"""evaluate/compare."""
