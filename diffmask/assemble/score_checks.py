"""Checks of the settings that say how scores are followed, for text and for video."""

from diffmask.config import MaskingConfig, VideoMaskingConfig
from diffmask.core.errors import InputError

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
