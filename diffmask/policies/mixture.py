"""A mixture of two policies: each draw follows the one or the other."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.policy import LEAST_LOG_WEIGHT, Policy, Weighting, distribution
from diffmask.core.types import Scores, UnitMask
from diffmask.core.units import Units


class Component(NamedTuple):
    """A policy, and how its scores become weights."""

    policy: Policy
    weighting: Weighting


class Mixture(Policy):
    """Weights `(1 - share) * first + share * second`, where both are distributions over the eligible units.

    Scores are logarithms of weights, to be turned back by `softmax_weights` at temperature 1.

    Args:
        first: A policy and its weighting.
        second: Another policy and its weighting.
        share: Share of the draws that follow the second, in (0, 1).

    Raises:
        InputError: If the share is outside its range.
    """

    def __init__(self, first: Component, second: Component, share: float = 0.5):
        if not 0.0 < share < 1.0:
            raise InputError(f"the mixture's share {share:g} is outside (0, 1); at the ends name one policy instead")
        self._components = (first, second)
        self._share = share

    def score(self, units: Units) -> Scores:
        """Return the logarithm of the mixed weights."""
        return self.score_whole(units)

    def score_whole(self, units: Units) -> Scores:
        """Return the same for units that may be made of parts: the weights of whole units are mixed."""
        first, second = (
            distribution(weighting(policy.score_whole(units), units.eligible), units.eligible)
            for policy, weighting in self._components
        )
        return torch.lerp(first, second, self._share).log().clamp_min(LEAST_LOG_WEIGHT)

    def observe(self, units: Units, masked: UnitMask, loss: Tensor) -> None:
        """Let both observe the losses."""
        for component in self._components:
            component.policy.observe(units, masked, loss)

    def learn(self, total: Callable[[Tensor], Tensor]) -> None:
        """Let both learn."""
        for component in self._components:
            component.policy.learn(total)

    def report(self) -> dict[str, float]:
        """Return what both have learned."""
        return self._components[0].policy.report() | self._components[1].policy.report()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what both have learned, under `first.` and `second.`."""
        return {
            f"{place}.{name}": value
            for place, component in zip(("first", "second"), self._components, strict=True)
            for name, value in component.policy.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        if state.keys() != self.state_dict().keys():
            super().load_state_dict(state)
        for place, component in zip(("first", "second"), self._components, strict=True):
            prefix = f"{place}."
            own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            component.policy.load_state_dict(own)
