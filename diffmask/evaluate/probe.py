"""Probing: a logistic regression on frozen features."""

import warnings
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler
from tqdm import tqdm
from transformers import AutoModel, PreTrainedTokenizerBase

from diffmask.core.machine import resolve_device
from diffmask.evaluate.encode import Row, encode
from diffmask.evaluate.finetune import Predicted
from diffmask.evaluate.settings import MULTI_LABEL, SINGLE_LABEL, TOKENS, EvaluateSettings
from diffmask.evaluate.task import Task
from diffmask.text.batches import Batches, by_length
from diffmask.text.load import fast_attention, load_weights
from diffmask.text.special import pad_id
from diffmask.text.words import split_words

Folds = list[tuple[np.ndarray, np.ndarray]]
"""For each fold, the rows to fit and the rows to measure on."""
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Prober:
    """Probes one model on one task; its features are computed once, and serve every seed and share.

    A text's features are the mean of the last layer's states over its tokens, special ones included; a word's are the
    state of its first token.
    """

    def __init__(
        self, folder: str, tokenizer: PreTrainedTokenizerBase, task: Task, settings: EvaluateSettings, *, progress: bool
    ):
        self.task, self.settings = task, settings
        device = resolve_device(settings.device)
        self.model, _ = load_weights(AutoModel, folder, **fast_attention(device, settings.precision))
        self.model = cast(Any, self.model).eval().to(device)
        self.batches = Batches(pad_id(tokenizer), task.kind == TOKENS)
        rows = {
            name: encode(split, task.kind, len(task.labels), tokenizer, settings.max_length)
            for name, split in task.splits.items()
        }
        with tqdm(total=sum(map(len, rows.values())), desc="features", unit="text", disable=not progress) as bar:
            self.features = {name: self._features(part, bar) for name, part in rows.items()}

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Fit a logistic regression to some of the training texts and predict; C is chosen by cross-validation.

        Texts of the same words, such as one sentence with marks around other entities, fall into one fold: else a
        regression that knows the sentences by heart would be chosen. Where no folds can be made so, or one would be
        fitted to a single label, C is the middle one of those to try, and `cross_validated` is None.
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
        """Return a number for each text, equal for texts of the same words."""
        texts = self.task.train.joined()
        numbers: dict[tuple[str, ...], int] = {}
        return [numbers.setdefault(tuple(sorted(split_words(texts[place]))), len(numbers)) for place in train]

    def _predictions(self, fitted: Any, split: str) -> list[Any]:
        features = self.features[split]
        guessed = fitted.predict(np.concatenate(features))
        if self.task.kind != TOKENS:
            return _as_labels(guessed, self.task.kind)
        ends = np.cumsum([len(each) for each in features])
        return [part.tolist() for part in np.split(guessed, ends[:-1])]

    @torch.inference_mode()
    def _features(self, rows: Sequence[Row], bar: tqdm) -> list[np.ndarray]:
        """Return the features of each example: one row (1, D), or one for each word (W, D)."""
        found: list[Any] = [None] * len(rows)
        order, size = by_length(rows), self.settings.eval_batch_size
        device, kind = self.model.device, _TYPES[self.settings.precision]
        for start in range(0, len(order), size):
            places = order[start : start + size]
            batch = {name: value.to(device) for name, value in self.batches.inputs([rows[p] for p in places]).items()}
            with torch.autocast(device.type, kind, enabled=kind != torch.float32):
                states = self.model(**batch).last_hidden_state.float()
            valid = batch["attention_mask"][..., None]
            means = ((states * valid).sum(1) / valid.sum(1)).cpu().numpy()
            for row, place in enumerate(places):
                found[place] = self._of_words(rows[place], states[row]) if self.batches.of_words else means[row][None]
            bar.update(len(places))
        return found

    def _of_words(self, row: Row, states: torch.Tensor) -> np.ndarray:
        """Return the states of a row's words (W, D); of words that the model did not read, zeros."""
        places = torch.tensor(row["words"], device=states.device)
        return torch.where(places[:, None] >= 0, states[places.clamp_min(0)], 0.0).cpu().numpy()


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
