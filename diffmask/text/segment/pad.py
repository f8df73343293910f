"""Rows of token ids become a padded batch of tensors: rows that are masked, and rows that have labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmask.core.types import IGNORE_INDEX


@dataclass(frozen=True)
class Pad:
    """Pad rows of a tokenised data set into a batch; no masking, so it may run in a loader's worker.

    Attributes:
        pad_id: Token that fills short rows.
        multiple: The length of a batch is rounded up to a multiple of this (8 suits tensor cores).
        features: Columns with one number for each unit, which become tensors (B, U): int64 filled up with -1, or
            float32 filled up with 0. Rows that are only evaluated need not have them.
    """

    pad_id: int
    multiple: int = 8
    features: tuple[str, ...] = ()

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask, unit_ids (B, L), types (B, U), num_units, sample_ids (B,), and features."""
        tokens = pad_rows([row["input_ids"] for row in rows], self.pad_id, self.multiple)
        return {
            "input_ids": tokens,
            "attention_mask": _attended([len(row["input_ids"]) for row in rows], tokens.shape[1]),
            "unit_ids": pad_rows([row["unit_ids"] for row in rows], -1, self.multiple),
            "types": pad_rows([row["types"] for row in rows], -1),
            "num_units": torch.tensor([len(row["types"]) for row in rows]),
            "sample_ids": torch.tensor([row["sample_id"] for row in rows]),
            **{name: _feature([row[name] for row in rows]) for name in self.features if rows and name in rows[0]},
        }


Row = Mapping[str, Any]


def _feature(rows: Sequence[Sequence[float]]) -> Tensor:
    # the rows say whether a feature is a number of something or a score; empty ones say nothing
    kind = np.result_type(*(np.asarray(row).dtype for row in rows if len(row)), np.int8)
    return pad_rows(rows, 0, 1, np.float32) if np.issubdtype(kind, np.floating) else pad_rows(rows, -1)


def pad_rows(rows: Sequence[Any], fill: int, multiple: int = 1, kind: type = np.int64) -> Tensor:
    """Return rows of numbers as one tensor, filled up to the longest, rounded up to a multiple."""
    longest = max((len(row) for row in rows), default=0)
    padded = np.full((len(rows), -(-longest // multiple) * multiple), fill, dtype=kind)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(padded)


def _attended(lengths: Sequence[int], width: int) -> Tensor:
    """Return the attention mask of rows of these lengths, int64 (B, width)."""
    return (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()


@dataclass(frozen=True)
class PadLabelled:
    """Pad rows and their labels into a batch.

    Attributes:
        pad_id: Token that fills short rows.
        of_words: Whether a row has a label for each token; else one for the text, or one float for each of several.
    """

    pad_id: int
    of_words: bool

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask, token_type_ids if the rows have them, (B, L), and labels."""
        batch = self.inputs(rows)
        labels: list[Any] = [row["labels"] for row in rows]
        return batch | {"labels": pad_rows(labels, IGNORE_INDEX) if self.of_words else torch.tensor(labels)}

    def inputs(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Return the same without labels."""
        fills = {"input_ids": self.pad_id, "token_type_ids": 0}
        batch = {name: pad_rows([row[name] for row in rows], fill) for name, fill in fills.items() if name in rows[0]}
        lengths = [len(row["input_ids"]) for row in rows]
        return batch | {"attention_mask": _attended(lengths, batch["input_ids"].shape[1])}
