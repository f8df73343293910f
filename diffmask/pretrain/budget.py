"""How long a run is and how much text it sees, known before it starts."""

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from diffmask.build.training import check_training
from diffmask.config import PretrainConfig
from diffmask.pretrain.rows import read_rows
from diffmask.text.anchors import load_anchors
from diffmask.text.load import load_tokenizer

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class Budget:
    """The length of a run.

    Attributes:
        num_steps: Optimiser steps; None where they follow from data that was not read.
        rows_per_step: Rows of one step, over all micro-batches and ranks.
        tokens_per_row: Mean number of tokens of a row that may be masked, or the most there can be.
        is_bound: Whether `tokens_per_row` is only the most there can be.
    """

    num_steps: int | None
    rows_per_step: int
    tokens_per_row: float
    is_bound: bool

    def num_masked(self, mean_ratio: float) -> float | None:
        """Return the number of masked tokens over the run at a mean ratio, or None where the steps are not known."""
        return (
            None if self.num_steps is None else self.num_steps * self.rows_per_step * self.tokens_per_row * mean_ratio
        )


def run_budget(config: PretrainConfig, *, read_data: bool) -> Budget:
    """Return the length of a run.

    Args:
        config: The run.
        read_data: Tokenise its text, as the run does and into the same cache, and count; otherwise, and for a stream,
            `data.max_length` stands for every row.

    Raises:
        InputError: If something that the config names cannot be used.
    """
    training = config.training
    check_training(training)
    rows_per_step = training.batch_size * training.accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    if not read_data or config.data.streaming:
        return Budget(training.steps, rows_per_step, config.data.max_length, True)
    rows = _training_rows(config)
    # rows that do not fill a step are left out of an epoch, unless there are no more
    rows_per_step = min(rows_per_step, len(rows))
    num_steps = training.steps
    if num_steps is None:
        assert training.epochs is not None
        num_steps = math.ceil(training.epochs * (len(rows) // rows_per_step))
    return Budget(num_steps, rows_per_step, _tokens_per_row(rows), False)


def _training_rows(config: PretrainConfig) -> "datasets.Dataset":
    """Return the rows that the run will train on, from the cache that it will use."""
    tokenizer = load_tokenizer(config.model)
    anchors = None
    if config.masking.anchors is not None:
        anchors = load_anchors(config.masking.anchors)
        anchors.check_model(config.model, tokenizer)
    return read_rows(config, tokenizer, anchors)[0]  # type: ignore[return-value]


def _tokens_per_row(rows: "datasets.Dataset") -> float:
    """Return the mean number of tokens of a row that stand in a unit; special tokens stand in none."""
    total = sum(int((np.asarray(units) >= 0).sum()) for units in rows.with_format("numpy")["unit_ids"])
    return total / len(rows)
