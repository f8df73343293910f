"""report/clips."""
