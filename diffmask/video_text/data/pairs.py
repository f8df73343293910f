"""Pairs of a clip, or of some seconds of it, and a text that goes with it.

    pairs = read_pairs(["captions.jsonl"], PairSettings(clips=("clips.parquet",)))
    for pair in pairs.pairs:
        print(pair.clip.path, pair.span, pair.text)

What cannot be used is left out, counted and named: `pairs.faults`.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from diffmask.config.limits import above, check_limits
from diffmask.core.errors import InputError
from diffmask.files.blocks import listed, shown
from diffmask.files.splits import SPLIT_NAMES
from diffmask.files.streams import split_suffix
from diffmask.video.clip.clip import Clip
from diffmask.video.clip.find import Sources, list_videos
from diffmask.video.clip.join_tables import names_clips
from diffmask.video.clip.names import ClipNames
from diffmask.video.index.index import Probing, index_clips, is_index, read_index, usable
from diffmask.video.read.dataset import Span
from diffmask.video_text.data.beside import list_index, list_source
from diffmask.video_text.data.faults import Faults
from diffmask.video_text.data.listings import (
    Listing,
    Said,
    is_cue_rows,
    list_cue_rows,
    list_questions,
    list_table,
)
from diffmask.video_text.data.questions import is_questions
from diffmask.video_text.data.subtitles import segments

_TABLES = (".json", ".parquet")
"""Suffixes of tables beside those that name clips for `diffmask index`."""
_NO_TEXT = "clips without text"
_UNREADABLE = "texts of clips that cannot be read"
_OUTSIDE = "texts about seconds outside of their clip"
_SUBTITLES_OUTSIDE = "subtitles after the end of their clip are left out"
_CLAMPED = "texts whose seconds end after their clip (cut off there)"
_TWICE = "texts that stand there twice"
_BROKEN = "texts with half a character"
_TOLERANCE = 0.1
"""Seconds after a clip's end that are rounding, not a fault."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A text and what it is about.

    Attributes:
        clip: The clip.
        text: The text, on one line.
        start: Second of the clip at which it begins; None for all of the clip.
        end: Second at which it ends.
        kind: `caption`, `subtitle` or `question`.
        split: The split that its source names.
    """

    clip: Clip
    text: str
    start: float | None = None
    end: float | None = None
    kind: str = "caption"
    split: str | None = None

    @property
    def span(self) -> Span | None:
        """The seconds of the clip that it is about; None for all of it."""
        return None if self.start is None or self.end is None else (self.start, self.end)


@dataclass(frozen=True)
class PairSettings:
    """How sources become pairs.

    Attributes:
        clips: Indexes, folders or globs of the clips that tables name; none for files beside each table.
        split: Only pairs of this split, by any of its names (dev, val, validation); None for all.
        column: Name of the column of the texts in tables; None finds it.
        segment_seconds: About how long the parts of a clip are of which each, with all that is said in it, is a pair.
        localised: Take questions as about the seconds that their files give (`ts`), which whoever answers does not know
            in the task without localisation; else they are about the whole clip.
        progress: Show a bar while clips are probed that no index knows.
    """

    clips: tuple[str, ...] = ()
    split: str | None = None
    column: str | None = None
    segment_seconds: Annotated[float, above(0, "8 cuts a minute into about eight parts")] = 8.0
    localised: bool = False
    progress: bool = False

    def __post_init__(self):
        """Check what users set."""
        check_limits(self)


@dataclass(frozen=True)
class Pairs:
    """The pairs of some sources, in their order.

    Attributes:
        pairs: The pairs.
        faults: What was left out or put right.
    """

    pairs: tuple[Pair, ...]
    faults: Faults

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.pairs)


def read_pairs(sources: Sources, settings: PairSettings = PairSettings()) -> Pairs:  # noqa: B008 - frozen
    """Return the pairs of sources; what is left out is counted, named and logged, one line for each reason.

    Args:
        sources: Tables of clips and captions (.csv, .tsv, .jsonl, .json, .parquet), indexes made by `diffmask index`
            whose clips have captions or text beside them, folders and globs of clips with NAME.srt, NAME.vtt or
            NAME.txt beside NAME.mp4, files and folders of subtitles by the names of clips, and files of questions (see
            `questions`), whose answers and labels are not read.
        settings: How they become pairs.

    Raises:
        InputError: If a source cannot be read, or there is no pair.
    """
    sources = [sources] if isinstance(sources, str | Path) else list(sources)
    given_clips = list(map(str, settings.clips))
    indexes = [source for source in (*map(str, sources), *given_clips) if is_index(source)]
    known = {path: {clip.path: clip for clip in read_index(path)} for path in indexes}
    given = _given(given_clips, known)
    names = ClipNames(given) if settings.clips else None
    listings = [_list(str(source), known, names, settings) for source in sources]
    faults = Faults()
    for listing in listings:
        faults.add_all(listing.faults)
    texts = [text for listing in listings for text in listing.texts]
    clips = _clips(texts, known, settings)
    named = [*given, *(clip for listing in listings for clip in listing.clips)]
    _add_clips_without_text(named, texts, faults)
    pairs = list(_pairs(texts, clips, settings.segment_seconds, faults))
    faults.tell(logger)
    where = ", ".join(map(str, sources))
    if not pairs:
        raise InputError(f"{where} has no pair of a clip and a text ({str(faults) or 'nothing is in it'})")
    return Pairs(tuple(_of_split(pairs, settings.split, where)), faults)


def _given(sources: Sequence[str], known: Mapping[str, Mapping[str, Clip]]) -> list[str]:
    """Return the paths of the clips that may be meant."""
    others = [source for source in sources if source not in known]
    indexed = [path for source in sources for path in known.get(source, ())]
    return list(dict.fromkeys([*indexed, *(list_videos(others) if others else ())]))


def _list(
    source: str, known: Mapping[str, Mapping[str, Clip]], names: ClipNames | None, settings: PairSettings
) -> Listing:
    path = Path(source)
    if source in known:
        return list_index(path, known[source])
    if is_questions(path):
        return list_questions(path, names, localised=settings.localised)
    if is_cue_rows(path):
        return list_cue_rows(path, names)
    if names_clips(path) or (path.is_file() and split_suffix(path)[0] in _TABLES):
        return list_table(path, names, settings.column)
    return list_source(source, names)


def _clips(texts: Sequence[Said], known: Mapping[str, Mapping[str, Clip]], settings: PairSettings) -> dict[str, Clip]:
    """Return the clips that have texts and can be used, by path; those that no index knows are probed."""
    found = {path: clip for clips in known.values() for path, clip in clips.items()}
    wanted = dict.fromkeys(text.path for text in texts)
    unknown = [path for path in wanted if path not in found]
    if unknown:
        found |= {clip.path: clip for clip in index_clips(unknown, probing=Probing(progress=settings.progress))}
    named = [found[path] for path in wanted if path in found]
    return {clip.path: clip for clip in usable(named, "the pairs")} if named else {}


def _add_clips_without_text(paths: Iterable[str], texts: Iterable[Said], faults: Faults) -> None:
    with_text = {text.path for text in texts}
    for path in dict.fromkeys(paths):
        if path not in with_text:
            faults.add(_NO_TEXT, path)


def _pairs(texts: Iterable[Said], clips: Mapping[str, Clip], segment_seconds: float, faults: Faults) -> Iterator[Pair]:
    """Yield the pairs that can be used, each once."""
    seen: set[tuple[str, str, Span | None]] = set()
    for said in texts:
        clip = clips.get(said.path)
        if clip is None:
            faults.add(_UNREADABLE, said.where)
            continue
        parts = _segments(said, clip, segment_seconds, faults) if said.cues else ((said.text, said.span),)
        for text, given in parts:
            if not _is_whole(text):
                faults.add(_BROKEN, said.where)
                continue
            span = _within(given, clip, said.where, faults)
            if given is not None and span is None and clip.duration:
                continue
            if (clip.path, text, span) in seen:
                faults.add(_TWICE, said.where)
                continue
            seen.add((clip.path, text, span))
            yield Pair(clip, text, *(span or (None, None)), said.kind, said.split or clip.split)


def _segments(said: Said, clip: Clip, seconds: float, faults: Faults) -> Iterator[tuple[str, Span]]:
    """Yield what is said in the parts of a clip; subtitles after its end are a fault."""
    duration = clip.duration or max(cue.end for cue in said.cues)
    for cue in said.cues:
        if cue.start >= duration:
            faults.add(_SUBTITLES_OUTSIDE, f"{said.where}: at {cue.start:g} s of {duration:g}")
    yield from ((text, span) for span, text in segments(said.cues, duration, seconds))


def _within(span: Span | None, clip: Clip, where: str, faults: Faults) -> Span | None:
    """Return the seconds that lie in a clip; None if none do, or the clip has no times."""
    if span is None or not clip.duration:
        return None
    if span[0] >= clip.duration:
        faults.add(_OUTSIDE, where)
        return None
    if clip.duration + _TOLERANCE < span[1] < float("inf"):
        faults.add(_CLAMPED, where)
    return span[0], min(span[1], clip.duration)


def _is_whole(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _of_split(pairs: Sequence[Pair], split: str | None, where: str) -> Sequence[Pair]:
    if split is None:
        return pairs
    found = [pair for pair in pairs if _plain_split(pair.split) == _plain_split(split)]
    if not found:
        known = listed(sorted({pair.split for pair in pairs if pair.split}))
        raise InputError(f"no pair of {shown(where)} is of the split {split!r}; its splits: {known}")
    return found


def _plain_split(split: str | None) -> str | None:
    return SPLIT_NAMES.get(split.lower(), split) if split else None
