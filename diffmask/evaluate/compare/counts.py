"""Scores as ratios of sums over texts, so that the score of a resampled test set is one matrix product away.

Each metric here is a mean of ratios `sum of numerators / sum of denominators`: accuracy is right / all; F1 is
`2 * true positives / (predicted + given)`, of all classes together (micro) or of each (macro). A text adds its own
share to both sums, however many labels or words it has.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from diffmask.config.evaluation import MULTI_LABEL, SINGLE_LABEL, TOKENS
from diffmask.tasks.metrics import OUTSIDE


def count(
    metric: str,
    kind: str,
    labels: Sequence[str],
    targets: Sequence[Any],
    predictions: Sequence[Any],
    *,
    outside: str | None = OUTSIDE,
) -> np.ndarray:
    """Return what each text adds to the sums: float32 (N, 2, G), numerators and denominators of G ratios.

    Args:
        metric: micro_f1, macro_f1 or accuracy.
        kind: single-label, multi-label or tokens.
        labels: Names of the labels.
        targets: Of each text: a row of `labels`, a list of rows, or one row per word.
        predictions: The same shape.
        outside: For tokens, the label of words that are part of nothing.
    """
    if metric == "accuracy":
        return _accuracy(kind, targets, predictions)
    num_texts, num_labels = len(targets), len(labels)
    given, guessed = _pairs(kind, targets), _pairs(kind, predictions)
    if kind == MULTI_LABEL:
        first, second = (texts * num_labels + rows for texts, rows in (given, guessed))
        found = np.intersect1d(first, second)
        hits = (found // num_labels, found % num_labels)
    else:  # one prediction for each target, in the same order
        hits = tuple(each[given[1] == guessed[1]] for each in given)
    right, of_target, of_guess = (_table(pair, num_texts, num_labels) for pair in (hits, given, guessed))
    sums = np.stack([2.0 * right, of_target + of_guess], axis=1)
    if kind == TOKENS:
        sums = sums[:, :, [row for row, name in enumerate(labels) if name != outside]]
    if metric == "micro_f1":
        sums = sums.sum(axis=2, keepdims=True)
    return sums.astype(np.float32)


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return scores (...) from sums (..., 2, G): the mean of the ratios whose denominator is not 0, or 0.

    A class that neither the targets nor the predictions hold says nothing, as in scikit-learn.
    """
    top, bottom = sums[..., 0, :].astype(np.float64), sums[..., 1, :].astype(np.float64)
    known = bottom > 0
    ratios = np.divide(top, bottom, out=np.zeros_like(top), where=known)
    return ratios.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)


def _accuracy(kind: str, targets: Sequence[Any], predictions: Sequence[Any]) -> np.ndarray:
    if kind == TOKENS:
        pairs = zip(targets, predictions, strict=True)
        right = [sum(map(int.__eq__, words, guesses)) for words, guesses in pairs]
        size = [len(words) for words in targets]
    elif kind == MULTI_LABEL:
        right = [set(rows) == set(guesses) for rows, guesses in zip(targets, predictions, strict=True)]
        size = [1] * len(right)
    else:
        right = np.asarray(targets) == np.asarray(predictions)
        size = [1] * len(right)
    return np.stack([right, size], axis=1).astype(np.float32)[:, :, None]


def _pairs(kind: str, rows: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the text and the label of everything that is labelled."""
    if kind == SINGLE_LABEL:
        return np.arange(len(rows)), np.asarray(rows, np.int64)
    lists = [sorted(set(each)) for each in rows] if kind == MULTI_LABEL else rows
    texts = np.repeat(np.arange(len(lists)), [len(each) for each in lists])
    return texts, np.array([row for each in lists for row in each], np.int64)


def _table(pairs: tuple[np.ndarray, ...], num_texts: int, num_labels: int) -> np.ndarray:
    """Return how often each text (row) has each label (column)."""
    places = pairs[0] * num_labels + pairs[1]
    return np.bincount(places, minlength=num_texts * num_labels).reshape(num_texts, num_labels)
