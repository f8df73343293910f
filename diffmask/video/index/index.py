"""The index: what clips there are and how each is read, made once by probing and kept in a Parquet file.

clips = list(index_clips(["footage/"], probing=Probing(num_processes=4)))
write_index("clips.parquet", clips)
for clip in read_clips("clips.parquet"): ...

`update_index` does both, continues a run that was stopped, and probes only files that are new or have changed.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, get_type_hints

from diffmask.config.limits import PROCESSES, Between, above, at_least, check_limits
from diffmask.core.errors import InputError, library_errors
from diffmask.core.processes import num_cores
from diffmask.files.folders import draft
from diffmask.files.json_object import faults, parse_object
from diffmask.files.made_folder import check_table, has_record, read_table
from diffmask.video.clip.clip import NOT_THERE, RULES, TOO_SLOW, Clip
from diffmask.video.clip.find import Sources, list_videos
from diffmask.video.clip.frames import FRAMES, state_of
from diffmask.video.clip.join_tables import RATE, Joined, join
from diffmask.video.index.probe import TIME_LIMIT, probe_all
from diffmask.video.read.readers import load_library

_SUFFIX = ".parquet"
_METADATA_KEY = b"diffmask.clips"
_FORMAT = 1
_MAY_PASS = ("missing", "no-permission", "timeout", "crashed", "wrong-frames")
"""Statuses that may change though the file does not."""

_NEEDED, _MAY_LACK = ("path", "status"), ("caption", "label", "split")
_Record = {"format": Annotated[int, Between(_FORMAT, _FORMAT, "it is of another version of diffmask")]}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probing:
    """How files are probed.

    Attributes:
        num_processes: How many files are probed at the same time; all cores unless it is given.
        time_limit: Seconds for one file; large ones get up to 20 times as many.
        reader: The only reader to use, or "auto"; see `probe_all`.
        progress: Show a bar, on a terminal.
    """

    num_processes: Annotated[int, at_least(1), PROCESSES] = field(default_factory=num_cores)
    time_limit: Annotated[float, above(0, "give seconds")] = TIME_LIMIT
    reader: str = "auto"
    progress: bool = False

    def __post_init__(self):
        """Check what users set."""
        check_limits(self)


def index_clips(
    sources: Sources,
    *,
    known: Iterable[Clip] = (),
    joins: Sequence[str | Path | Joined] = (),
    probing: Probing = Probing(),  # noqa: B008 - frozen
) -> Iterator[Clip]:
    """Probe files and yield their clips: known ones first, then the others as they are found.

    Args:
        sources: Files, folders and globs.
        known: Clips of an earlier index; a file that has not changed since is not probed again, and one that has
            keeps its caption, label and split unless a table says otherwise.
        joins: Tables with captions, labels and splits (see `join`), and the rate of folders of images; the first that
            knows a clip counts.
        probing: How files are probed.

    Raises:
        InputError: If sources or tables cannot be used.
    """
    from tqdm import tqdm

    check_reader(probing.reader)
    paths = list_videos(sources)
    texts = [(each if isinstance(each, Joined) else join(each, paths)).texts for each in joins]
    old = {clip.path: clip for clip in known}
    worth_asking = _worth_asking(old.values())
    same = {clip.path: clip for clip in old.values() if _is_same(clip, probing.reader, worth_asking)}
    wanted = [path for path in paths if path not in same]
    options = {name: value for name, value in asdict(probing).items() if name != "progress"}
    probed = probe_all(wanted, **options)
    yield from (_with_texts(same[path], same[path], texts) for path in paths if path in same)
    hidden = None if probing.progress else True
    with tqdm(total=len(wanted), desc="probing", unit="clip", disable=hidden, leave=False) as bar:
        for clip in probed:
            bar.update()
            yield _with_texts(clip, old.get(clip.path, clip), texts)


def check_reader(name: str) -> None:
    """Refuse a reader that is unknown or cannot be loaded; `auto` needs PyAV.

    Raises:
        InputError: If it is.
    """
    load_library("pyav" if name == "auto" else name)


def write_index(path: str | Path, clips: Iterable[Clip]) -> None:
    """Write an index, sorted by path; it appears when it is complete."""
    import pyarrow
    from pyarrow import parquet

    path = Path(path)
    rows = [clip.to_row() for clip in sorted(clips, key=lambda clip: clip.path)]
    table = pyarrow.Table.from_pylist(rows, schema=_schema())
    with draft(path) as new:
        parquet.write_table(table.replace_schema_metadata({_METADATA_KEY: json.dumps({"format": _FORMAT})}), new)


def is_index(path: str | Path) -> bool:
    """Tell whether a file is an index of clips, and not another table."""
    return str(path).endswith(_SUFFIX) and Path(path).is_file() and bool(has_record(Path(path), _METADATA_KEY))


def read_index(path: str | Path) -> list[Clip]:
    """Return all clips of an index, including those that were put aside.

    Raises:
        InputError: If it does not exist or is no index.
    """
    from pyarrow import ArrowInvalid, parquet

    make = "make one with: diffmask index CLIPS -o clips.parquet"
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist; {make}")
    with library_errors(f"{path} is not a Parquet file, or is damaged", make, ArrowInvalid, OSError):
        held = set(parquet.read_schema(path).names)
    if not has_record(Path(path), _METADATA_KEY):
        raise InputError(f"{path} is not an index of clips; {make}")
    # of earlier versions some columns are lacking
    columns = {each.name: str(each.type) for each in _schema() if each.name in {*held, *_NEEDED}}
    table, _ = read_table(Path(path), columns, make, _METADATA_KEY, _Record, optional=_MAY_LACK)
    clips = [Clip.from_row(row) for row in table.to_pylist()]
    wrong = next(filter(None, (clip.fault() for clip in clips)), None)
    if wrong is not None:
        raise InputError(f"{path} is damaged ({wrong}); {make}")
    return clips


def read_clips(sources: Sources, *, progress: bool = False) -> list[Clip]:
    """Return the clips that can be used: of indexes as they are; other files, folders and globs are probed.

    Raises:
        InputError: If a source cannot be read, or not one clip can be used.
    """
    sources = [sources] if isinstance(sources, str | Path) else list(sources)
    indexes = [source for source in sources if str(source).endswith(_SUFFIX)]
    others = [source for source in sources if not str(source).endswith(_SUFFIX)]
    clips = {clip.path: clip for source in indexes for clip in read_index(source)}
    if others or not sources:
        probed = index_clips(others, known=clips.values(), probing=Probing(progress=progress))
        clips |= {clip.path: clip for clip in probed}
    return usable(clips.values(), ", ".join(map(str, sources)))


def usable(clips: Iterable[Clip], where: str) -> list[Clip]:
    """Return the clips that can be used, sorted by path, and log how many cannot.

    Args:
        clips: All clips.
        where: Where they come from, for messages.

    Raises:
        InputError: If no clip can be used.
    """
    clips = sorted(clips, key=lambda clip: clip.path)
    good = [clip for clip in clips if clip.is_ok]
    bad = Counter(clip.status for clip in clips if not clip.is_ok)
    aside = ", ".join(f"{count} {status}" for status, count in bad.most_common())
    if not good:
        first = f"; {clips[0].path}: {clips[0].reason}" if clips else ""
        raise InputError(f"no clip of {where} can be used ({aside or 'it has no clips'}){first}")
    if bad:
        logger.warning("%d of %d clips of %s are left out (%s)", bad.total(), len(clips), where, aside)
    return good


def _is_same(clip: Clip, reader: str, worth_asking: Collection[str]) -> bool:
    """Tell whether what is known of a clip still holds, and is what is asked for now.

    Args:
        clip: The clip as it is known.
        reader: The reader that is wanted.
        worth_asking: See `_worth_asking`.
    """
    # "auto" takes PyAV only for a reason
    is_choice_of_auto = clip.reader == "decord" or (bool(clip.reason) and clip.why_not_decord not in worth_asking)
    is_wanted = clip.reader == FRAMES or (is_choice_of_auto if reader == "auto" else clip.reader == reader)
    if clip.rules != RULES or clip.status in _MAY_PASS or (clip.is_ok and not is_wanted):
        return False
    try:
        return clip.matches(state_of(clip.path))
    except OSError:
        return False


def _worth_asking(clips: Iterable[Clip]) -> set[str]:
    """Return which reasons for taking PyAV may no longer hold: slowness always, a missing decord once it is there."""
    if any(clip.why_not_decord == NOT_THERE for clip in clips):
        with suppress(InputError):
            load_library("decord")
            return {TOO_SLOW, NOT_THERE}
    return {TOO_SLOW}


def _with_texts(clip: Clip, old: Clip, tables: Sequence[dict[str, dict[str, str]]]) -> Clip:
    """Return a clip with what tables say of it, or else with what the old one said."""
    texts: dict[str, str] = {}
    for table in tables:
        texts = table.get(clip.path, {}) | texts
    rate = float(texts.get(RATE, old.fps or clip.fps))
    if clip.reader == FRAMES:  # images do not say when they were taken
        clip = replace(clip, fps=rate, duration=clip.num_frames / rate)
    return replace(
        clip,
        caption=texts.get("caption", old.caption),
        label=texts.get("label", old.label),
        split=texts.get("split", old.split),
    )


def _schema():
    """Return the columns of an index, as the fields of a clip."""
    import pyarrow

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    return pyarrow.schema([(each.name, kinds.get(each.type, pyarrow.string())) for each in fields(Clip)])


def update_index(
    path: str | Path,
    sources: Sources,
    *,
    joins: Sequence[str | Path | Joined] = (),
    overwrite: bool = False,
    probing: Probing = Probing(),  # noqa: B008 - frozen
) -> list[Clip]:
    """Write the index of some files and return its clips; what an earlier run found of them is kept.

    Each clip is noted in a file beside the index as soon as it is probed, so that a run that was stopped continues.

    Args:
        path: The index, which need not exist.
        sources: Files, folders and globs; the index lists these and no others.
        joins: Tables with captions, labels and splits, as for `index_clips`.
        overwrite: Probe everything again and replace the index.
        probing: How files are probed.

    Raises:
        InputError: If the path holds no index, or one of clips that are not among the sources; see also `index_clips`.
    """
    check_output(path)
    paths = list_videos(sources)
    tables = [each for each in joins if not isinstance(each, Joined)]
    path = check_output(path, [*paths, *tables])
    beside = _side_file(path)
    if overwrite:
        beside.unlink(missing_ok=True)
    known = {} if overwrite else {clip.path: clip for clip in _known(path, beside, paths)}
    clips = []
    indexed = index_clips(paths, known=known.values(), joins=joins, probing=probing)
    with beside.open("a", encoding="utf-8") as notes:
        for clip in indexed:
            clips.append(clip)
            if known.get(clip.path) != clip:
                notes.write(json.dumps(clip.to_row()) + "\n")
                notes.flush()
    write_index(path, clips)
    beside.unlink()
    return sorted(clips, key=lambda clip: clip.path)


def _side_file(path: Path) -> Path:
    """Return where the clips of an index are noted until it is written."""
    return path.with_name(f".{path.name}.partial.jsonl")


def check_output(path: str | Path, reads: Iterable[str | Path] = ()) -> Path:
    """Return the path of an index that is to be written or brought up to date; see `made_folder.check_table`."""
    return check_table(path, "clip index", _METADATA_KEY, overwrite=True, reads=reads)


def _known(path: Path, beside: Path, wanted: Sequence[str]) -> Iterator[Clip]:
    """Yield what an earlier run found, the newest last."""
    if path.exists():
        try:
            clips = read_index(path)
        except InputError as error:
            raise InputError(
                f"{path} exists and is not an index of clips; choose another name, or --overwrite"
            ) from error
        others = sorted({clip.path for clip in clips if os.path.exists(clip.path)} - set(wanted))
        if others:
            remedy = "name them too, choose another index, or leave them out with --overwrite"
            raise InputError(f"{path} lists {len(others)} clips that were not given ({others[0]}, ...); {remedy}")
        yield from clips
    if beside.exists():
        yield from _noted(beside)


def _noted(beside: Path) -> Iterator[Clip]:
    *lines, rest = beside.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    if rest:
        # the run was killed while it wrote this line: the next one must not be appended to it
        beside.write_text("".join(line + "\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    hints = get_type_hints(Clip)
    needed = {name: hints[name] for name in _NEEDED}
    for number, line in enumerate(lines, 1):
        row, wrong = parse_object(line.encode("utf-8", "surrogateescape"), needed)
        clip = Clip("", "") if wrong else Clip.from_row(row)
        wrong = wrong or next(faults(asdict(clip), hints), None) or clip.fault()
        if wrong is not None:
            raise InputError(
                f"{beside}, where a run that was stopped noted its clips, is damaged (line {number}: {wrong}); delete "
                "it, and they are probed again"
            )
        yield clip


@dataclass(frozen=True)
class _Summary:
    """Numbers of the clips that can be used, and the clips that cannot."""

    num_clips: int
    hours: float
    num_frames: int
    counts: dict[str, Counter[str]]
    """How many have each size, codec, rate, reader and rotation, an edit list, a caption, each label and split."""
    aside: list[Clip]
    """Clips that were put aside."""
    fallbacks: dict[str, list[Clip]]
    """Clips that are not read by decord, the first choice, by the reason (see `Clip.why_not_decord`)."""


def summarise(clips: Sequence[Clip]) -> _Summary:
    """Count what clips hold."""
    good = [clip for clip in clips if clip.is_ok]
    fallbacks: dict[str, list[Clip]] = {}
    for clip in good:
        if clip.why_not_decord:
            fallbacks.setdefault(clip.why_not_decord, []).append(clip)
    counts = {
        "size": Counter(f"{clip.width}x{clip.height}" for clip in good),
        "codec": Counter(clip.codec for clip in good),
        "fps": Counter(f"{clip.fps:.2f}".rstrip("0").rstrip(".") for clip in good),
        "reader": Counter(clip.reader for clip in good),
        "rotation": Counter(f"{clip.rotation} degrees" for clip in good if clip.rotation),
        "edit list": Counter("hides frames" for clip in good if clip.edit_list),
        "caption": Counter("with a caption" for clip in good if clip.caption),
        "label": Counter(name for clip in good if clip.label for name in clip.labels or [clip.label]),
        "split": Counter(clip.split for clip in good if clip.split),
    }
    return _Summary(
        num_clips=len(good),
        hours=sum(clip.duration for clip in good) / 3600,
        num_frames=sum(clip.num_frames for clip in good),
        counts={name: count for name, count in counts.items() if count},
        aside=[clip for clip in clips if not clip.is_ok],
        fallbacks=fallbacks,
    )
