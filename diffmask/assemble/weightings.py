"""Names of weightings."""

from collections.abc import Callable
from functools import partial

from diffmask.assemble.choose import choose
from diffmask.config import MaskingConfig, VideoMaskingConfig
from diffmask.core.policy import Weighting, linear_weights, rank_weights, softmax_weights

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
