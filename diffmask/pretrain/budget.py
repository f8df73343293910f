"""How long a run is and how much it masks, known before it starts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffmask.assemble.masking import ResolvedMasking
from diffmask.assemble.modality import modality_of
from diffmask.core.errors import InputError
from diffmask.core.processes import read_ranks


@dataclass(frozen=True)
class Budget:
    """The length of a run.

    Attributes:
        num_steps: Optimiser steps; None where they follow from data that was not read.
        rows_per_step: Rows of one step, over all micro-batches and ranks.
        lengths: Tokens that may be masked in each row, or the most there can be.
        is_bound: Whether `lengths` is only the most there can be.
    """

    num_steps: int | None
    rows_per_step: int
    lengths: np.ndarray
    is_bound: bool

    @property
    def tokens_per_step(self) -> float:
        """Mean number of tokens of a step that may be masked."""
        return self.rows_per_step * float(self.lengths.mean())

    def masked_per_step(self, ratios: Sequence[float]) -> float:
        """Return the mean number of masked tokens of a step, over steps of these ratios.

        A row masks its ratio of tokens, and at least one, which counts where rows are short and the ratio is small.
        """
        lengths, counts = np.unique(self.lengths, return_counts=True)
        masked = np.maximum(np.outer(ratios, lengths), lengths > 0)
        return self.rows_per_step * float((masked @ counts).mean()) / len(self.lengths)


def run_budget(config: Any, masking: ResolvedMasking, *, read_data: bool) -> Budget:
    """Return the length of a run.

    Args:
        config: The run.
        masking: What its masking comes to.
        read_data: Read and count its data, as the run does; otherwise what is not known stays a bound, or None.

    Raises:
        InputError: If something that the config names cannot be used.
    """
    training = config.training
    if training.steps == 0:
        raise InputError("training.steps=0 trains a head and nothing else, so there is no schedule; give at least 1")
    rows_per_step = training.batch_size * training.accumulation * read_ranks().number
    sizes = modality_of(config).row_sizes(config, masking, read_data=read_data)
    num_steps = training.steps
    if sizes.num_rows is not None:
        # rows that do not fill a step are left out of an epoch, unless there are no more
        rows_per_step = min(rows_per_step, sizes.num_rows)
        if num_steps is None:
            num_steps = math.ceil(training.epochs * (sizes.num_rows // rows_per_step))
    return Budget(num_steps, rows_per_step * sizes.repeats, sizes.lengths, sizes.is_bound)
