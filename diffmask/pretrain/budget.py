"""How long a run is and how much text it sees, known before it starts.

How long a run on video is and how many patches it masks, known before it starts.
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from diffmask.assemble import Values, build_annotators
from diffmask.assemble.text_masking import recipes_of
from diffmask.assemble.training import check_training
from diffmask.assemble.video import video_recipe
from diffmask.config import PretrainConfig, VideoConfig
from diffmask.core.errors import InputError
from diffmask.pretrain.text import read_anchors, read_rows
from diffmask.pretrain.video import read_split
from diffmask.text.model.load import load_tokenizer
from diffmask.video.model.load import load_video_model

if TYPE_CHECKING:
    import datasets
    import pyarrow

_ROWS_AT_A_TIME = 10_000


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
    if training.steps == 0:
        raise InputError("training.steps=0 trains a head and nothing else, so there is no schedule; give at least 1")
    recipes_of(config.masking)  # says what cannot be
    rows_per_step = training.batch_size * training.accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    if not read_data or config.data.streaming:
        return Budget(training.steps, rows_per_step, np.array([config.data.max_length]), True)
    rows = _training_rows(config)
    # rows that do not fill a step are left out of an epoch, unless there are no more
    rows_per_step = min(rows_per_step, len(rows))
    num_steps = training.steps
    if num_steps is None:
        assert training.epochs is not None
        num_steps = math.ceil(training.epochs * (len(rows) // rows_per_step))
    return Budget(num_steps, rows_per_step, _lengths(rows), False)


def _training_rows(config: PretrainConfig) -> "datasets.Dataset":
    """Return the rows that the run will train on, from the cache that it will use."""
    tokenizer = load_tokenizer(config.model)
    anchors = read_anchors(config, tokenizer)
    values = Values(build_annotators(config.masking, anchors))
    return read_rows(config, tokenizer, anchors, values)[0]  # type: ignore[return-value]


def _lengths(rows: "datasets.Dataset") -> np.ndarray:
    """Return the number of tokens of each row that stand in a unit; special tokens stand in none."""
    tables = cast("Iterable[Any]", rows.with_format("arrow").iter(_ROWS_AT_A_TIME))
    return np.concatenate([_count_in_units(table["unit_ids"]) for table in tables])


def _count_in_units(units: "pyarrow.ChunkedArray") -> np.ndarray:
    lists = units.combine_chunks()
    # of lists that are a part of a longer array, the ends count from its beginning
    ends = lists.offsets.to_numpy() - lists.offsets[0].as_py()
    sums = np.concatenate([[0], np.cumsum(lists.flatten().to_numpy() >= 0)])
    return sums[ends[1:]] - sums[ends[:-1]]


def video_budget(config: VideoConfig, *, read_data: bool) -> Budget:
    """Return the length of a run; the patches of a clip are those of its model.

    Args:
        config: The run.
        read_data: Count the clips where the run counts epochs; otherwise the number of its steps stays unknown.

    Raises:
        InputError: If something that the config names cannot be used.
    """
    training, data = config.training, config.data
    check_training(training)
    if training.steps == 0:
        raise InputError("training.steps=0 trains a head and nothing else, so there is no schedule; give at least 1")
    video_recipe(config.masking)  # says what cannot be
    grid = load_video_model(config.model, num_frames=data.num_frames, image_size=data.image_size).grid
    visits = training.batch_size * training.accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    num_steps = training.steps
    if num_steps is None and read_data:
        assert training.epochs is not None
        num_visits = len(read_split(config, progress=True)[0]) * data.clips_per_video
        # visits that do not fill a step are left out of an epoch, unless there are no more
        visits = min(visits, num_visits)
        num_steps = math.ceil(training.epochs * (num_visits // visits))
    return Budget(num_steps, visits * data.repeats, np.array([grid.num_positions]), False)
