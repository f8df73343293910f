"""The text adapter: corpora, words, tokens, units, corruption, the masked forward pass."""
