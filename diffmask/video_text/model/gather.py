"""Rows of all ranks, with gradients.

Each rank computes the losses of its own rows, against the rows of all. The gradient of a loss with regard to a row of
another rank goes back to that rank, so that the sum of the ranks' gradients is that of one process with all rows. What
is published often keeps a rank's own part only, which is one over the number of ranks of the truth.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F


@dataclass(frozen=True)
class AllRows:
    """The rows of a batch on all ranks; of one process, where there are no ranks.

    Attributes:
        counts: Rows of each rank.
        longest: Positions of the longest batch of texts.
        rank: Which rank this is.
    """

    counts: tuple[int, ...]
    longest: int
    rank: int

    @classmethod
    def of(cls, ids: Tensor) -> "AllRows":
        """Return them for a batch of texts, (B, L), on each rank."""
        if not distributed.is_available() or not distributed.is_initialized():
            return cls((len(ids),), ids.shape[1], 0)
        shape = torch.tensor(ids.shape, device=ids.device)
        shapes = [torch.empty_like(shape) for _ in range(distributed.get_world_size())]
        distributed.all_gather(shapes, shape)
        counts, lengths = zip(*torch.stack(shapes).tolist(), strict=True)
        return cls(counts, max(lengths), distributed.get_rank())

    @property
    def own(self) -> slice:
        """Where the rows of this rank are among all."""
        start = sum(self.counts[: self.rank])
        return slice(start, start + self.counts[self.rank])

    def padded(self, values: Tensor) -> Tensor:
        """Return values of texts (B, L, ...) with as many positions as the longest batch has; new ones are zero."""
        return _lengthened(values, 1, self.longest)

    def gather(self, values: Tensor) -> Tensor:
        """Return the values of the rows of all ranks, (N, ...), given those of this one, (B, ...)."""
        if len(self.counts) == 1:
            return values
        most = max(self.counts)
        every: Any = _AllGather.apply(_lengthened(values, 0, most).contiguous())
        return torch.cat([part[:count] for part, count in zip(every, self.counts, strict=True)])


def _lengthened(values: Tensor, dim: int, size: int) -> Tensor:
    missing = size - values.shape[dim]
    # from the last dimension to the first
    return values if not missing else F.pad(values, (0, 0) * (values.ndim - dim - 1) + (0, missing))


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> tuple[Tensor, ...]:
        every = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
        distributed.all_gather(every, values)
        return tuple(every)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # what all ranks' losses say of the rows of this one; not all backends can reduce and scatter
        total = torch.stack(gradients)
        distributed.all_reduce(total)
        return total[distributed.get_rank()]
