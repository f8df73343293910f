"""Whether files hold clips with texts, and not clips alone or texts alone."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from diffmask.core.errors import InputError
from diffmask.files.records import Row, read_records
from diffmask.files.streams import split_suffix
from diffmask.video.clip.clip import VIDEO_SUFFIXES
from diffmask.video.clip.join_tables import CLIP_COLUMNS, TEXT_COLUMNS, plain
from diffmask.video.index.index import is_index
from diffmask.video_text.data.listings import is_cue_rows
from diffmask.video_text.data.questions import is_questions

_TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
_NUM_ROWS = 20
"""Rows of a table that are looked at."""


def are_pairs(sources: Sequence[str | Path], are_expected: Callable[[], bool]) -> bool:
    """Tell whether sources are clips with texts: files of questions, and tables of videos and texts.

    What may also be clips alone, such as an index, whose clips may have captions, is one if clips with texts are
    expected.

    Args:
        sources: Files, folders or globs.
        are_expected: Asked where sources do not say it themselves.
    """
    return bool(sources) and (all(_names_both(Path(source)) for source in sources) or are_expected())


def _names_both(path: Path) -> bool:
    """Tell whether a file holds questions or TVQA's subtitles, or its first rows have a text and a video's name."""
    if not path.is_file() or split_suffix(path)[0] not in _TABLES or is_index(path):
        return False
    with suppress(InputError):  # who reads the file says what is wrong with it
        return (
            is_questions(path)
            or is_cue_rows(path)
            or any(_is_pair(row) for _, row in islice(read_records(path), _NUM_ROWS))
        )
    return False


def _is_pair(row: Row) -> bool:
    columns = {plain(name): value for name, value in row.items()}
    videos = (_is_video(columns.get(name)) for name in CLIP_COLUMNS)
    return any(name in columns for name in TEXT_COLUMNS["caption"]) and any(videos)


def _is_video(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower().endswith(VIDEO_SUFFIXES)
