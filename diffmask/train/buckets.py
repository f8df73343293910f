"""The order of training rows: random, but with rows of similar length in one step; a function of seed and epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Sampler

POOL = 50
"""Number of steps whose rows are sorted by length together."""


class _BucketSampler(Sampler[int]):
    """Shuffle rows so that those of one optimiser step have similar lengths, which saves padding.

    The order depends on the seed, the epoch and the number of rows in a step, but not on how a step is divided into
    micro-batches or over ranks. Rows that do not fill a step are left out of an epoch (others in each), since
    ranks would repeat rows to fill it. If all rows together do not fill a step, they are all kept.

    Args:
        lengths: Length of each row.
        rows_per_step: Number of rows in one optimiser step, over all ranks and micro-batches.
        seed: Seed of the order.
        visits: Yield visits instead of rows, for data sets that draw another part of a row in each epoch.
    """

    def __init__(self, lengths: Sequence[int], rows_per_step: int, seed: int, *, visits: bool = False):
        self._lengths = torch.as_tensor(lengths)
        self._rows_per_step = rows_per_step
        self._seed = seed
        self._visits = visits
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that is read next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows of an epoch."""
        return len(self._lengths) - len(self._lengths) % self._rows_per_step or len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield rows, each at most once; or visits, `epoch * rows + row`."""
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
    """What is known of the rows of a training before the trainer is made.

    Attributes:
        lengths: Length of each row.
        visits: Yield visits instead of rows.
    """

    lengths: Sequence[int]
    visits: bool = False

    def sampler(self, rows_per_step: int, seed: int) -> _BucketSampler:
        """Return what yields the rows, for steps of `rows_per_step` rows over all ranks and micro-batches."""
        return _BucketSampler(self.lengths, rows_per_step, seed, visits=self.visits)
