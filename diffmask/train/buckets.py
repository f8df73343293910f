"""The order of training rows: random, with rows of similar length in one step, and a function of seed and epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Sampler

POOL = 50
"""Steps that are shuffled together before they are sorted by length."""


class BucketSampler(Sampler[int]):
    """Shuffle rows so that those of one optimiser step have similar lengths and padding is rare.

    The order depends on the seed, the epoch and the number of rows in a step; not on how a step is divided into
    micro-batches or over ranks. Rows that do not fill a step are left out of that epoch (others in the next), unless
    there are no more: ranks would repeat rows to fill it.

    Args:
        lengths: Length of each row.
        rows_per_step: Rows of one optimiser step, over all ranks and micro-batches.
        seed: Seed of the order.
        visits: Tell the epoch with each row, to data sets that draw other parts of it each time.
    """

    def __init__(self, lengths: Sequence[int], rows_per_step: int, seed: int, *, visits: bool = False):
        self._lengths = torch.as_tensor(lengths)
        self._rows_per_step = rows_per_step
        self._seed = seed
        self._visits = visits
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is read next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows of an epoch."""
        return len(self._lengths) - len(self._lengths) % self._rows_per_step or len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield rows, each at most once; or visits to them, `epoch * rows + row`."""
        first = self.epoch * len(self._lengths) if self._visits else 0
        generator = torch.Generator().manual_seed((self._seed * 1_000_003 + self.epoch) & 0x7FFFFFFFFFFFFFFF)
        order = torch.randperm(len(self._lengths), generator=generator)[: len(self)]
        steps = []
        for pool in order.split(POOL * self._rows_per_step):
            by_length = pool[self._lengths[pool].argsort(stable=True)]
            steps += by_length.split(self._rows_per_step)
        for index in torch.randperm(len(steps), generator=generator).tolist():
            yield from (first + row for row in steps[index].tolist())


@dataclass(frozen=True)
class RowOrder:
    """The order of training rows: random, the same for every division into micro-batches and over ranks.

    Attributes:
        lengths: Length of each row; rows of similar length share a batch.
        visits: Tell the data set the epoch with each row; see `BucketSampler`.
    """

    lengths: Sequence[int]
    visits: bool = False
