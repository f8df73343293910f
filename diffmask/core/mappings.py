"""Nested mappings as flat ones."""

from collections.abc import Mapping
from typing import Any


def flat(mapping: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return the values of a nested mapping by their whole names.

    >>> flat({"model": "minilm", "data": {"train": ["a.txt"]}})
    {'model': 'minilm', 'data.train': ['a.txt']}
    """
    found: dict[str, Any] = {}
    for name, value in mapping.items():
        found |= flat(value, f"{where}{name}.") if isinstance(value, Mapping) else {where + name: value}
    return found
