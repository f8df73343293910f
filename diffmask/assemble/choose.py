"""A name of a config, looked up."""

from typing import TypeVar

from diffmask.core.errors import InputError

T = TypeVar("T")


def choose(table: dict[str, T], name: str, what: str) -> T:
    """Return `table[name]`, or say what may be chosen."""
    if name not in table:
        raise InputError(f"unknown {what} {name!r}; choose from: {', '.join(sorted(table))}")
    return table[name]
