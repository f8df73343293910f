"""Names of weightings."""

from collections.abc import Callable
from functools import partial

from diffmask.build.choose import choose
from diffmask.config import MaskingConfig
from diffmask.core.errors import InputError
from diffmask.core.policy import Weighting, linear_weights, rank_weights, softmax_weights

WEIGHTINGS: dict[str, Callable[[float], Weighting]] = {
    "softmax": lambda temperature: partial(softmax_weights, temperature=temperature),
    "rank": lambda temperature: rank_weights,
    "linear": lambda temperature: linear_weights,
}


def build_weighting(config: MaskingConfig, default: str, *, is_inner: bool = False) -> Weighting:
    """Return how scores become weights, `default` where the config does not say.

    Args:
        config: The masking's settings.
        default: That of the policy.
        is_inner: Whether the policy is a part of another, of which the temperature may be meant for another part.

    Raises:
        InputError: If the weighting is unknown, or the temperature cannot be used.
    """
    name = config.weighting or default
    if not config.temperature > 0:
        raise InputError(f"masking.temperature={config.temperature:g} is not above 0; 1 follows the scores as they are")
    if config.temperature != 1.0 and name != "softmax" and not is_inner:
        raise InputError(
            f"masking.temperature={config.temperature:g} says nothing where the weighting is {name}; "
            "use masking.weighting=softmax, or leave the temperature out"
        )
    return choose(WEIGHTINGS, name, "weighting")(config.temperature)
