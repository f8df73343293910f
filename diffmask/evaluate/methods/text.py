"""The methods for texts: fine-tuning, and a probe of the last layer's states."""

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
    PreTrainedTokenizerBase,
)

from diffmask.config.evaluation import FINETUNE, PROBE, TOKENS, EvaluateSettings
from diffmask.core.machine import fast_attention, resolve_device
from diffmask.evaluate.methods.frozen import Prober
from diffmask.evaluate.methods.tuner import PRECISIONS, Tuner, decode
from diffmask.evaluate.modality import ModalityMethods, Predict, Predicted
from diffmask.tasks.task import Row, Split, Task, read_task
from diffmask.text.corpus.words import split_words
from diffmask.text.model.fit import check_length
from diffmask.text.model.load import load_tokenizer, load_weights
from diffmask.text.segment.pad import PadLabelled
from diffmask.text.segment.segmenter import pad_id


class TextMethods(ModalityMethods):
    """The methods for texts; any model that is of no other modality is taken for one of text."""

    name = "text"
    methods = (FINETUNE, PROBE)
    read_by = {"finetune.": FINETUNE, "probe.": PROBE}
    unread = {"video.": "", "video_text.": ""}

    def check(self, settings: EvaluateSettings, config: Any) -> None:
        """Refuse also texts that are longer than what the model has positions for."""
        super().check(settings, config)
        check_length(config, settings.max_length)

    def read_task(self, settings: EvaluateSettings, *, progress: bool) -> Task:
        """Read the task's files."""
        return read_task(settings.task)

    def predictor(
        self, folder: str, task: Task, settings: EvaluateSettings, *, output: Path, progress: bool
    ) -> Predict:
        """Return what fine-tunes, or what probes features that are computed here."""
        # byte-level tokenizers split lists of words only as if a space stood before each
        options = {"add_prefix_space": True} if task.kind == TOKENS else {}
        tokenizer = load_tokenizer(folder, **options)
        if settings.method == FINETUNE:
            tuner = _TextTuner(folder, tokenizer, task, settings, output=output, progress=progress)
            return tuner.predict
        features = _text_features(folder, tokenizer, task, settings, progress=progress)
        return Prober(features, _word_keys(task.train), task, settings).predict


class _TextTuner(Tuner):
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
        super().__init__(folder, task, settings, settings.finetune, output=output, progress=progress)
        of_words = task.kind == TOKENS
        self.architecture = AutoModelForTokenClassification if of_words else AutoModelForSequenceClassification
        self.tokenizer, self.collate = tokenizer, PadLabelled(pad_id(tokenizer), of_words)
        self.fallback = 0
        self._encoded = {name: self._encode(task.splits[name]) for name in ("dev", "test")}

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Fine-tune and predict; words that the model does not read get the most frequent label."""
        self.fallback = _most_frequent(self.task.train.take(train), self.task)
        return super().predict(train, seed)

    def training_rows(self, train: Sequence[int], seed: int) -> list[Row]:
        """Return the texts as token ids."""
        return self._encode(self.task.train.take(train))

    def _encode(self, split: Split) -> list[Row]:
        return split.encode(self.task.kind, len(self.task.labels), self.tokenizer, self.settings.max_length)

    def rows(self, split: str) -> tuple[list[Row], list[int]]:
        """Return the texts from the shortest to the longest, which saves padding."""
        rows = self._encoded[split]
        order = _by_length(rows)
        return [rows[place] for place in order], order

    def decode(self, logits: Any, rows: Sequence[Row]) -> list[Any]:
        """Return labels from logits (B, C) or (B, L, C)."""
        if self.task.kind != TOKENS:
            return decode(logits, self.task.kind)
        guessed = logits.argmax(-1)
        return [
            [int(guessed[place, first]) if first >= 0 else self.fallback for first in row["words"]]
            for place, row in enumerate(rows)
        ]


def _most_frequent(train: Split, task: Task) -> int:
    """Return the most frequent label of words; other kinds of task have no use for it."""
    if task.kind != TOKENS:
        return 0
    return int(np.bincount([label for labels in train.labels for label in labels]).argmax())


def _word_keys(split: Split) -> list[tuple[str, ...]]:
    """Return a key for each text, equal for texts of the same words, such as one with marks around other entities."""
    return [tuple(sorted(split_words(text))) for text in split.joined()]


def _text_features(
    folder: str, tokenizer: PreTrainedTokenizerBase, task: Task, settings: EvaluateSettings, *, progress: bool
) -> dict[str, list[np.ndarray]]:
    """Return the features of each text of each split: one row (1, D), or one for each word (W, D).

    A text's features are the mean of the last layer's states over its tokens, special ones included; a word's are the
    state of its first token.

    Args:
        folder: Folder of the model, or its name.
        tokenizer: The model's tokenizer.
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
        name: split.encode(task.kind, len(task.labels), tokenizer, settings.max_length)
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
        device, kind = self.model.device, PRECISIONS[self.settings.precision]
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
