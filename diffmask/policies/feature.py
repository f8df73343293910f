"""Scores that units bring along: a model's attention, a task's gain, whether a unit is salient."""

import torch

from diffmask.core.policy import Policy
from diffmask.core.types import Scores
from diffmask.core.units import Units


class Feature(Policy):
    """Score a unit by one of its features.

    Args:
        name: Name of the feature in `units.features`.
        standardised: Give each row mean 0 and standard deviation 1, for features whose scale says nothing.
    """

    def __init__(self, name: str, *, standardised: bool = False):
        self._name, self._standardised = name, standardised

    def score(self, units: Units) -> Scores:
        """Return the feature."""
        values = _feature(units, self._name).float()
        return _standardised(values, units) if self._standardised else values


class Salient(Policy):
    """Units of a salient span before all others (Guu et al. 2020, REALM: named entities and dates).

    Scores are 1 and 0, to be turned into weights by `linear_weights`: salient spans are drawn at random, and what the
    budget leaves over after them goes to the other units at random, so that the ratio is that of every other policy.
    """

    def score(self, units: Units) -> Scores:
        """Return 1 for units of a salient span."""
        return (_feature(units, "salient") >= 0).float()


def _standardised(values: Scores, units: Units) -> Scores:
    count = units.eligible.sum(1, keepdim=True).clamp_min(1)
    centred = (values - (values * units.eligible).sum(1, keepdim=True) / count) * units.eligible
    return centred / (centred.square().sum(1, keepdim=True) / count).sqrt().clamp_min(torch.finfo(values.dtype).eps)


def _feature(units: Units, name: str) -> Scores:
    if name not in units.features:
        known = ", ".join(sorted(units.features)) or "none"
        raise ValueError(f"the units have no feature `{name}` (they have: {known}); annotate or score the text with it")
    return units.features[name]
