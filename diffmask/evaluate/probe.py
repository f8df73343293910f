"""Probing: a logistic regression on frozen features."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler
from tqdm import tqdm
from transformers import AutoModel, PreTrainedTokenizerBase

from diffmask.evaluate.batches import Batches, by_length
from diffmask.evaluate.encode import Row, encode
from diffmask.evaluate.finetune import Predicted
from diffmask.evaluate.settings import MULTI_LABEL, TOKENS, EvaluateSettings
from diffmask.evaluate.task import Task
from diffmask.text.encoder import resolve_device
from diffmask.text.load import fast_attention, load_weights
from diffmask.text.words import split_words

_SCORING = {"accuracy": "accuracy", "micro_f1": "f1_micro", "macro_f1": "f1_macro"}
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
        self.batches = Batches(cast(int, tokenizer.pad_token_id), task.kind == TOKENS)
        rows = {
            name: encode(split, task.kind, len(task.labels), tokenizer, settings.max_length)
            for name, split in task.splits.items()
        }
        with tqdm(total=sum(map(len, rows.values())), desc="features", unit="text", disable=not progress) as bar:
            self.features = {name: self._features(part, bar) for name, part in rows.items()}

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Fit a logistic regression to some of the training texts and predict; C is chosen by cross-validation.

        Texts of the same words, such as one sentence with marks around other entities, fall into one fold: else a
        regression that knows the sentences by heart would be chosen.
        """
        features = [self.features["train"][place] for place in train]
        labels = [self.task.train.labels[place] for place in train]
        groups = self._groups(train)
        search, targets = self._search(labels, min(self.settings.probe.folds, len(set(groups))), seed)
        search.fit(np.concatenate(features), targets, groups=np.repeat(groups, [len(each) for each in features]))
        name = next(iter(search.best_params_))
        dev, test = (self._predictions(search, split) for split in ("dev", "test"))
        return Predicted(dev, test, {"C": search.best_params_[name], "cross_validated": float(search.best_score_)})

    def _search(self, labels: list[Any], num_folds: int, seed: int) -> tuple[GridSearchCV, np.ndarray]:
        probe = self.settings.probe
        regression: Any = LogisticRegression(max_iter=probe.max_iterations)
        name = "logisticregression__C"
        if self.task.kind == MULTI_LABEL:
            regression, name = OneVsRestClassifier(regression), "onevsrestclassifier__estimator__C"
            targets = np.asarray(MultiLabelBinarizer(classes=range(len(self.task.labels))).fit_transform(labels))
        else:
            targets = np.array([label for row in labels for label in row] if self.task.kind == TOKENS else labels)
        pipeline = make_pipeline(StandardScaler(), regression)
        folds = GroupKFold(num_folds, shuffle=True, random_state=seed)
        grid = {name: list(probe.regularisations)}
        return GridSearchCV(pipeline, grid, scoring=_SCORING[self.settings.metric], cv=folds), targets

    def _groups(self, train: Sequence[int]) -> list[int]:
        """Return a number for each text, equal for texts of the same words."""
        texts = self.task.train.joined()
        numbers: dict[tuple[str, ...], int] = {}
        return [numbers.setdefault(tuple(sorted(split_words(texts[place]))), len(numbers)) for place in train]

    def _predictions(self, search: GridSearchCV, split: str) -> list[Any]:
        features = self.features[split]
        guessed = search.predict(np.concatenate(features))
        if self.task.kind == MULTI_LABEL:
            return [np.flatnonzero(row).tolist() for row in guessed]
        if self.task.kind != TOKENS:
            return guessed.tolist()
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
