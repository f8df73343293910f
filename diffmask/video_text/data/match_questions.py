"""Which clip a question is about: by what its file calls the video, and how data sets name their clips."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from diffmask.video.clip.clip import Clip
from diffmask.video.clip.find import list_videos
from diffmask.video.clip.names import ClipNames
from diffmask.video.index.index import Probing, index_clips, is_index, read_index
from diffmask.video_text.data.faults import Faults
from diffmask.video_text.data.questions import Question

SHOWS = {
    "The Big Bang Theory": "bbt",
    "Castle": "castle",
    "Friends": "friends",
    "Grey's Anatomy": "grey",
    "House M.D.": "house",
    "How I Met You Mother": "met",
}
"""The series of TVQA, as its files spell them, and what their clips' names begin with; those of the first have no such
prefix."""
_FIRST = "bbt"
_EPISODE = re.compile(r"(?:([a-z]+)_)?(s\d+e\d+_.*)")
_NUMBERED = ("video{}", "vid{}")
"""What MSR-VTT and MSVD call the clip of a number."""
_NO_CLIP = "videos of questions without a clip"
_SEVERAL = "videos of questions whose name is that of several clips"


def match_questions(questions: Sequence[Question], names: ClipNames, faults: Faults) -> list[str | None]:
    """Return the path of the clip of each question; None if there is none, or not one alone.

    A name means what it means in other tables. Of TVQA, clips of the first series are found with and without its
    prefix, those of the others also without theirs in a folder of their series, such as `castle_frames`.

    Args:
        questions: The questions.
        names: The clips.
        faults: Gets the videos that are not found, each once.
    """
    found: dict[tuple[str, str | None], list[str]] = {}
    for question in questions:
        key = (question.video, question.show)
        if key not in found:
            found[key] = find_video(*key, names)
            if len(found[key]) != 1:
                faults.add(_SEVERAL if found[key] else _NO_CLIP, question.video)
    clips = (found[question.video, question.show] for question in questions)
    return [each[0] if len(each) == 1 else None for each in clips]


def clips_of_questions(
    questions: Sequence[Question], sources: Sequence[str], faults: Faults, *, progress: bool = False
) -> tuple[list[Clip | None], ClipNames]:
    """Return the clip of each question, and what the clips are called that were looked through.

    A question has None if there is no clip, not one alone, or one that cannot be read.

    Args:
        questions: The questions.
        sources: Indexes, folders or globs of clips.
        faults: Gets the videos that are not found, each once.
        progress: Show a bar while clips are probed that no index knows.

    Raises:
        InputError: If a source does not exist.
    """
    known = {clip.path: clip for source in sources if is_index(source) for clip in read_index(source)}
    others = [source for source in sources if not is_index(source)]
    names = ClipNames([*known, *(list_videos(others) if others else ())])
    paths = match_questions(questions, names, faults)
    unknown = sorted({path for path in paths if path} - known.keys())
    if unknown:
        known |= {clip.path: clip for clip in index_clips(unknown, probing=Probing(progress=progress))}
    found = (known.get(path or "") for path in paths)
    return [clip if clip is not None and clip.is_ok else None for clip in found], names


def find_video(video: str, series: str | None, names: ClipNames) -> list[str]:
    """Return the clips that a data set may mean by the name of a video.

    Args:
        video: The name.
        series: The series that it is of, as TVQA spells it, if that is known.
        names: The clips.
    """
    show = _show_of(video, series)
    if show is None:
        candidates = [video]
        if video.isdecimal():
            candidates += [name.format(video) for name in _NUMBERED]
        return next(filter(None, map(names.find, candidates)), [])
    for name in _names_in_tvqa(video, show):
        found = [clip for clip in names.find(name) if _series_of(clip) in (show, None)]
        if found:
            # a folder that bears the name of the series is better than one that does not
            return [clip for clip in found if _series_of(clip) == show] or found
    return []


def _show_of(video: str, series: str | None) -> str | None:
    """Return the prefix of the series that a video is of; None if it is of none of TVQA's."""
    match = _EPISODE.fullmatch(video)
    return None if match is None else match[1] or SHOWS.get(series or "", _FIRST)


def _names_in_tvqa(video: str, show: str) -> Iterator[str]:
    """Yield what a clip of TVQA may be called, likely names first."""
    match = _EPISODE.fullmatch(video)
    assert match is not None, f"{video} is not of TVQA"
    yield video
    yield f"{show}_{match[2]}"
    if show != _FIRST:  # without the prefix, names are those of the first series
        yield from (f"{folder}/{match[2]}" for folder in (show, f"{show}_frames"))
    else:
        yield match[2]


def _series_of(path: str) -> str | None:
    """Return the series that the folder of a clip is named after; None if it is named otherwise."""
    prefix = PurePath(path).parent.name.lower().split("_")[0]
    return prefix if prefix in SHOWS.values() else None
