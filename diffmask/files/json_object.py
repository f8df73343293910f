"""Small files of our own that hold a JSON object: read with a schema, so that a damaged or foreign one is a sentence.

A schema is a `TypedDict`, or names with their types. A type may carry limits, as a setting does:

    class Record(TypedDict):
        num_words: Annotated[int, at_least(1)]
        anchors: list[str]
"""

import json
import math
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffmask.core.errors import InputError, first_line

MOST_BYTES = 1 << 29
"""A larger file is none of ours; Python needs several times as much memory for what it holds."""


def read_object(path: Path, schema: Any, remedy: str) -> Any:
    """Return the object that a file holds; keys that the schema does not name are kept.

    Args:
        path: The file.
        schema: What it must hold.
        remedy: What to do about a damaged one, such as the command that makes it anew.

    Raises:
        InputError: If it is damaged, or something else.
    """
    content, wrong = inspect_object(path, schema)
    if wrong is not None:
        raise InputError(f"{path} is damaged ({wrong}); {remedy}")
    return content


def inspect_object(path: Path, schema: Any) -> tuple[Any, str | None]:
    """Return what a file holds, and what is wrong with it; None if nothing is."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None, f"it is larger than {MOST_BYTES >> 20} MB"
        return parse_object(path.read_bytes(), schema)
    except OSError as error:
        return None, f"it cannot be read: {error.strerror or error}"


def parse_object(content: bytes, schema: Any) -> tuple[Any, str | None]:
    """Return what JSON says, and what is wrong with it; None if nothing is."""
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        return None, "it is no JSON (nested too deep)"
    except ValueError as error:  # a byte that is not UTF-8 is one too
        return None, f"it is no JSON ({first_line(error)})"
    if not isinstance(value, dict):
        return value, "it holds no object"
    return value, next(faults(value, schema), None)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def faults(value: Any, schema: Any, where: str = "") -> Iterator[str]:
    """Yield what is wrong with a value that was read from JSON.

    Args:
        value: The value.
        schema: A `TypedDict`, names with their types, or a type: float (finite, whole numbers too), int, str, bool,
            None, list[...], dict[str, ...], tuple[...], unions of them, Any, or Annotated with limits.
        where: Its place, such as `task.labels`; empty for the whole.
    """
    origin, parts = typing.get_origin(schema), typing.get_args(schema)
    if origin is typing.Annotated:
        wrong = list(faults(value, parts[0], where))
        yield from wrong or filter(None, (limit.refusal(where, value) for limit in parts[1:] if value is not None))
    elif origin in (typing.Required, typing.NotRequired):
        yield from faults(value, parts[0], where)
    elif origin in (typing.Union, types.UnionType) or isinstance(schema, tuple):
        wrong = [next(faults(value, each, where), None) for each in parts or schema]
        if None not in wrong:
            yield from filter(None, wrong[:1])
    elif typing.is_typeddict(schema) or isinstance(schema, Mapping):
        yield from _faults_of_object(value, schema, where)
    elif (origin or schema) in (list, tuple, dict) and parts and isinstance(value, list | dict):
        yield from _faults_of_items(value, origin, parts, where)
    elif not _is_of(value, origin or schema):
        yield f"{where} is missing or of a wrong type"


def _faults_of_object(value: Any, schema: Any, where: str) -> Iterator[str]:
    if value is ...:
        yield f"{where} is missing or of a wrong type"
        return
    is_plain, is_object = isinstance(schema, Mapping), isinstance(value, dict)
    hints = schema if is_plain else typing.get_type_hints(schema, include_extras=True)
    for name, hint in hints.items():
        given = value.get(name, ...) if is_object else ...
        if given is not ... or is_plain or name in schema.__required_keys__:
            yield from faults(given, hint, f"{where}.{name}" if where else name)
    if not is_object:
        yield f"{where} is missing or of a wrong type"


def _faults_of_items(value: Any, origin: Any, parts: tuple[Any, ...], where: str) -> Iterator[str]:
    if not isinstance(value, dict if origin is dict else list) or (origin is tuple and len(value) != len(parts)):
        yield f"{where} is missing or of a wrong type"
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from faults(each, parts[1], f"{where}.{name}")
    else:
        for place, each in enumerate(value):
            yield from faults(each, parts[place if origin is tuple else 0], f"{where}[{place}]")


def _is_of(value: Any, kind: Any) -> bool:
    if kind is Any:
        return value is not ...
    if kind is float:
        # 1e999 is JSON, and no number
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is None or kind is types.NoneType:
        return value is None
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
