"""What was masked since the last log line, summed on the device without waiting for it."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from diffmask.core.masker import entropy
from diffmask.core.types import UnitMask, Weights
from diffmask.core.units import Units


class Meter:
    """Running sums over the batches between two log lines.

    Args:
        domain: Tells which units are the domain's own, or None where that is not known.
        positions: What positions are called: tokens, patches.
    """

    def __init__(self, domain: Callable[[Units], UnitMask] | None, positions: str = "tokens"):
        self._domain, self._positions = domain, positions
        self._restart()

    def _restart(self) -> None:
        self._sums: Tensor | None = None
        self._strength = 0.0
        self._began: float | None = None  # set by the first batch, so that evaluation in between does not count

    def is_domain(self, units: Units) -> UnitMask:
        """Return which units are the domain's own."""
        return torch.zeros_like(units.eligible) if self._domain is None else self._domain(units)

    def add(self, units: Units, masked: UnitMask, weights: Weights, strength: float) -> None:
        """Take in one batch."""
        self._began = self._began or time.perf_counter()
        smallest = units.smallest
        taken = smallest.lengths * units.to_smallest(masked)
        sums = [
            taken.sum(),
            smallest.lengths.sum(),
            (taken * self.is_domain(smallest)).sum(),
            entropy(weights, units.eligible).sum().double(),
            taken.new_tensor(len(masked)),
        ]
        batch = torch.stack(sums)
        self._sums = batch if self._sums is None else self._sums + batch
        self._strength = strength

    def read(self) -> dict[str, float]:
        """Return the figures for the log, and start again.

        mask_ratio: share of eligible positions that were masked. domain_share: share of masked positions in words of
        the domain. entropy: of the weights, 1 = uniform. strength: of the last step. tokens_per_second (or patches):
        eligible positions of this rank over wall time.
        """
        if self._sums is None or self._began is None:
            return {}
        masked, eligible, domain, nats, rows = self._sums.tolist()
        figures = {
            "mask_ratio": masked / max(eligible, 1),
            "strength": self._strength,
            "entropy": nats / max(rows, 1),
            f"{self._positions}_per_second": eligible / max(time.perf_counter() - self._began, 1e-9),
        }
        if self._domain is not None:
            figures["domain_share"] = domain / max(masked, 1)
        self._restart()
        return figures
