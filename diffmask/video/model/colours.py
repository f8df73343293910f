"""The colours that a model was trained with: how its processor normalises red, green and blue."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

from diffmask.core.errors import InputError
from diffmask.video.model.targets import IMAGENET_MEAN, IMAGENET_STD

FILES = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")

Colours = tuple[tuple[float, ...], tuple[float, ...]]


def read_colours(name: str) -> Colours:
    """Return the mean and deviation that the processor of a model normalises by, ImageNet's if it has none.

    Args:
        name: A folder, or a hub name, as the model itself is called.

    Raises:
        InputError: If a processor is there and cannot be understood.
    """
    for file in FILES:
        found = cached_file(
            name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
        )
        settings = _settings(found) if found else {}
        for part in (settings, settings.get("video_processor"), settings.get("image_processor")):
            if isinstance(part, Mapping) and (colours := _colours(part, str(found))) is not None:
                return colours
    return IMAGENET_MEAN, IMAGENET_STD


def _settings(path: str) -> dict[str, Any]:
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # also of what is no UTF-8
        raise InputError(f"{path} is no JSON ({error}); mend it, or take it away for ImageNet's colours") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path} holds no settings of a processor; mend it, or take it away for ImageNet's colours")
    return settings


def _colours(settings: Mapping[str, Any], path: str) -> Colours | None:
    """Return what a processor says; None where it says nothing."""
    if settings.get("do_normalize") is False:
        return (0.0,) * 3, (1.0,) * 3
    values = {key: settings.get(key) for key in ("image_mean", "image_std")}
    if all(value is None for value in values.values()):
        return None
    mean, std = (_three(key, value, path) for key, value in values.items())
    if min(std) <= 0:
        raise InputError(f"{path} has image_std {values['image_std']!r}; give numbers above 0")
    return mean, std


def _three(key: str, value: Any, path: str) -> tuple[float, ...]:
    """Return a value for each of red, green and blue; one number is of all three, as for a processor."""
    each = value if isinstance(value, list) else [value] * 3
    numbers = [number for number in each if isinstance(number, int | float) and not isinstance(number, bool)]
    if len(each) != 3 or len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise InputError(f"{path} has {key} {value!r}; give a number for each of red, green and blue")
    return tuple(map(float, numbers))
