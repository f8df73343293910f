"""Rows of token ids as batches of tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffmask.core.types import IGNORE_INDEX
from diffmask.text.segment.pad import attended, pad_rows

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Batches:
    """Pads rows into a batch, with their labels.

    Attributes:
        pad_id: Token that fills short rows.
        of_words: Whether labels are those of tokens.
    """

    pad_id: int
    of_words: bool

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask, token_type_ids if the rows have them, (B, L), and labels."""
        batch = self.inputs(rows)
        labels: list[Any] = [row["labels"] for row in rows]
        return batch | {"labels": pad_rows(labels, IGNORE_INDEX) if self.of_words else torch.tensor(labels)}

    def inputs(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Return what a model reads of the rows."""
        fills = {"input_ids": self.pad_id, "token_type_ids": 0}
        batch = {name: pad_rows([row[name] for row in rows], fill) for name, fill in fills.items() if name in rows[0]}
        lengths = [len(row["input_ids"]) for row in rows]
        return batch | {"attention_mask": attended(lengths, batch["input_ids"].shape[1])}


def by_length(rows: Sequence[Row]) -> list[int]:
    """Return the places of the rows from the shortest to the longest, which saves padding."""
    return sorted(range(len(rows)), key=lambda place: len(rows[place]["input_ids"]))
