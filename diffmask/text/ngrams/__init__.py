"""text/ngrams."""
