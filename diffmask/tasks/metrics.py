"""Scores of predictions, by scikit-learn, which is imported only where something is scored."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from diffmask.config.evaluation import MULTI_LABEL, RECALLS, RETRIEVAL, TOKENS

OUTSIDE = "O"
"""What the label of words that are part of nothing is usually called; F1 over words leaves it out."""


def score(
    kind: str,
    labels: Sequence[str],
    targets: Sequence[Any],
    predictions: Sequence[Any],
    *,
    outside: str | None = OUTSIDE,
) -> dict[str, Any]:
    """Return accuracy, micro- and macro-F1, the scores of each class and the confusion matrix.

    Accuracy is the share of texts (of words, for tokens) that are entirely right. Macro-F1 is the mean over the classes
    that occur in the targets or the predictions. For tokens, the label `outside` counts for accuracy and for no F1.
    With one label per text, micro-F1 is accuracy. Of retrieval, see `score_ranks`.

    Args:
        kind: single-label, multi-label, tokens or retrieval.
        labels: Names of the labels.
        targets: Rows of `labels`, as in `Split.labels`.
        predictions: What was predicted, in the same shape.
        outside: For tokens, the label of words that are part of nothing.

    Returns:
        accuracy, micro_f1 and macro_f1 in [0, 1], per_class by name, and confusion (targets by predictions), or None
        where a text has several labels.
    """
    if kind == RETRIEVAL:
        return score_ranks(labels, targets, predictions)
    from sklearn.metrics import accuracy_score, confusion_matrix

    given, guessed = _arrays(kind, labels, targets, predictions)
    counted = [row for row, name in enumerate(labels) if not (kind == TOKENS and name == outside)]
    several = kind == MULTI_LABEL
    rows = list(range(len(labels)))
    precision, recall, f1, support = _by_label(given, guessed, rows, average=None)
    seen = [row for row in counted if support[row] or np.any(guessed[:, row] if several else guessed == row)]
    micro = _by_label(given, guessed, counted, average="micro")[2]
    return {
        "accuracy": float(accuracy_score(given, guessed)),
        "micro_f1": float(micro),
        "macro_f1": float(np.mean(f1[seen])) if seen else 0.0,
        "per_class": {
            name: {
                "precision": float(precision[row]),
                "recall": float(recall[row]),
                "f1": float(f1[row]),
                "support": int(support[row]),
            }
            for row, name in enumerate(labels)
        },
        "confusion": None if several else confusion_matrix(given, guessed, labels=rows).tolist(),
    }


def score_ranks(directions: Sequence[str], targets: Sequence[int], ranks: Sequence[int]) -> dict[str, Any]:
    """Return recall at 1, 5 and 10, the median and the mean rank: of each direction of retrieval, and their means.

    Args:
        directions: Names of the directions, such as "text to clip".
        targets: Direction of each search, as a row of these.
        ranks: Place of the first right one among what each search finds, from 1 on.
    """
    found: dict[str, dict[str, float]] = {}
    for row, name in enumerate(directions):
        own = np.array([rank for target, rank in zip(targets, ranks, strict=True) if target == row])
        if len(own):
            recalls = {key: float(np.mean(own <= most)) for most, key in RECALLS.items()}
            found[name] = recalls | {"median_rank": float(np.median(own)), "mean_rank": float(np.mean(own))}
    names = next(iter(found.values()), {})
    return {key: float(np.mean([each[key] for each in found.values()])) for key in names} | {"per_class": found}


def _by_label(given: np.ndarray, guessed: np.ndarray, rows: list[int], *, average: str | None) -> tuple[Any, ...]:
    """Return precision, recall, F1 and support; what has no prediction or no target scores 0."""
    from sklearn.metrics import precision_recall_fscore_support

    nothing: Any = 0  # a number is allowed, though the type hint says otherwise
    return precision_recall_fscore_support(given, guessed, labels=rows, average=average, zero_division=nothing)


def _arrays(
    kind: str, labels: Sequence[str], targets: Sequence[Any], predictions: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray]:
    if kind == MULTI_LABEL:
        from sklearn.preprocessing import MultiLabelBinarizer

        table = MultiLabelBinarizer(classes=list(range(len(labels))))
        return np.asarray(table.fit_transform(targets)), np.asarray(table.fit_transform(predictions))
    if kind == TOKENS:
        return np.array(list(chain(*targets))), np.array(list(chain(*predictions)))
    return np.array(targets), np.array(predictions)
