"""Methods on frozen features: a logistic regression, the nearest neighbours, and an attentive probe.

All of them take features that were computed once, and serve every seed and share.
"""

import math
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from diffmask.config.evaluation import MULTI_LABEL, SINGLE_LABEL, TOKENS, EvaluateSettings
from diffmask.core.machine import resolve_device
from diffmask.evaluate.methods.tuner import decode
from diffmask.evaluate.modality import Predicted
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


TEMPERATURE = 0.07
"""Of the neighbours' weights, exp(similarity / temperature) (Wu et al. 2018; Caron et al. 2021, DINO)."""


class Neighbours:
    """Labels clips as those of the training clips that are most alike; there is nothing to train, and no chance in it.

    Features are centred by the mean of the training clips: encoders give all clips one large part in common.

    Attributes:
        features: For each split, float (N, D).
        task: The task.
        settings: How.
    """

    def __init__(self, features: dict[str, Tensor], task: Task, settings: EvaluateSettings):
        self.features, self.task, self.settings = features, task, settings

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Predict by some of the training clips; the dev split chooses how many neighbours, the fewest of equals."""
        known = self.features["train"][list(train)]
        mean = known.mean(0)
        known = normalize(known - mean, dim=1)
        labels = _label_table([self.task.train.labels[place] for place in train], len(self.task.labels))
        counts = sorted({min(count, len(train)) for count in self.settings.video.neighbours})
        votes = {
            split: _votes(normalize(self.features[split] - mean, dim=1) @ known.T, labels, counts)
            for split in ("dev", "test")
        }
        scores = {
            count: self.task.score(self.task.dev.labels, self._decode(votes["dev"][count]))[self.settings.metric]
            for count in counts
        }
        best = max(counts, key=lambda count: (scores[count], -count))
        dev, test = (self._decode(votes[split][best]) for split in ("dev", "test"))
        return Predicted(dev, test, {"neighbours": best, "dev": scores[best]})

    def _decode(self, votes: Tensor) -> list[Any]:
        if self.task.kind == MULTI_LABEL:
            return [torch.nonzero(row > 0.5).flatten().tolist() for row in votes]
        return votes.argmax(1).tolist()


def _label_table(labels: Sequence[Any], num_labels: int) -> Tensor:
    """Return ones where an example has a label, (N, C)."""
    table = torch.zeros(len(labels), num_labels)
    for row, label in enumerate(labels):
        table[row, label] = 1.0
    return table


def _votes(similarity: Tensor, labels: Tensor, counts: Sequence[int]) -> dict[int, Tensor]:
    """Return for each number of neighbours the share of the votes of each label, (M, C)."""
    values, places = similarity.topk(max(counts), dim=1)
    weights = ((values - values[:, :1]) / TEMPERATURE).exp()
    found = {}
    for count in counts:
        part = weights[:, :count, None]
        found[count] = (part * labels[places[:, :count]]).sum(1) / part.sum(1)
    return found


class AttentivePool(nn.Module):
    """Pools tokens by attention and tells labels.

    Args:
        mean: Mean of the training tokens, (D,), by which tokens are standardised.
        std: Standard deviation of the training tokens, (D,).
        num_heads: Number of queries; each weighs the tokens, and pools its own part of their dimensions.
        num_labels: Number of labels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, num_heads: int, num_labels: int):
        super().__init__()
        width = len(mean)
        self.heads = math.gcd(num_heads, width)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        # queries of zero begin as the mean over the tokens
        self.queries = nn.Parameter(torch.zeros(self.heads, width))
        self.classify = nn.Linear(width, num_labels)
        nn.init.zeros_(self.classify.weight)
        nn.init.zeros_(self.classify.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (B, C) of tokens (B, L, D)."""
        states = (tokens.float() - self.mean) / self.std
        weights = (states @ self.queries.T / math.sqrt(states.shape[2])).softmax(1)
        pooled = torch.einsum("blh,blhd->bhd", weights, states.unflatten(2, (self.heads, -1)))
        return self.classify(pooled.flatten(1))


class AttentiveProber:
    """Trains an attentive probe for any seed and any share of the training clips.

    Attributes:
        tokens: Of all clips, (N, L, D).
        rows: For each split, the rows of its clips.
        task: The task.
        settings: How.
    """

    def __init__(self, tokens: Tensor, rows: Mapping[str, Sequence[int]], task: Task, settings: EvaluateSettings):
        self.tokens, self.rows, self.task, self.settings = tokens, rows, task, settings
        self.device = resolve_device(settings.device)

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Train on some of the training clips at each learning rate; the dev split chooses the rate and the epoch."""
        best: tuple[dict[str, Any], list[Any], list[Any]] | None = None
        for rate in self.settings.video.attentive.learning_rates:
            chosen, dev, test = self._train(train, rate, seed)
            if best is None or chosen["dev"] > best[0]["dev"]:
                best = chosen, dev, test
        assert best is not None
        return Predicted(best[1], best[2], best[0])

    def _train(self, train: Sequence[int], rate: float, seed: int) -> tuple[dict[str, Any], list[Any], list[Any]]:
        settings = self.settings.video.attentive
        rows = torch.tensor([self.rows["train"][place] for place in train])
        targets = self._targets([self.task.train.labels[place] for place in train])
        probe = AttentivePool(*_spread(self.tokens, rows), settings.heads, len(self.task.labels)).to(self.device)
        optimizer = torch.optim.AdamW(probe.parameters(), rate, weight_decay=settings.weight_decay)
        num_steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
        random = torch.Generator().manual_seed(seed)
        best: dict[str, Any] = {"dev": -1.0}
        dev, state = [], {}
        for epoch in range(1, settings.epochs + 1):
            for part in torch.randperm(len(rows), generator=random).split(settings.batch_size):
                loss = self._loss(probe(self._take(rows[part])), targets[part].to(self.device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                decay.step()
            guessed = self._predict(probe, "dev")
            score = self.task.score(self.task.dev.labels, guessed)[self.settings.metric]
            if score > best["dev"]:
                best = {"learning_rate": rate, "dev": score, "epoch": epoch, "epochs": settings.epochs}
                dev, state = guessed, {name: value.clone() for name, value in probe.state_dict().items()}
        probe.load_state_dict(state)
        return best, dev, self._predict(probe, "test")

    def _take(self, rows: Tensor) -> Tensor:
        return self.tokens[rows].to(self.device)

    def _targets(self, labels: Sequence[Any]) -> Tensor:
        if self.task.kind != MULTI_LABEL:
            return torch.tensor(labels)
        return _label_table(labels, len(self.task.labels))

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.task.kind == MULTI_LABEL:
            return binary_cross_entropy_with_logits(logits, targets)
        return cross_entropy(logits, targets)

    @torch.no_grad()
    def _predict(self, probe: AttentivePool, split: str) -> list[Any]:
        rows = torch.tensor(self.rows[split])
        parts = [probe(self._take(part)) for part in rows.split(self.settings.eval_batch_size)]
        return decode(torch.cat(parts).cpu().numpy(), self.task.kind)


def _spread(tokens: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of some clips' tokens, (D,), a few clips at a time."""
    total, squares = (
        torch.zeros(tokens.shape[2], dtype=torch.float64),
        torch.zeros(tokens.shape[2], dtype=torch.float64),
    )
    for part in rows.split(64):
        states = tokens[part].double().flatten(0, 1)
        total, squares = total + states.sum(0), squares + states.square().sum(0)
    count = len(rows) * tokens.shape[1]
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(0.0).sqrt()
    return mean.float(), deviation.float().clamp_min(1e-6)
