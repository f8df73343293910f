"""Texts in files of their own, named after a clip: NAME.srt, NAME.vtt, NAME.en.srt and NAME.txt beside NAME.mp4.

Of subtitles in several files, the one without a language in its name is read. Each line of a .txt is a caption.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.files.records import read_lines
from diffmask.video.clip.clip import Clip
from diffmask.video.clip.find import files_of, list_videos
from diffmask.video.clip.names import ClipNames
from diffmask.video_text.data.listings import CAPTION, Listing, Said, add_subtitles, text_of
from diffmask.video_text.data.match_questions import find_video
from diffmask.video_text.data.subtitles import SUBTITLE_SUFFIXES

_CAPTIONS = ".txt"
_LANGUAGE = re.compile(r"\.[a-zA-Z]{2,3}([-_][a-zA-Z0-9]+)*$")
"""What stands for a language at the end of a name: .en, .pt-BR."""
_NO_CLIP = "files of text without a clip"
_SEVERAL = "files of text whose name is that of several clips"
_MORE = "more subtitles of a clip are left out"
_NOTHING = "files of captions without text"


def is_text(path: str | Path) -> bool:
    """Tell whether a file may hold the text of a clip, by its name."""
    return str(path).lower().endswith((*SUBTITLE_SUFFIXES, _CAPTIONS))


def list_source(source: str, names: ClipNames | None) -> Listing:
    """Return the texts of a folder of clips, or of subtitles; of clips; or of one file of subtitles.

    Args:
        source: A folder, a glob, or a file.
        names: The clips that files of text may belong to that have none beside them; None for no others.

    Raises:
        InputError: If there is neither a clip nor a text.
    """
    is_folder = os.path.isdir(source)
    files = [Path(path) for path in files_of(source) if is_text(path)] if is_folder or is_text(source) else []
    clips: list[str] = []
    try:
        clips = list_videos(source if is_folder or not files else Path(source).parent)
    except InputError:
        if not files:
            raise
    listing = list_beside(clips, sorted(files) or None, names)
    return listing if is_folder or not files else replace(listing, clips=[])


def _files_beside(clips: Iterable[str]) -> list[Path]:
    """Return the files of text that are named after a clip beside them."""
    stems: defaultdict[Path, set[str]] = defaultdict(set)
    for clip in map(Path, clips):
        stems[clip.parent] |= {clip.stem, clip.name}
    found = []
    for folder, names in stems.items():
        with suppress(OSError):
            found += [file for file in sorted(folder.iterdir()) if is_text(file) and names & set(_stems(file))]
    return found


def _stems(file: Path) -> tuple[str, str]:
    """Return the name of a file without its suffix, and without a language too."""
    return file.stem, _LANGUAGE.sub("", file.stem)


def list_beside(clips: Sequence[str], files: Sequence[Path] | None = None, names: ClipNames | None = None) -> Listing:
    """Return the texts of clips, or of files.

    Args:
        clips: Paths of clips.
        files: Files of text; None for all that are named after a clip beside them.
        names: The clips that files may belong to that have none beside them; None for no others.
    """
    listing = Listing(list(clips))
    known = {(os.path.dirname(clip), name): clip for clip in clips for name in (Path(clip).stem, Path(clip).name)}
    of_clip: defaultdict[str, list[Path]] = defaultdict(list)
    for file in _files_beside(clips) if files is None else files:
        folder = os.path.abspath(file.parent)
        beside = (known[folder, stem] for stem in _stems(file) if (folder, stem) in known)
        found = list(beside)[:1] or _named(file, names)
        if len(found) == 1:
            of_clip[found[0]].append(file)
        else:
            listing.faults.add(_SEVERAL if found else _NO_CLIP, str(file))
    for clip, texts in of_clip.items():
        _add_texts(clip, texts, listing)
    return listing


def list_index(path: Path, clips: Mapping[str, Clip]) -> Listing:
    """Return the captions of an index, and of clips without one what stands beside them.

    Args:
        path: Its path, for messages.
        clips: Its clips by their paths.
    """
    captions = {clip.path: text_of(clip.caption) for clip in clips.values()}
    listing = list_beside([clip for clip, caption in captions.items() if not caption])
    where = ((clip, caption, f"{path}: {clip}") for clip, caption in captions.items() if caption)
    texts = [Said(clip, caption, CAPTION, place) for clip, caption, place in where]
    return replace(listing, clips=list(clips), texts=[*texts, *listing.texts])


def _named(file: Path, names: ClipNames | None) -> list[str]:
    found = (find_video(stem, None, names) for stem in _stems(file)) if names else ()
    return next(filter(None, found), [])


def _add_texts(clip: str, files: Iterable[Path], listing: Listing) -> None:
    """Add what the files of a clip say."""
    subtitles = [file for file in files if file.suffix.lower() in SUBTITLE_SUFFIXES]
    # without a language in the name first, then .srt before .vtt
    subtitles.sort(key=lambda file: (len(file.stem), file.name))
    for file in subtitles[1:]:
        listing.faults.add(_MORE, str(file))
    for file in subtitles[:1]:
        add_subtitles(clip, file, listing)
    for file in files:
        if file.suffix.lower() == _CAPTIONS:
            lines = list(filter(None, map(text_of, read_lines(file)))) if file.stat().st_size else []
            listing.texts += [Said(clip, line, CAPTION, str(file)) for line in lines]
            if not lines:
                listing.faults.add(_NOTHING, str(file))
