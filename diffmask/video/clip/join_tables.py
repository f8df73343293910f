"""Captions, labels and splits of clips, from tables that others wrote, by any name that they give a clip."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmask.core.errors import InputError
from diffmask.files.blocks import listed, shown
from diffmask.files.records import Row
from diffmask.files.streams import split_suffix
from diffmask.video.clip.clip import labels_of
from diffmask.video.clip.frames import is_clip_file
from diffmask.video.clip.manifests import LIST_SUFFIXES, Manifest, read_manifest
from diffmask.video.clip.names import ClipNames, folders_of, readings, shared_folders

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", *LIST_SUFFIXES)
"""Suffixes of files that name clips, where videos and indexes are given too."""
CLIP_COLUMNS = tuple(
    "path file filename filepath video videopath videoname videofile videofilename videoid vid youtubeid ytid clip "
    "clippath clipname clipfile clipid name id key".split()
)
START_COLUMNS = tuple("timestart starttime start startseconds startsec starttimeseconds begin".split())
END_COLUMNS = tuple("timeend endtime end endseconds endsec endtimeseconds stop".split())
_MANY_COLUMN = "positivelabels"
"""The column of AudioSet, whose labels are divided by commas."""
TEXT_COLUMNS = {
    "caption": ("caption", "captions", "text", "description", "sentence", "title"),
    "label": ("label", "labels", "class", "classname", "labelname", "category", "action", "target", _MANY_COLUMN),
    "split": ("split", "subset", "partition", "fold"),
}
"""Names of columns that are understood, likely ones first, for each field of a clip; case and what is no letter or
number in a name do not count."""

RATE = "fps"
_RATE_COLUMNS = ("fps", "framerate", "framespersecond")
_Texts = dict[str, str]
"""Caption, label and split of one clip, and its frames a second, as far as they are known."""


@dataclass(frozen=True)
class Joined:
    """What a table says of clips."""

    texts: dict[str, _Texts]
    """By the path of the clip; also `RATE`, the frames a second, which only folders of images need."""
    summary: str
    """How many were found, as one sentence."""


def names_clips(path: str | Path) -> bool:
    """Tell whether a file is a table or a list, by its suffix."""
    return os.path.isfile(path) and split_suffix(Path(path))[0] in TABLE_SUFFIXES


def join(path: str | Path, clips: Sequence[str], split: str | None = None, *, required: bool = True) -> Joined:
    """Read what a table says of clips.

    A row names its clip as `ClipNames` says. If several columns could hold names, the one that matches most clips is
    used. Where all paths begin with folders that are not there, as on another machine, they count without them.

    Args:
        path: A table (.csv, .tsv, .jsonl or .parquet), or a list without a header (.csv, .txt, ...).
        clips: Paths of clips.
        split: The split of its clips, where it does not say.
        required: Whether a table that says nothing of clips is refused.

    Raises:
        InputError: If the table is not there or lacks columns, a name stands for several clips, or a clip has several
            labels or splits.
    """
    names = ClipNames(clips)
    table = match_rows(path, names)
    columns = table.columns
    kept = {field: first_of(known, columns) for field, known in TEXT_COLUMNS.items()}
    if required and not split and not table.said and not any(kept.values()):
        every = listed(table.rows[0][1])
        raise InputError(f"{path} has no column of a caption, label or split; its columns: {every}")
    texts: dict[str, _Texts] = {}
    num_unknown = num_repeated = 0
    for (number, row), these in zip(table.rows, table.clips, strict=True):
        if len(these) > 1 and not names.are_of_one_video(row[table.column], these):
            raise InputError(f"{path}: row {number}: {table.several(row, these)}; write more of the path")
        num_unknown += not these
        new = {field: text for field, name in kept.items() if name and (text := _text(field, name, row.get(name)))}
        new = {"split": split} | new if split else new
        new |= {RATE: rate} if (rate := _rate_of(row, columns)) else {}
        for clip in these:
            num_repeated += clip in texts
            texts[clip] = _add(texts.get(clip, {}), new, Path(path), number)
    said = _summary(Path(path), table, texts, len(clips), num_unknown, num_repeated)
    if not texts:
        said += f"; its first row names {shown(str(table.rows[0][1].get(table.column)))!r}"
    return Joined(texts, said + (f"; {table.dropped}" if table.dropped else ""))


@dataclass(frozen=True)
class MatchedRows:
    """The rows of a table, and which clips each names.

    Attributes:
        rows: The rows with their numbers, from 1.
        columns: Names of the columns by their plain names: small letters and numbers only.
        column: The column that names clips.
        clips: Paths of the clips of each row: none, one, or several.
        is_cut: Whether these were cut at the seconds that the row gives, and known by them.
        said: How a list without a header was read; "" of a table that names its columns.
        dropped: Which folders of its paths do not count; "" if none.
    """

    rows: list[tuple[int, Row]]
    columns: dict[str, str]
    column: str
    clips: list[list[str]]
    is_cut: list[bool]
    said: str = ""
    dropped: str = ""

    @property
    def by(self) -> str:
        """How clips were found, for messages."""
        return self.said or f"its column {self.column!r}"

    def several(self, row: Row, clips: Sequence[str]) -> str:
        """Return what to say of a row that names several clips."""
        name = shown(str(row[self.column]))
        return f"{name!r} is the name of {len(clips)} clips ({clips[0]}, {clips[1]}, ...)"


def match_rows(path: str | Path, names: ClipNames) -> MatchedRows:
    """Read a table whose rows name clips, in any way that `ClipNames` knows.

    Raises:
        InputError: If the table is not there, is empty or has no column of clips.
    """
    manifest, columns = _read(Path(path), lambda text: bool(names.find(text)))
    column, found, dropped = _find_clips(manifest, columns, names)
    is_cut = [False] * len(found)
    if not dropped and first_of(START_COLUMNS, columns):
        whole = (names.find(row.get(column)) for _, row in manifest.rows)
        is_cut = [these != all_of_it for these, all_of_it in zip(found, whole, strict=True)]
    return MatchedRows(manifest.rows, columns, column, found, is_cut, manifest.said, dropped)


def locate_rows(path: str | Path) -> MatchedRows:
    """Read a table whose rows name files: beside it, or where its paths lead from here.

    Of several columns that name clips, the one that leads to most files is taken. A row whose file is not there names
    no clip.

    Raises:
        InputError: If the table is not there, is empty or has no column of clips.
    """
    manifest, columns, column, files = _locate(Path(path))
    clips = [[file] if is_clip_file(file) else [] for file in files]
    return MatchedRows(manifest.rows, columns, column, clips, [False] * len(clips), manifest.said)


def _locate(path: Path) -> tuple[Manifest, dict[str, str], str, list[str]]:
    """Return rows and columns of a table, the column that names most files, and the file of each row ("" if none)."""
    places = (path.parent, Path())
    manifest, columns = _read(path, lambda text: any(is_clip_file(place / text) for place in places))
    tried = {columns[name]: _files(manifest, columns[name], places) for name in CLIP_COLUMNS if name in columns}
    column = max(tried, key=lambda name: sum(map(is_clip_file, tried[name])))
    return manifest, columns, column, tried[column]


def _files(manifest: Manifest, column: str, places: Sequence[Path]) -> list[str]:
    """Return the file that each row means, "" where it names none: all from one place, with as much of their paths."""
    named = [str(row.get(column) or "").strip() for _, row in manifest.rows]
    for num_dropped in range(shared_folders(named) + 1):
        for place in places:
            found = [_file(name, place, num_dropped) if name else "" for name in named]
            if any(map(is_clip_file, found)):
                return found
    return [_file(name, places[0], 0) if name else "" for name in named]


def listed_clips(path: str | Path) -> list[str]:
    """Return the paths of the clips that a table or a list names: beside it, or where its paths lead from here.

    Raises:
        InputError: If not one of them is there.
    """
    manifest, _, column, files = _locate(Path(path))
    found = list(filter(None, files))
    if any(map(is_clip_file, found)):
        return found
    first = next((name for _, row in manifest.rows if (name := str(row.get(column) or "").strip())), "nothing")
    by = manifest.said or f"its column {column!r}"
    remedy = f"give the folder of the clips in its place, and the table as --join {path}"
    raise InputError(f"{path}: none of its clips ({shown(first)}, ...; {by}) is beside it or here; {remedy}")


def _file(name: str, place: Path, num_dropped: int) -> str:
    """Return the file that a name means in a folder; as it stands, if there is none."""
    paths = [os.path.abspath(place.joinpath(*folders_of(each)[num_dropped:])) for each in readings(name)]
    return next(filter(is_clip_file, paths), paths[0])


def _read(path: Path, knows: Callable[[str], bool]) -> tuple[Manifest, dict[str, str]]:
    """Return the rows of a table, and its columns by their plain names."""
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path of --join")
    manifest = read_manifest(path, knows, lambda name: plain(name) in CLIP_COLUMNS)
    if not manifest.rows:
        raise InputError(f"{path} has no rows; leave --join out or fill it")
    every = list(dict.fromkeys(name for _, row in manifest.rows for name in row))
    columns: dict[str, str] = {}
    for name in every:
        columns.setdefault(plain(name), name)
    if not any(name in columns for name in CLIP_COLUMNS):
        raise InputError(f"{path} has no column of the clip (such as path or file); its columns: {listed(every)}")
    return manifest, columns


def plain(name: str) -> str:
    """Return a name of a column by which its spellings are known as one: small letters and numbers only."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def first_of(known: Sequence[str], columns: Mapping[str, str]) -> str | None:
    """Return the first of some known columns that a table has, as it calls it.

    Args:
        known: Plain names, likely ones first.
        columns: The table's columns by their plain names.
    """
    return next((columns[name] for name in known if name in columns), None)


def _find_clips(manifest: Manifest, columns: Mapping[str, str], names: ClipNames) -> tuple[str, list[list[str]], str]:
    """Return the column that names most clips, the clips of each row, and which folders were taken off its paths."""
    rows = [row for _, row in manifest.rows]
    start, end = (first_of(known, columns) for known in (START_COLUMNS, END_COLUMNS))

    def of_column(name: str) -> list[list[str]]:
        return [names.find_segment(row.get(name), start and row.get(start), end and row.get(end)) for row in rows]

    tried = {columns[name]: of_column(columns[name]) for name in CLIP_COLUMNS if name in columns}
    column = max(tried, key=lambda name: sum(map(bool, tried[name])))
    best, dropped = tried[column], ""
    named = [str(row.get(column) or "").strip() for row in rows]
    for number in range(1, shared_folders(named) + 1) if not all(best) else ():
        found = [names.find(name, number) for name in named]
        if sum(len(each) == 1 for each in found) > sum(map(bool, best)):
            folders = "/".join(folders_of(list(readings(next(filter(None, named))))[-1])[:number]).replace("//", "/")
            best, dropped = found, f"its paths were read without {folders}, which is not there"
    return column, best, dropped


def _rate_of(row: Row, columns: Mapping[str, str]) -> str:
    """Return the frames a second that a row says, "" if it says none."""
    column = first_of(_RATE_COLUMNS, columns)
    try:
        rate = float(row.get(column) or 0) if column else 0.0
    except (TypeError, ValueError):
        return ""
    return str(rate) if 0 < rate < float("inf") else ""


def _text(field: str, column: str, value: Any) -> str:
    """Return what a value says; a list of labels as JSON, and the first of several captions."""
    if value is None or value != value:  # not a number, which tables write for nothing
        return ""
    if field == "label" and plain(column) == _MANY_COLUMN and isinstance(value, str):
        value = value.split(",")
    several = labels_of(value)
    if several is None:
        return str(value).strip()
    if field == "label":
        return json.dumps(several, ensure_ascii=False) if several else ""
    return several[0] if several else ""


def _add(old: _Texts, new: _Texts, path: Path, number: int) -> _Texts:
    """Return what two rows say of a clip; of several captions the first is kept."""
    for field in ("label", "split"):
        if field in old and field in new and old[field] != new[field]:
            both = f"{shown(old[field])!r} and {shown(new[field])!r}"
            raise InputError(f"{path}: row {number}: its clip has two values of {field}, {both}; keep one")
    return new | old


def _summary(
    path: Path, table: MatchedRows, texts: Mapping[str, _Texts], num_clips: int, num_unknown: int, num_repeated: int
) -> str:
    counts = {field: sum(field in each for each in texts.values()) for field in TEXT_COLUMNS}
    found = ", ".join(f"{count} {field}s" for field, count in counts.items() if count) or "nothing"
    said = [f"{path}: {found} by {table.by}"]
    said += [f"{num_unknown} rows match no clip"] if num_unknown else []
    said += [f"{num_repeated} rows name a clip again (the first caption is kept)"] if num_repeated else []
    missing = num_clips - len(texts)
    said += [f"{missing} clips have no row"] if missing else []
    return "; ".join(said)
