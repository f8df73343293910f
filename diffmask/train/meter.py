"""Figures about masks and losses: what was masked since the last log line, and how high each of several losses was.

Both tell apart the units that belong to the domain, by their types (`DomainTypes`) or their scores (`HighScores`).
"""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from diffmask.core.masker import Choice, entropy
from diffmask.core.types import UnitMask
from diffmask.core.units import Units


def of_side(key: str, side: str) -> str:
    """Return the name of a figure of one side; that of the only side has no addition."""
    return f"{key}_{side}" if side else key


class Meter:
    """Running sums over the batches between two log lines, kept on the device so that no step waits for them.

    Args:
        domain: Tells which units belong to the domain, or None if that is not known.
        positions: Name of the positions: tokens, patches.
        side: What is added to the names of the figures, where a run has several.
    """

    def __init__(self, domain: Callable[[Units], UnitMask] | None, positions: str = "tokens", side: str = ""):
        self._domain, self._positions, self._side = domain, positions, side
        self._restart()

    def _restart(self) -> None:
        self._sums: Tensor | None = None
        self._strength = 0.0
        self._began: float | None = None  # set by the next batch, so that an evaluation before it does not count

    def is_domain(self, units: Units) -> UnitMask:
        """Return which units belong to the domain."""
        return torch.zeros_like(units.eligible) if self._domain is None else self._domain(units)

    def add(self, choice: Choice, strength: float) -> None:
        """Add one batch."""
        units, weights, masked = choice
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
        }
        if self._domain is not None:
            figures["domain_share"] = domain / max(masked, 1)
        rate = eligible / max(time.perf_counter() - self._began, 1e-9)
        self._restart()
        named = {of_side(name, self._side): value for name, value in figures.items()}
        return named | {f"{self._positions}_per_second": rate}


class LossMeter:
    """Running sums of the losses of steps, kept on the device; of the only one, the Trainer's own log says enough.

    Args:
        names: Names of the losses.
    """

    def __init__(self, names: Sequence[str] | Mapping[str, float]):
        self._names = tuple(names)
        self._restart()

    def _restart(self) -> None:
        self._sums: Tensor | None = None
        self._num_steps = 0

    def add(self, means: Sequence[Tensor]) -> None:
        """Add a micro-batch's part of the mean of each loss over the step, times the number of ranks."""
        if self._names != ("",):
            part = torch.stack([mean.detach() for mean in means])
            self._sums = part if self._sums is None else self._sums + part

    def end_step(self) -> None:
        """Note that a step is over."""
        self._num_steps += 1

    def read(self, total: Callable[[Tensor], Tensor], num_ranks: int) -> dict[str, float]:
        """Return the mean of each loss over the steps since the last time, as `loss_NAME`, and start again.

        Args:
            total: Returns the sum of a tensor over all ranks.
            num_ranks: How many there are.
        """
        if self._sums is None:
            return {}
        means = (total(self._sums) / (num_ranks * max(self._num_steps, 1))).tolist()
        self._restart()
        return {of_side("loss", name): mean for name, mean in zip(self._names, means, strict=True)}


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
