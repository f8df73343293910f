"""video/units."""
