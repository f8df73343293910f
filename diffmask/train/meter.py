"""What was masked since the last log line, summed on the device without waiting for it."""

import time

import torch
from torch import Tensor

from diffmask.core.masker import entropy
from diffmask.core.types import UnitMask, Weights
from diffmask.core.units import Units


class Meter:
    """Running sums over the batches between two log lines.

    Args:
        domain_types: Which types are the domain's own, bool (V,), or None where that is not known.
    """

    def __init__(self, domain_types: Tensor | None):
        # the last place stands for types that are not in the table (row -1)
        self._domain = None if domain_types is None else torch.cat([domain_types, torch.zeros(1, dtype=torch.bool)])
        self._restart()

    def _restart(self) -> None:
        self._sums: Tensor | None = None
        self._strength = 0.0
        self._began: float | None = None  # set by the first batch, so that evaluation in between does not count

    def is_domain(self, units: Units) -> UnitMask:
        """Return which units are of the domain's own types."""
        if self._domain is None or units.types is None:
            return torch.zeros_like(units.eligible)
        self._domain = self._domain.to(units.types.device)
        return self._domain[units.types] & units.eligible

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
        the domain. entropy: of the choice, 1 = uniform. strength: of the last step. tokens_per_second: eligible
        positions of this rank over wall time.
        """
        if self._sums is None or self._began is None:
            return {}
        masked, eligible, domain, nats, rows = self._sums.tolist()
        figures = {
            "mask_ratio": masked / max(eligible, 1),
            "strength": self._strength,
            "entropy": nats / max(rows, 1),
            "tokens_per_second": eligible / max(time.perf_counter() - self._began, 1e-9),
        }
        if self._domain is not None:
            figures["domain_share"] = domain / max(masked, 1)
        self._restart()
        return figures
