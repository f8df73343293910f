"""Captions, labels and splits of clips, from tables that others wrote, by any name that they give a clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmask.core.errors import InputError
from diffmask.files.blocks import listed, shown
from diffmask.files.records import read_records
from diffmask.video.clip.find import ClipNames

_CLIP_COLUMNS = tuple(
    "path file filename file_name filepath file_path video video_path video_name video_file video_id videoid vid "
    "clip clip_path clip_name clip_id name id".split()
)
TEXT_COLUMNS = {
    "caption": ("caption", "captions", "text", "description", "sentence", "title"),
    "label": ("label", "labels", "class", "class_name", "label_name", "category", "action", "target"),
    "split": ("split", "subset", "partition", "fold"),
}
"""Names of columns that are understood, likely ones first, for each field of a clip."""

_Texts = dict[str, str]
"""Caption, label and split of one clip, as far as they are known."""


@dataclass(frozen=True)
class Joined:
    """What a table says of clips."""

    texts: dict[str, _Texts]
    """By the path of the clip."""
    summary: str
    """How many were found, as one sentence."""


def join(path: str | Path, clips: Sequence[str]) -> Joined:
    """Read what a table says of clips.

    A row names its clip as `ClipNames` says. If several columns could hold names, the one that matches most clips is
    used.

    Args:
        path: A table: .csv, .tsv, .jsonl or .parquet.
        clips: Paths of clips.

    Raises:
        InputError: If the table is not there or lacks columns, a name stands for several clips, or a clip has several
            labels or splits.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path of --join")
    rows = list(read_records(path))
    if not rows:
        raise InputError(f"{path} has no rows; leave --join out or fill it")
    names = {name.strip().lower(): name for name in reversed(list(rows[0][1]))}
    kept = {field: _first_of(known, names) for field, known in TEXT_COLUMNS.items()}
    columns = [names[name] for name in _CLIP_COLUMNS if name in names]
    if not columns or not any(kept.values()):
        wanted = "the clip (such as path or file)" if not columns else "a caption, label or split"
        raise InputError(f"{path} has no column of {wanted}; its columns: {listed(rows[0][1])}")
    names_of_clips = ClipNames(clips)
    column = max(columns, key=lambda name: sum(bool(names_of_clips.find(row.get(name))) for _, row in rows))
    texts: dict[str, _Texts] = {}
    num_unknown = num_repeated = 0
    for number, row in rows:
        found = names_of_clips.find(row.get(column))
        if len(found) > 1:
            several = f"{shown(str(row[column]))!r} is the name of {len(found)} clips ({found[0]}, {found[1]}, ...)"
            raise InputError(f"{path}: row {number}: {several}; write more of the path")
        num_unknown += not found
        if found:
            new = {field: _text(row.get(name)) for field, name in kept.items() if name and _text(row.get(name))}
            num_repeated += found[0] in texts
            texts[found[0]] = _add(texts.get(found[0], {}), new, path, number)
    return Joined(texts, _summary(path, column, texts, len(clips), num_unknown, num_repeated))


def _first_of(known: Sequence[str], names: Mapping[str, str]) -> str | None:
    return next((names[name] for name in known if name in names), None)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _add(old: _Texts, new: _Texts, path: Path, number: int) -> _Texts:
    """Return what two rows say of a clip; of several captions the first is kept."""
    for field in ("label", "split"):
        if field in old and field in new and old[field] != new[field]:
            both = f"{shown(old[field])!r} and {shown(new[field])!r}"
            raise InputError(f"{path}: row {number}: its clip has two values of {field}, {both}; keep one")
    return new | old


def _summary(
    path: Path, column: str, texts: Mapping[str, _Texts], num_clips: int, num_unknown: int, num_repeated: int
) -> str:
    counts = {field: sum(field in each for each in texts.values()) for field in TEXT_COLUMNS}
    found = ", ".join(f"{count} {field}s" for field, count in counts.items() if count) or "nothing"
    said = [f"{path}: {found} by its column {column!r}"]
    said += [f"{num_unknown} rows match no clip"] if num_unknown else []
    said += [f"{num_repeated} rows name a clip again (the first caption is kept)"] if num_repeated else []
    missing = num_clips - len(texts)
    said += [f"{missing} clips have no row"] if missing else []
    return "; ".join(said)
