"""report/compare."""
