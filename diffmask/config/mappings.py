"""Nested mappings as flat ones."""

from collections.abc import Mapping
from typing import Any, cast


def flat(mapping: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return the values of a nested mapping by their whole names.

    >>> flat({"model": "minilm", "data": {"train": ["a.txt"]}})
    {'model': 'minilm', 'data.train': ['a.txt']}
    """
    found: dict[str, Any] = {}
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            found |= flat(cast(Mapping[str, Any], value), f"{where}{name}.")
        else:
            found[where + name] = value
    return found
