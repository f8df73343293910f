"""Scores of positions by a model, computed once and kept beside the rows (the verb: score, by position).

position_scores.py   the interface `PositionScorer`, and the scores of units as a column of the rows
attention.py         what a frozen teacher attends to
gain_scorer.py       how much a task needs each token
"""
