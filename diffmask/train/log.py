"""What a training logged: log.jsonl, read again. `callbacks.JsonLog` writes it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffmask.core.errors import InputError

Log = Sequence[Mapping[str, float]]


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the entries of a run's log.jsonl, one dictionary a line; a last line that was cut off is left out.

    Raises:
        InputError: If a line is no log entry.
    """
    entries, lines = [], path.read_text(encoding="utf-8").rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if isinstance(entry, dict) and "step" in entry:
            entries.append(entry)
        elif number < len(lines) or not entries:
            raise InputError(f"{path}, line {number}, is no log entry ({line[:40]!r}); give the log of a diffmask run")
    return entries


def has_values(log: Log, key: str) -> bool:
    """Tell whether a value was ever logged under this key."""
    return any(key in entry for entry in log)


def points(log: Log, key: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a value was logged, and the values; a step that was logged again counts once."""
    found = {entry["step"]: entry[key] for entry in log if key in entry}
    return sorted(found), [found[step] for step in sorted(found)]


def num_steps(steps: int | None, epochs: float | None, log: Log) -> int:
    """Return the steps of a whole run, by its settings, or by how many steps its epochs have taken so far."""
    last = max(log, key=lambda entry: entry["step"], default={"step": 1})
    if steps:
        return int(steps)
    if epochs and last.get("epoch"):
        return max(1, round(last["step"] / last["epoch"] * epochs))
    return max(1, int(last["step"]))
