"""Which units are the domain's own, so that their loss and their share of the masks can be told apart."""

import torch
from torch import Tensor

from diffmask.core.types import UnitMask
from diffmask.core.units import Units


class DomainTypes:
    """Units of some types of the type table.

    Args:
        types: Which types, bool (V,).
    """

    def __init__(self, types: Tensor):
        # the last place stands for types that are not in the table (row -1)
        self._types = torch.cat([types, torch.zeros(1, dtype=torch.bool)])

    def __call__(self, units: Units) -> UnitMask:
        """Return which units are of these types."""
        if units.types is None:
            return torch.zeros_like(units.eligible)
        self._types = self._types.to(units.types.device)
        return self._types[units.types] & units.eligible


class HighScores:
    """Units that score high.

    Args:
        name: Feature of the units.
        threshold: What they score at least.
    """

    def __init__(self, name: str, threshold: float):
        self._name, self._threshold = name, threshold

    def __call__(self, units: Units) -> UnitMask:
        """Return which units score at least the threshold; none where there is no such feature."""
        if self._name not in units.features:
            return torch.zeros_like(units.eligible)
        return (units.features[self._name] >= self._threshold) & units.eligible
