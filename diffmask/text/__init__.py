"""Masked language models: from files of text to the loss of what was masked.

corpus -> segment (with annotate, ngrams) -> rows on the disk; anchors and score say what to mask in them; model reads,
corrupts and predicts. `adapter.py` is how training sees all of it: rows become units, masks become labels.
`collator.py` is for people with their own training loop.
"""
