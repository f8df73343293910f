"""Which texts tables, indexes and folders give to which clips; no clip is opened here."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffmask.core.errors import InputError
from diffmask.files.blocks import listed
from diffmask.files.records import Row, read_records
from diffmask.files.streams import split_suffix
from diffmask.video.clip.clip import labels_of
from diffmask.video.clip.find import list_videos
from diffmask.video.clip.join_tables import (
    END_COLUMNS,
    START_COLUMNS,
    TEXT_COLUMNS,
    MatchedRows,
    first_of,
    locate_rows,
    match_rows,
    plain,
)
from diffmask.video.clip.names import ClipNames
from diffmask.video.read.dataset import Span
from diffmask.video_text.data.faults import Faults
from diffmask.video_text.data.match_questions import find_video, match_questions
from diffmask.video_text.data.questions import first_row, read_questions
from diffmask.video_text.data.subtitles import Cue, cues_of, read_subtitles
from diffmask.video_text.data.times import seconds_of, span_of

CAPTION, SUBTITLES, QUESTION = "caption", "subtitle", "question"
_SUBTITLE_COLUMNS = tuple("subtitles subtitle subs srt vtt subtitlepath subtitlefile subtitlespath".split())
_CUES = "sub"
_SPAN_COLUMNS = ("ts", "timestamp", "timestamps", "span", "segment", "interval")
_LOCALISED = {True: "each about its seconds", False: "each about its whole clip"}
_NO_CLIP = "rows that name no clip"
_NOT_THERE = "rows whose clip is not there"
_SEVERAL = "rows whose name is that of several clips"
_NO_TEXT = "rows without text"
_NESTED = "rows whose text is an object, not a text or a list of texts"
_NO_FILE = "rows whose file of subtitles is not there"
_BROKEN = "files of subtitles that cannot be read"
_BAD_SECONDS = "rows whose seconds cannot be read (they show the whole clip)"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said:
    """A text that a source gives to a clip.

    Attributes:
        path: Path of the clip.
        text: The text.
        kind: `caption`, `subtitle` or `question`.
        where: Where it stands, for messages.
        span: Seconds of the clip that it is about; None for all of it. The end may be infinite.
        split: Its split, if the source says so.
        cues: Subtitles, of which texts about some seconds are made, in the place of `text`.
    """

    path: str
    text: str
    kind: str
    where: str
    span: Span | None = None
    split: str | None = None
    cues: tuple[Cue, ...] = ()


@dataclass
class Listing:
    """What a source names.

    Attributes:
        clips: Paths of clips that stand for themselves, with a text or without; not those of rows.
        texts: Texts of clips.
        faults: What of it is of no use.
    """

    clips: list[str] = field(default_factory=list)
    texts: list[Said] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)


def list_table(path: Path, names: ClipNames | None, column: str | None = None) -> Listing:
    """Return what the rows of a table say of clips: captions, each a row or several in a list, and files of subtitles.

    Args:
        path: A table (.csv, .tsv, .jsonl, .json or .parquet) or a list without a header.
        names: The clips that may be meant; None for files beside the table, or where its paths lead from here.
        column: Name of the column of the texts; None finds it.

    Raises:
        InputError: If it cannot be read, or has no column of clips or texts.
    """
    table = _beside(path) if names is None else match_rows(path, names)
    columns = _Columns.of(path, table, column)
    listing = Listing()
    for (number, row), clips, is_cut in zip(table.rows, table.clips, table.is_cut, strict=True):
        where = f"{path}: row {number}"
        fault = _fault_of_clips(row.get(table.column), clips, names)
        if fault is not None:
            listing.faults.add(fault, where)
            continue
        texts, split = list(columns.texts(row)), columns.split_of(row)
        file = columns.subtitles_of(row, path.parent, where, listing.faults)
        if not texts and file is None:
            listing.faults.add(_NESTED if columns.is_nested(row) else _NO_TEXT, where)
        span = None if is_cut or not texts else columns.span(row, where, listing.faults)
        listing.texts += [Said(clip, text, CAPTION, where, span, split) for clip in clips for text in texts]
        if file is not None:
            for clip in clips:
                add_subtitles(clip, file, listing, split)
    return listing


def list_questions(path: Path, names: ClipNames | None, *, localised: bool) -> Listing:
    """Return the questions of a file: these alone, for their answers are what a model is to find.

    Args:
        path: The file.
        names: The clips that may be meant; None for those in the folder of the file.
        localised: Whether a question is about the seconds that its file gives, and not about the whole clip.

    Raises:
        InputError: If it cannot be read.
    """
    read = read_questions(path)
    listing = Listing()
    listing.faults.add_all(read.faults)
    clips = match_questions(read.questions, names or ClipNames(_videos_near(path)), listing.faults)
    for question, clip in zip(read.questions, clips, strict=True):
        if clip is not None:
            span = question.span if localised else None
            where = f"{path}: {question.qid}"
            listing.texts.append(Said(clip, question.question, QUESTION, where, span, question.split))
    logger.info("%s; their questions alone are read, %s", *read.said, _LOCALISED[localised])
    return listing


def _videos_near(path: Path) -> list[str]:
    """Return the clips in the folder of a file."""
    try:
        return list_videos(path.parent)
    except InputError:
        return []


def _beside(path: Path) -> MatchedRows:
    """Return the rows of a table by the files that they name, or else by names of clips in the table's folder."""
    table = locate_rows(path)
    if any(table.clips):
        return table
    near = _videos_near(path)
    return match_rows(path, ClipNames(near)) if near else table


def _fault_of_clips(name: Any, clips: Sequence[str], names: ClipNames | None) -> str | None:
    if not str(name if name is not None else "").strip():
        return _NO_CLIP
    if not clips:
        return _NOT_THERE
    return _SEVERAL if len(clips) > 1 and not (names and names.are_of_one_video(name, list(clips))) else None


@dataclass(frozen=True)
class _Columns:
    """Where a table says what of its clips."""

    text: str | None
    start: str | None
    end: str | None
    span_column: str | None
    split: str | None
    subtitles: str | None

    @classmethod
    def of(cls, path: Path, table: MatchedRows, text: str | None) -> "_Columns":
        """Return the columns of a table.

        Raises:
            InputError: If it has no column of texts.
        """
        columns = table.columns
        named = columns.get(plain(text)) if text else first_of(TEXT_COLUMNS["caption"], columns)
        subtitles = first_of(_SUBTITLE_COLUMNS, columns)
        if named is None and (text or subtitles is None):
            what = f"column {text!r}" if text else f"column of texts (such as {', '.join(TEXT_COLUMNS['caption'])})"
            raise InputError(f"{path} has no {what}; its columns: {listed(columns.values())}")
        start, end, span = (first_of(known, columns) for known in (START_COLUMNS, END_COLUMNS, _SPAN_COLUMNS))
        return cls(named, start, end, span, first_of(TEXT_COLUMNS["split"], columns), subtitles)

    def texts(self, row: Row) -> Iterator[str]:
        """Yield the texts of a row that are not blank."""
        value = row.get(self.text) if self.text else None
        several = labels_of(value)
        yield from filter(None, (text_of(each) for each in ([value] if several is None else several)))

    def is_nested(self, row: Row) -> bool:
        """Tell whether a row has objects where its texts should be."""
        return isinstance(row.get(self.text) if self.text else None, dict | list) and any(row[self.text or ""])

    def subtitles_of(self, row: Row, folder: Path, where: str, faults: Faults) -> Path | None:
        """Return the file of subtitles that a row names, in the table's folder or here; None if it names none."""
        named = text_of(row.get(self.subtitles)) if self.subtitles else ""
        if not named:
            return None
        file = next((place / named for place in (folder, Path()) if (place / named).is_file()), None)
        if file is None:
            faults.add(_NO_FILE, f"{where}: {named}")
        return file

    def span(self, row: Row, where: str, faults: Faults) -> Span | None:
        """Return the seconds that a row gives; None if it gives none, which is a fault if it seems to give some."""
        start, end, both = (row.get(name) if name else None for name in (self.start, self.end, self.span_column))
        if _is_blank(start) and _is_blank(end):
            span = span_of(both)
            wrong = span is None and not _is_blank(both)
        else:
            first = 0.0 if _is_blank(start) else seconds_of(start)
            last = float("inf") if _is_blank(end) else seconds_of(end)
            wrong = first is None or last is None or first >= last
            span = None if first is None or last is None or wrong else (first, last)
        if wrong:
            faults.add(_BAD_SECONDS, where)
        return span

    def split_of(self, row: Row) -> str | None:
        """Return the split that a row names."""
        return text_of(row.get(self.split)) or None if self.split else None


def text_of(value: Any) -> str:
    """Return what a value says, on one line; "" of nothing, and of objects, whose parts are not known."""
    return "" if _is_blank(value) or isinstance(value, dict | list) else " ".join(str(value).split())


def _is_blank(value: Any) -> bool:
    # not a number is what tables write for nothing
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def add_subtitles(clip: str, file: Path, listing: Listing, split: str | None = None) -> None:
    """Add the subtitles of a file, or what is wrong with it."""
    try:
        cues, faults = read_subtitles(file)
    except InputError as error:
        listing.faults.add(_BROKEN, str(error))
        return
    listing.faults.add_all(faults, f"{file}: ")
    listing.texts.append(Said(clip, "", SUBTITLES, str(file), split=split, cues=tuple(cues)))


def is_cue_rows(path: Path) -> bool:
    """Tell whether a file holds subtitles as TVQA's does: rows of vid_name and sub, a list of text, start and end."""
    if not path.is_file() or split_suffix(path)[0] not in (".jsonl", ".json", ".parquet"):
        return False
    first = first_row(path)
    return first is not None and "vid_name" in first and isinstance(first.get(_CUES), list)


def list_cue_rows(path: Path, names: ClipNames | None) -> Listing:
    """Return the subtitles of a file as TVQA's.

    Args:
        path: The file.
        names: The clips that may be meant; None for those in the folder of the file.
    """
    names = names or ClipNames(_videos_near(path))
    listing = Listing()
    for number, row in read_records(path):
        clips = find_video(text_of(row.get("vid_name")), None, names)
        where = f"{path}: row {number}"
        fault = _fault_of_clips(row.get("vid_name"), clips, names)
        entries = row.get(_CUES)
        if fault is not None or not isinstance(entries, list):
            listing.faults.add(fault or _NO_TEXT, where)
            continue
        faults = Faults()
        cues = cues_of(entries, faults)
        listing.faults.add_all(faults, f"{where}: ")
        if cues:
            listing.texts.append(Said(clips[0], "", SUBTITLES, where, cues=tuple(cues)))
        else:
            listing.faults.add(_NO_TEXT, where)
    return listing
