"""Probing: a logistic regression on frozen features."""

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler

from diffmask.config.evaluation import MULTI_LABEL, SINGLE_LABEL, TOKENS, EvaluateSettings
from diffmask.evaluate.methods.predicted import Predicted
from diffmask.tasks.task import Task

Folds = list[tuple[np.ndarray, np.ndarray]]
"""For each fold, the rows to fit and the rows to measure on."""


class Prober:
    """Probes features on one task; they are computed once, and serve every seed and share.

    Attributes:
        features: For each split, of each example an array (1, D), or (W, D) with a row for each word.
        keys: Of each training example, the same for those that must fall into one fold.
        task: The task.
        settings: How.
    """

    def __init__(
        self,
        features: Mapping[str, Sequence[np.ndarray]],
        keys: Sequence[Hashable],
        task: Task,
        settings: EvaluateSettings,
    ):
        self.features, self.keys, self.task, self.settings = features, keys, task, settings

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Fit a logistic regression to some of the training examples and predict; C is chosen by cross-validation.

        Examples of one key fall into one fold: else a regression that knows them by heart would be chosen. Where no
        folds can be made so, or one would be fitted to a single label, C is the middle one of those to try, and
        `cross_validated` is None.
        """
        features = [self.features["train"][place] for place in train]
        targets = self._targets([self.task.train.labels[place] for place in train])
        groups = np.repeat(self._groups(train), [len(each) for each in features])
        folds = make_folds(targets, groups, self.settings.probe.folds, seed, self.task.kind)
        fitted, chosen = self._fit(np.concatenate(features), targets, folds)
        dev, test = (self._predictions(fitted, split) for split in ("dev", "test"))
        return Predicted(dev, test, chosen)

    def _targets(self, labels: list[Any]) -> np.ndarray:
        """Return one label for each row of features, or a row of zeros and ones where a text has several."""
        if self.task.kind == MULTI_LABEL:
            table = MultiLabelBinarizer(classes=range(len(self.task.labels)))
            return np.asarray(table.fit_transform(labels))
        return np.array(list(chain(*labels)) if self.task.kind == TOKENS else labels)

    def _fit(self, features: np.ndarray, targets: np.ndarray, folds: Folds | None) -> tuple[Any, dict[str, Any]]:
        """Return a fitted regression, and how its C was chosen."""
        probe = self.settings.probe
        regression: Any = LogisticRegression(max_iter=probe.max_iterations)
        name = "logisticregression__C"
        if self.task.kind == MULTI_LABEL:
            regression, name = OneVsRestClassifier(regression), "onevsrestclassifier__estimator__C"
        pipeline = make_pipeline(StandardScaler(), regression)
        if folds is None:
            middle = sorted(probe.regularisations)[len(probe.regularisations) // 2]
            fitted = pipeline.set_params(**{name: middle}).fit(features, targets)
            return fitted, {"C": middle, "cross_validated": None}
        grid = {name: list(probe.regularisations)}
        search = GridSearchCV(pipeline, grid, scoring=self._scorer(), cv=folds).fit(features, targets)
        return search, {"C": search.best_params_[name], "cross_validated": float(search.best_score_)}

    def _scorer(self) -> Callable[[Any, np.ndarray, np.ndarray], float]:
        """Return what measures a fold, in the way the splits are measured."""
        task, metric = self.task, self.settings.metric

        def measure(fitted: Any, features: np.ndarray, targets: np.ndarray) -> float:
            given, guessed = (_as_labels(each, task.kind) for each in (targets, fitted.predict(features)))
            return task.score(given, guessed)[metric]

        return measure

    def _groups(self, train: Sequence[int]) -> list[int]:
        """Return a number for each example, equal for those of one key."""
        numbers: dict[Hashable, int] = {}
        return [numbers.setdefault(self.keys[place], len(numbers)) for place in train]

    def _predictions(self, fitted: Any, split: str) -> list[Any]:
        features = self.features[split]
        guessed = fitted.predict(np.concatenate(features))
        if self.task.kind != TOKENS:
            return _as_labels(guessed, self.task.kind)
        ends = np.cumsum([len(each) for each in features])
        return [part.tolist() for part in np.split(guessed, ends[:-1])]


def _as_labels(rows: np.ndarray, kind: str) -> list[Any]:
    """Return what a regression predicts as `score` reads it; all words as those of one text."""
    if kind == MULTI_LABEL:
        return [np.flatnonzero(row).tolist() for row in rows]
    return [rows.tolist()] if kind == TOKENS else rows.tolist()


def make_folds(targets: np.ndarray, groups: np.ndarray, num_folds: int, seed: int, kind: str) -> Folds | None:
    """Return folds that leave groups whole, or None if there are none from which something can be learned.

    Args:
        targets: A label for each row, or zeros and ones for each of several.
        groups: Number of the group of each row.
        num_folds: How many; fewer where there are fewer groups.
        seed: Of the order.
        kind: With one label for each text, the labels are spread evenly over the folds.
    """
    num_folds = min(num_folds, len(set(groups.tolist())))
    if num_folds < 2:
        return None
    if kind == SINGLE_LABEL:
        num_folds = min(num_folds, int(np.bincount(targets).max()))
        if num_folds < 2:
            return None
    splitter = StratifiedGroupKFold if kind == SINGLE_LABEL else GroupKFold
    with warnings.catch_warnings():
        # a rare label cannot be in every fold
        warnings.filterwarnings("ignore", "The least populated class in y", UserWarning)
        made = splitter(num_folds, shuffle=True, random_state=seed).split(np.zeros(len(groups)), targets, groups)
        folds = list(made)
    if any(not len(measured) or len(np.unique(targets[fit], axis=0)) < 2 for fit, measured in folds):
        return None
    return folds
