"""What a policy is by name: how it is made, where it comes from, what it costs, needs and reads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diffmask.core.policy import Policy
from diffmask.policies.uniform import Uniform

UNIT_SETTINGS = {"pmi": ("ngrams",), "salient": ("spans",), "block": ("unit_size",), "cell": ("unit_size",)}
"""Settings that units read."""


def uniform(given: Any) -> Policy:
    """Return random masking, whatever it is given."""
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
        weighting: How its scores become weights where the config does not say.
        settings: The settings that it reads.
        features: The features of units that it reads.
        has_fixed_units: Whether its units are what it is.
    """

    make: Callable[[Any], Policy]
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
