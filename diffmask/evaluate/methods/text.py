"""Fine-tuning on texts.

Frozen features of texts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from diffmask.config.evaluation import MULTI_LABEL, SINGLE_LABEL, TOKENS, EvaluateSettings
from diffmask.core.machine import fast_attention, resolve_device
from diffmask.evaluate.methods.tuner import Tuner
from diffmask.tasks.encode import Row, encode
from diffmask.tasks.metrics import Predicted
from diffmask.tasks.task import Split, Task
from diffmask.text.corpus.words import split_words
from diffmask.text.model.load import load_weights
from diffmask.text.segment.pad import PadLabelled
from diffmask.text.segment.segmenter import pad_id

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
        self.collate = PadLabelled(pad_id(tokenizer), task.kind == TOKENS)
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
        order = _by_length(rows)
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


TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What a precision is called in torch."""


def word_keys(split: Split) -> list[tuple[str, ...]]:
    """Return a key for each text, equal for texts of the same words, such as one with marks around other entities."""
    return [tuple(sorted(split_words(text))) for text in split.joined()]


def text_features(
    folder: str, tokenizer: PreTrainedTokenizerBase, task: Task, settings: EvaluateSettings, *, progress: bool
) -> dict[str, list[np.ndarray]]:
    """Return the features of each text of each split: one row (1, D), or one for each word (W, D).

    A text's features are the mean of the last layer's states over its tokens, special ones included; a word's are the
    state of its first token.

    Args:
        folder: Of the model, or its name.
        tokenizer: Its tokenizer.
        task: The task.
        settings: How.
        progress: Show a progress bar.

    Raises:
        InputError: If there is no such model.
    """
    device = resolve_device(settings.device)
    model, _ = load_weights(AutoModel, folder, **fast_attention(device, settings.precision))
    encoder = _Encoder(
        cast(Any, model).eval().to(device), PadLabelled(pad_id(tokenizer), task.kind == TOKENS), settings
    )
    rows = {
        name: encode(split, task.kind, len(task.labels), tokenizer, settings.max_length)
        for name, split in task.splits.items()
    }
    with tqdm(total=sum(map(len, rows.values())), desc="features", unit="text", disable=not progress) as bar:
        return {name: encoder.features(part, bar) for name, part in rows.items()}


class _Encoder:
    def __init__(self, model: Any, batches: PadLabelled, settings: EvaluateSettings):
        self.model, self.batches, self.settings = model, batches, settings

    @torch.inference_mode()
    def features(self, rows: Sequence[Row], bar: tqdm) -> list[np.ndarray]:
        """Return the features of each row; the model reads them by length."""
        found: list[Any] = [None] * len(rows)
        order, size = _by_length(rows), self.settings.eval_batch_size
        device, kind = self.model.device, TYPES[self.settings.precision]
        for start in range(0, len(order), size):
            places = order[start : start + size]
            batch = {name: value.to(device) for name, value in self.batches.inputs([rows[p] for p in places]).items()}
            with torch.autocast(device.type, kind, enabled=kind != torch.float32):
                states = self.model(**batch).last_hidden_state.float()
            valid = batch["attention_mask"][..., None]
            means = ((states * valid).sum(1) / valid.sum(1)).cpu().numpy()
            for row, place in enumerate(places):
                found[place] = _of_words(rows[place], states[row]) if self.batches.of_words else means[row][None]
            bar.update(len(places))
        return found


def _of_words(row: Row, states: torch.Tensor) -> np.ndarray:
    """Return the states of a row's words (W, D); of words that the model did not read, zeros."""
    places = torch.tensor(row["words"], device=states.device)
    return torch.where(places[:, None] >= 0, states[places.clamp_min(0)], 0.0).cpu().numpy()


def _by_length(rows: Sequence[Row]) -> list[int]:
    """Return the places of the rows from the shortest to the longest, which saves padding."""
    return sorted(range(len(rows)), key=lambda place: len(rows[place]["input_ids"]))
