"""What a policy is by name: how it is made, where it comes from, what it costs, needs and reads."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from diffmask.core.policy import Policy, Weighting, linear_weights, rank_weights, softmax_weights
from diffmask.policies.uniform import Uniform

WEIGHTINGS: dict[str, Callable[[float], Weighting]] = {
    "softmax": lambda temperature: partial(softmax_weights, temperature=temperature),
    "rank": lambda temperature: rank_weights,
    "linear": lambda temperature: linear_weights,
}
"""How scores become weights, given the temperature."""

UNIT_SETTINGS = {"pmi": ("ngrams",), "salient": ("spans",), "block": ("unit_size",), "cell": ("unit_size",)}
"""Settings that units read."""


@dataclass(frozen=True)
class Ingredients:
    """What policies are made of.

    Attributes:
        config: The settings of the masking.
        anchors: The anchors of the domain, where the config names them.
        class_names: Names of the classes of units, where the policy weighs them.
    """

    config: Any
    anchors: Any = None
    class_names: tuple[str, ...] = ()


def uniform(given: Ingredients) -> Policy:
    """Return random masking; it needs no ingredients."""
    return Uniform()


@dataclass(frozen=True)
class Recipe:
    """A policy that a config can name.

    Attributes:
        make: Makes the policy.
        line: What it masks, in one line.
        paper: Where it comes from.
        cost: What it takes beyond random masking.
        needs: What the user must have.
        units: What it masks whole where the config does not say.
        weighting: How its scores become weights where the config does not say, a key of `WEIGHTINGS`.
        settings: The settings that it reads.
        features: The features of units that it reads.
        has_fixed_units: Whether its units are what defines it.
    """

    make: Callable[[Ingredients], Policy]
    line: str
    paper: str
    cost: str = "none"
    needs: str = "nothing"
    units: str = "word"
    weighting: str = "softmax"
    settings: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    has_fixed_units: bool = False

    @property
    def all_settings(self) -> tuple[str, ...]:
        """The settings that it reads, with those of its units."""
        return tuple(dict.fromkeys([*self.settings, *UNIT_SETTINGS.get(self.units, ())]))

    @property
    def is_random(self) -> bool:
        """Whether all units score the same."""
        return self.make is uniform

    def weighting_for(self, config: Any) -> Weighting:
        """Return how its scores become weights: as the settings say, or as is usual for it."""
        return WEIGHTINGS[config.weighting or self.weighting](config.temperature)
