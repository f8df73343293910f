"""Figures about masks: what was masked since the last log line, and the sums of an evaluation.

Both tell apart the units that belong to the domain, by their types (`DomainTypes`) or their scores (`HighScores`).
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from diffmask.core.masker import entropy
from diffmask.core.types import UnitMask, Weights
from diffmask.core.units import Units


class Meter:
    """Running sums over the batches between two log lines, kept on the device so that no step waits for them.

    Args:
        domain: Tells which units belong to the domain, or None if that is not known.
        positions: Name of the positions: tokens, patches.
    """

    def __init__(self, domain: Callable[[Units], UnitMask] | None, positions: str = "tokens"):
        self._domain, self._positions = domain, positions
        self._restart()

    def _restart(self) -> None:
        self._sums: Tensor | None = None
        self._strength = 0.0
        self._began: float | None = None  # set by the next batch, so that an evaluation before it does not count

    def is_domain(self, units: Units) -> UnitMask:
        """Return which units belong to the domain."""
        return torch.zeros_like(units.eligible) if self._domain is None else self._domain(units)

    def add(self, units: Units, masked: UnitMask, weights: Weights, strength: float) -> None:
        """Add one batch."""
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

        * mask_ratio: share of the eligible positions that were masked
        * domain_share: share of the masked positions that belong to the domain
        * entropy: mean entropy of the weights, 1 = uniform
        * strength: strength at the last step
        * tokens_per_second, or patches_per_second: eligible positions of this rank, over wall time
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


class DomainTypes:
    """Tells the units of the domain by their types.

    Args:
        types: Which types belong to the domain, bool (V,).
    """

    def __init__(self, types: Tensor):
        # a unit whose type is unknown has row -1, which reads this last place
        self._types = torch.cat([types, torch.zeros(1, dtype=torch.bool)])

    def __call__(self, units: Units) -> UnitMask:
        """Return which units belong to the domain."""
        if units.types is None:
            return torch.zeros_like(units.eligible)
        self._types = self._types.to(units.types.device)
        return self._types[units.types] & units.eligible


class HighScores:
    """Tells the units of the domain by their scores.

    Args:
        name: Name of the feature that holds the scores.
        threshold: Lowest score of a unit of the domain.
    """

    def __init__(self, name: str, threshold: float):
        self._name, self._threshold = name, threshold

    def __call__(self, units: Units) -> UnitMask:
        """Return which units belong to the domain; none if the units lack the feature."""
        if self._name not in units.features:
            return torch.zeros_like(units.eligible)
        return (units.features[self._name] >= self._threshold) & units.eligible
