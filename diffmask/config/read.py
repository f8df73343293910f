"""Reading settings from YAML: an unknown key is an error, and so is a value of the wrong kind."""

import copy
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, cast

from diffmask.config.settings import ScheduleConfig
from diffmask.config.yaml_text import parse_yaml, read_yaml
from diffmask.core.errors import InputError

_MOST_SHOWN = 120
_FLOATS = 2**1023
"""Whole numbers from here on are no floats."""


def read_settings(kind: type, given: Mapping[str, Any], overrides: Sequence[str] = ()) -> Any:
    """Return the dataclass `kind` from a mapping and `key.key=value` overrides; values are YAML.

    Raises:
        InputError: For an unknown key, a value of the wrong kind, or a required key that is missing.
    """
    return from_mapping(kind, overridden(given, overrides))


def overridden(given: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a mapping with `key.key=value` overrides applied; values are YAML.

    Raises:
        InputError: For an override that is not one.
    """
    changed = copy.deepcopy(dict(given))
    for override in overrides:
        _override(changed, override)
    return changed


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        InputError: If it holds none.
    """
    given = read_yaml(path)
    if not isinstance(given, dict):
        raise InputError(f"{path} holds {_kind(given)}, not settings; write `key: value` lines such as `model: minilm`")
    return given


def from_mapping(kind: type, given: Mapping[str, Any], where: str = "") -> Any:
    """Return the dataclass `kind` filled from a mapping, checked key by key; `where` is its place, e.g. `data.`."""
    if not isinstance(given, Mapping):
        raise InputError(f"`{where.removesuffix('.')}` is {_kind(given)}; it must be a group of settings")
    known = {each.name: each for each in fields(kind)}
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)
            raise InputError(
                f"unknown setting `{where}{key}`; did you mean `{where}{near[0]}`? (known here: {', '.join(known)})"
            )
    missing = [
        name
        for name, each in known.items()
        if name not in given and each.default is MISSING and each.default_factory is MISSING
    ]
    if missing:
        raise InputError(
            f"the setting `{where}{missing[0]}` is missing; add it to the config, or as {where}{missing[0]}=..."
        )
    hints = typing.get_type_hints(kind)
    return kind(**{key: _value(hints[key], value, f"{where}{key}") for key, value in given.items()})


def with_overrides(config: Any, overrides: Sequence[str], where: str = "") -> Any:
    """Return a config in which `key=value` overrides replace settings; those of groups are given whole.

    Raises:
        InputError: For an unknown key, a value of the wrong kind, or a required key that is missing.
    """
    given: dict[str, Any] = {}
    for override in overrides:
        _override(given, override)
    made = from_mapping(type(config), given, where)
    return replace(config, **{key: getattr(made, key) for key in given})


def _override(given: dict, override: str) -> None:
    path, found, text = override.partition("=")
    if not found:
        raise InputError(f"{override!r} is not an override; write key=value, such as training.steps=200")
    *parents, last = path.split(".")
    for parent in parents:
        inner = given.setdefault(parent, {})
        if inner is None:
            inner = given[parent] = {}
        if not isinstance(inner, dict):
            # a plain word stands for a preset, a plain number for a constant schedule
            inner = given[parent] = {"schedule" if isinstance(inner, str) else "start": inner}
        given = inner
    try:
        given[last] = parse_yaml(text)
    except ValueError as error:
        raise InputError(f"the value of {override!r} is not YAML; quote it, or mend its brackets") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the kind that `hint` asks for."""
    if is_dataclass(hint):
        if hint is ScheduleConfig and not isinstance(value, Mapping):
            return _schedule(value, where)
        if not isinstance(value, Mapping):
            raise InputError(f"`{where}` is {_kind(value)}; it must be a group of settings")
        return from_mapping(typing.cast(type, hint), value, where + ".")
    if isinstance(hint, types.UnionType):
        return None if value is None else _value(typing.get_args(hint)[0], value, where)
    if hint in (tuple[float, ...], tuple[int, ...]):
        return _numbers(value, where, typing.get_args(hint)[0])
    if typing.get_origin(hint) is tuple:
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
            raise InputError(f"`{where}` is {_kind(value)}; it must be a path or a list of paths")
        return tuple(values)
    if hint is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"`{where}` is {_kind(value)}; it must be a group of settings")
        return dict(value)
    return _scalar(hint, value, where)


def _schedule(value: Any, where: str) -> ScheduleConfig:
    """Return the schedule that a plain number or a plain word stands for."""
    if isinstance(value, str):
        try:
            return ScheduleConfig(start=float(value))  # YAML 1.1 reads 1e-1 as text
        except ValueError:
            return ScheduleConfig(schedule=value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(
            f"`{where}` is {_kind(value)}; it must be a number, the name of a schedule such as 30-15, or settings such "
            "as {schedule: linear, start: 0.3, end: 0.15}"
        )
    return ScheduleConfig(start=float(value))


def _numbers(value: Any, where: str, kind: type) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        example = "whole numbers such as [2, 2]" if kind is int else "numbers such as [0, 0.5]"
        raise InputError(f"`{where}` is {_kind(value)}; it must be a list of {example}")
    return tuple(_scalar(kind, each, where) for each in value)


def _scalar(hint: type, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 reads 1e-4 as text
        except ValueError:
            pass
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < _FLOATS:
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        raise InputError(f"`{where}` is {_kind(value)}; it must be {names[hint]}")
    return value


def _kind(value: Any) -> str:
    text = "empty" if value is None else repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


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
