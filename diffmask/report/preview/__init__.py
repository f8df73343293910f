"""report/preview."""
