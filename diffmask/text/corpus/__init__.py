"""text/corpus."""
