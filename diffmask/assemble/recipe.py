"""What a policy is by name: how it is made, where it comes from, what it costs, needs and reads.

A name of a config, looked up.

Checks of the settings that say how scores are followed, for text and for video.

Names of weightings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from diffmask.config import MaskingConfig, VideoMaskingConfig
from diffmask.core.errors import InputError
from diffmask.core.policy import Policy, Weighting, linear_weights, rank_weights, softmax_weights
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


T = TypeVar("T")


def choose(table: dict[str, T], name: str, what: str) -> T:
    """Return `table[name]`, or say what may be chosen."""
    if name not in table:
        raise InputError(f"unknown {what} {name!r}; choose from: {', '.join(sorted(table))}")
    return table[name]


DIRECTIONS = {"hide": True, "show": False}


def check_scoring(config: MaskingConfig | VideoMaskingConfig) -> None:
    """Refuse a value that a setting cannot have.

    Raises:
        InputError: If there is one.
    """
    if config.direction not in DIRECTIONS:
        raise InputError(f"unknown direction {config.direction!r}; choose from: {', '.join(DIRECTIONS)}")
    if not 0.0 <= config.hint_share < 1.0:
        raise InputError(
            f"masking.hint_share={config.hint_share:g} is outside [0, 1); 0.1 keeps the best tenth visible"
        )
    if not config.temperature > 0:
        raise InputError(f"masking.temperature={config.temperature:g} is not above 0; 1 follows the scores as they are")


WEIGHTINGS: dict[str, Callable[[float], Weighting]] = {
    "softmax": lambda temperature: partial(softmax_weights, temperature=temperature),
    "rank": lambda temperature: rank_weights,
    "linear": lambda temperature: linear_weights,
}


def build_weighting(config: MaskingConfig | VideoMaskingConfig, default: str) -> Weighting:
    """Return how scores become weights, `default` where the config does not say.

    Raises:
        InputError: If the weighting is unknown.
    """
    return choose(WEIGHTINGS, config.weighting or default, "weighting")(config.temperature)
