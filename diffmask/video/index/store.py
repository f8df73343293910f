"""An index on disk that is made, gone on with after a stop, and brought up to date."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import Clip
from diffmask.video.clip.find import Sources, list_videos
from diffmask.video.clip.join_tables import Joined
from diffmask.video.index.index import SUFFIX, index_clips, read_index, write_index
from diffmask.video.index.probe import TIME_LIMIT


@dataclass(frozen=True)
class Probing:
    """How files are probed; see `index_clips`."""

    num_processes: int = 1
    time_limit: float = TIME_LIMIT
    reader: str = "auto"
    progress: bool = False


def update_index(
    path: str | Path,
    sources: Sources,
    *,
    joins: Sequence[str | Path | Joined] = (),
    overwrite: bool = False,
    probing: Probing = Probing(),  # noqa: B008 - frozen
) -> list[Clip]:
    """Write the index of some files and return its clips; what an earlier run found of them is kept.

    Each clip is noted in a file beside the index as soon as it was probed, so a run that was stopped is gone on with.

    Args:
        path: The index, whether it is there or not.
        sources: Files, folders and globs; the index lists these and no others.
        joins: Tables with captions, labels and splits, as for `index_clips`.
        overwrite: Probe everything again and replace what is there.
        probing: How.

    Raises:
        InputError: If the index is no index, or lists clips that are not among the sources; or see `index_clips`.
    """
    path = check_output(path)
    paths = list_videos(sources)
    beside = side_file(path)
    if overwrite:
        beside.unlink(missing_ok=True)
    known = {} if overwrite else {clip.path: clip for clip in _known(path, beside, paths)}
    clips = []
    found = index_clips(paths, known=known.values(), joins=joins, **asdict(probing))
    with beside.open("a", encoding="utf-8") as notes:
        for clip in found:
            clips.append(clip)
            if known.get(clip.path) != clip:
                notes.write(json.dumps(clip.to_row()) + "\n")
                notes.flush()
    write_index(path, clips)
    beside.unlink()
    return sorted(clips, key=lambda clip: clip.path)


def side_file(path: Path) -> Path:
    """Return where the clips of an index are noted until it is written."""
    return path.with_name(f".{path.name}.partial.jsonl")


def check_output(path: str | Path) -> Path:
    """Return the path of an index that could be written.

    Raises:
        InputError: The name does not end with .parquet, or the folder is missing.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise InputError(f"an index is a Parquet file; give {path} a name that ends with {SUFFIX}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; choose another name for the index")
    if not path.parent.is_dir():
        raise InputError(f"folder {path.parent} does not exist; create it first")
    return path


def _known(path: Path, beside: Path, wanted: Sequence[str]) -> Iterator[Clip]:
    """Yield what an earlier run found, the newest last."""
    if path.exists():
        try:
            clips = read_index(path)
        except InputError as error:
            raise InputError(f"{path} exists and is no index of clips; choose another name, or --overwrite") from error
        others = sorted({clip.path for clip in clips if os.path.exists(clip.path)} - set(wanted))
        if others:
            remedy = "name them too, choose another index, or leave them out with --overwrite"
            raise InputError(f"{path} lists {len(others)} clips that were not given ({others[0]}, ...); {remedy}")
        yield from clips
    if beside.exists():
        yield from _noted(beside)


def _noted(beside: Path) -> Iterator[Clip]:
    *lines, rest = beside.read_text(encoding="utf-8").split("\n")
    if rest:
        # the run was killed while it wrote this line: the next one must not be written behind it
        beside.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    for line in lines:
        yield Clip.from_row(json.loads(line))
