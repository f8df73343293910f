"""What a training logged: log.jsonl, read again. `callbacks.JsonLog` writes it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffmask.core.errors import InputError

Log = Sequence[Mapping[str, float]]
LOG_FILE = "log.jsonl"


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the entries of a run's log.jsonl, one dictionary a line; a last line that was cut off is left out.

    Raises:
        InputError: If another line is no log entry.
    """
    content = path.read_bytes().rstrip(b"\0")  # with which some file systems fill up what a power cut took
    lines = content.rstrip().split(b"\n") if content.strip() else []
    entries = [_entry(line) for line in lines]
    if entries and entries[-1] is None and lines[-1].startswith(b"{") and not content.endswith(b"\n"):
        entries.pop()
    for number, (line, entry) in enumerate(zip(lines, entries, strict=False), start=1):
        if entry is None:
            shown = line[:40].decode(errors="backslashreplace")
            raise InputError(
                f"{path}, line {number}, is no log entry ({shown!r}); delete it, or give the log of a diffmask run"
            )
    return [entry for entry in entries if entry is not None]


def _entry(line: bytes) -> dict[str, float] | None:
    """Return the entry in a line; None if there is none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and type(entry.get("step")) in (int, float) else None


def has_values(log: Log, key: str) -> bool:
    """Tell whether a value was ever logged under this key."""
    return any(key in entry for entry in log)


def points(log: Log, key: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a value was logged, and the values; a step that was logged again counts once."""
    found = {entry["step"]: entry[key] for entry in log if key in entry}
    return sorted(found), [found[step] for step in sorted(found)]


def of_sides(log: Log, key: str) -> dict[str, str]:
    """Return the keys under which a value was logged, each with its side or loss; "" where a run has one only.

    >>> log = [{"step": 1, "loss": 3.0, "loss_text": 2.0, "loss_video": 1.0, "mask_ratio_text": 0.5}]
    >>> of_sides(log, "mask_ratio"), of_sides(log, "loss")
    ({'mask_ratio_text': 'text'}, {'loss': '', 'loss_text': 'text', 'loss_video': 'video'})
    """
    keys = dict.fromkeys(key for entry in log for key in entry)
    parts = [each.removeprefix("loss_") for each in keys if each.startswith("loss_")]
    return {
        found: part for found, part in {key: "", **{f"{key}_{part}": part for part in parts}}.items() if found in keys
    }


def num_steps(steps: int | None, epochs: float | None, log: Log) -> int:
    """Return the steps of a whole run, by its settings, or by how many steps its epochs have taken so far."""
    last = max(log, key=lambda entry: entry["step"], default={"step": 1})
    if steps:
        return int(steps)
    if epochs and last.get("epoch"):
        return max(1, round(last["step"] / last["epoch"] * epochs))
    return max(1, int(last["step"]))
