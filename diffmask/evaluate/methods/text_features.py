"""Frozen features of texts."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoModel, PreTrainedTokenizerBase

from diffmask.config.evaluation import TOKENS, EvaluateSettings
from diffmask.core.machine import fast_attention, resolve_device
from diffmask.tasks.encode import Row, encode
from diffmask.tasks.splits import Split
from diffmask.tasks.task import Task
from diffmask.text.corpus.words import split_words
from diffmask.text.model.load import load_weights
from diffmask.text.segment.batches import Batches, by_length
from diffmask.text.segment.special import pad_id

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
    encoder = _Encoder(cast(Any, model).eval().to(device), Batches(pad_id(tokenizer), task.kind == TOKENS), settings)
    rows = {
        name: encode(split, task.kind, len(task.labels), tokenizer, settings.max_length)
        for name, split in task.splits.items()
    }
    with tqdm(total=sum(map(len, rows.values())), desc="features", unit="text", disable=not progress) as bar:
        return {name: encoder.features(part, bar) for name, part in rows.items()}


class _Encoder:
    def __init__(self, model: Any, batches: Batches, settings: EvaluateSettings):
        self.model, self.batches, self.settings = model, batches, settings

    @torch.inference_mode()
    def features(self, rows: Sequence[Row], bar: tqdm) -> list[np.ndarray]:
        """Return the features of each row; the model reads them by length."""
        found: list[Any] = [None] * len(rows)
        order, size = by_length(rows), self.settings.eval_batch_size
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
