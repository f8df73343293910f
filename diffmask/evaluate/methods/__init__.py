"""evaluate/methods."""
