"""Evaluate models on labelled tasks: leakage between splits, fine-tuning, probes, comparisons."""
