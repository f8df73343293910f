"""Fine-tuning on texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from diffmask.config.evaluation import MULTI_LABEL, SINGLE_LABEL, TOKENS, EvaluateSettings
from diffmask.core.machine import fast_attention
from diffmask.evaluate.methods.predicted import Predicted
from diffmask.evaluate.methods.tuner import Tuner
from diffmask.tasks.encode import Row, encode
from diffmask.tasks.splits import Split
from diffmask.tasks.task import Task
from diffmask.text.model.load import load_weights
from diffmask.text.segment.batches import Batches, by_length
from diffmask.text.segment.special import pad_id

PROBLEMS = {SINGLE_LABEL: "single_label_classification", MULTI_LABEL: "multi_label_classification"}
"""What transformers calls the kinds of task."""


class Finetuner(Tuner):
    """Fine-tunes one model of text on one task, for any seed and any share of its training texts."""

    sampling = "group_by_length"

    def __init__(
        self,
        folder: str,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        settings: EvaluateSettings,
        *,
        output: Path,
        progress: bool,
    ):
        super().__init__(task, settings, settings.finetune, output=output, progress=progress)
        self.folder, self.tokenizer = folder, tokenizer
        self.collate = Batches(pad_id(tokenizer), task.kind == TOKENS)
        self.fallback = 0
        self._encoded = {name: self.training_rows(task.splits[name], 0) for name in ("dev", "test")}

    def predict(self, train: Split, seed: int) -> Predicted:
        """Fine-tune and predict; words that the model does not read get the most frequent label."""
        self.fallback = _most_frequent(train, self.task)
        return super().predict(train, seed)

    def load(self, device: torch.device) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """Return the model with a classifier of the task's labels."""
        names = self.task.labels
        kind = AutoModelForTokenClassification if self.task.kind == TOKENS else AutoModelForSequenceClassification
        options: dict[str, Any] = {} if self.task.kind == TOKENS else {"problem_type": PROBLEMS[self.task.kind]}
        return load_weights(
            kind,
            self.folder,
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: row for row, name in enumerate(names)},
            **options,
            **fast_attention(device, self.settings.precision),
        )

    def training_rows(self, split: Split, seed: int) -> list[Row]:
        """Return the texts as token ids."""
        return encode(split, self.task.kind, len(self.task.labels), self.tokenizer, self.settings.max_length)

    def rows(self, split: str) -> tuple[list[Row], list[int]]:
        """Return the texts from the shortest to the longest, which saves padding."""
        rows = self._encoded[split]
        order = by_length(rows)
        return [rows[place] for place in order], order

    def decode(self, logits: Any, rows: Sequence[Row]) -> list[Any]:
        """Return labels from logits (B, C) or (B, L, C)."""
        logits = logits[0] if isinstance(logits, tuple) else logits
        if self.task.kind != TOKENS:
            return decode(logits, self.task.kind)
        guessed = logits.argmax(-1)
        return [
            [int(guessed[place, first]) if first >= 0 else self.fallback for first in row["words"]]
            for place, row in enumerate(rows)
        ]


def decode(logits: Any, kind: str) -> list[Any]:
    """Return the label of each row of logits, an array (B, C), or its labels where there may be several."""
    if kind == SINGLE_LABEL:
        return logits.argmax(-1).tolist()
    return [np.flatnonzero(row > 0).tolist() for row in logits]


def _most_frequent(train: Split, task: Task) -> int:
    """Return the most frequent label of words; other kinds of task have no use for it."""
    if task.kind != TOKENS:
        return 0
    return int(np.bincount([label for labels in train.labels for label in labels]).argmax())
