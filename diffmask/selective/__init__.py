"""Selective masking: a scorer of the tokens that a labelled task needs.

`make` builds the scorer, from the texts that `task` reads and the words that `gain` finds a classifier to need.
"""
