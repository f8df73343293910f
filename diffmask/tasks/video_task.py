"""A labelled task of clips: an index with labels and splits, a folder of SPLIT/LABEL/clips, or a table of clips."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from diffmask.config.evaluation import (
    MULTI_LABEL,
    REFUSE,
    SINGLE_LABEL,
    TOKENS,
    EvaluateSettings,
    TaskSettings,
)
from diffmask.core.errors import InputError
from diffmask.files.blocks import listed
from diffmask.files.splits import SPLIT_NAMES, SPLITS, splits_named
from diffmask.tasks.labels import check_learnable
from diffmask.tasks.leakage import Leakage
from diffmask.tasks.task import Split, Task, hash_task, label_names
from diffmask.video.clip.clip import Clip
from diffmask.video.clip.find import list_videos
from diffmask.video.clip.frames import is_clip_file
from diffmask.video.clip.join_tables import join, listed_clips, names_clips
from diffmask.video.index.index import Probing, index_clips, read_index

_INDEX = ".parquet"


_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoTask(Task):
    """A task whose examples are clips; `Split.texts` holds the sha256 of each file, so that equal files are one.

    Attributes:
        clips: The clip of each content.
        left_out: For each split, the clips that cannot be read, each with the reason.
    """

    clips: Mapping[str, Clip] = field(default_factory=dict)
    left_out: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def examples(self) -> str:
        """What the examples are called."""
        return "clips"

    def sources(self) -> dict[str, Any]:
        """Return for the record of a result what the examples are, and which were left out."""
        return {"examples": self.examples, "left_out": {split: dict(found) for split, found in self.left_out.items()}}

    def summarise(self, found: Leakage) -> str:
        """Return in one or two sentences how many test clips are the same files as others; captions do not count."""
        twins = found.elsewhere["test"]
        if not twins.any():
            return f"None of the {len(twins):,} clips of test is a file of train or dev too."
        between = [overlap for overlap in found.between if overlap.split == "test" and overlap.num_found]
        parts = "; ".join(
            f"{each.num_found:,} in {each.other}"
            + (f" ({each.other_label:,} with another label)" if each.other_label else "")
            for each in between
        )
        return (
            f"{twins.sum():,} of the {len(twins):,} clips of test ({100 * twins.mean():.1f} %) are files of other "
            f"splits too: {parts}. {(~twins).sum():,} are unseen."
        )

    def clips_of(self, split: Split) -> list[Clip]:
        """Return the clips of a split."""
        return [self.clips[content] for content in split.texts]


def read_video_task(settings: EvaluateSettings, *, progress: bool = False) -> VideoTask:
    """Read a task of clips.

    Clips of no split are no part of it. Those that cannot be read are left out of train and dev, named and counted; in
    test they are refused, unless `video.unreadable` allows a smaller test.

    Raises:
        InputError: If clips, labels or splits are missing, or a label of the test is not to be learned.
    """
    _check(settings.task)
    found = _of_splits(_read_clips(settings.task.files, progress=progress), settings.task)
    usable, left_out = _without_unreadable(found, settings.video.unreadable)
    has_several = any(clip.labels is not None for clips in usable.values() for clip in clips)
    kind = settings.task.kind or (MULTI_LABEL if has_several else SINGLE_LABEL)
    labels = {split: [_label(clip, kind, settings.task) for clip in clips] for split, clips in usable.items()}
    names = label_names([label for each in labels.values() for label in each], kind, "clips")
    check_learnable(labels, kind, "clips")
    contents = _contents([clip for clips in usable.values() for clip in clips], progress=progress)
    splits = {
        split: Split.of(
            [(contents[clip.path], None, label) for clip, label in zip(clips, labels[split], strict=True)], kind, names
        )
        for split, clips in usable.items()
    }
    if dev_from_train := "dev" not in splits:
        splits["train"], splits["dev"] = splits["train"].hold_out("clips")
    ordered = {split: splits[split] for split in SPLITS}
    return VideoTask(
        name=settings.task.name or _name(settings.task.files),
        kind=kind,
        labels=names,
        splits=ordered,
        hash=hash_task(names, ordered),
        dev_from_train=dev_from_train,
        clips={contents[clip.path]: clip for clips in usable.values() for clip in clips},
        left_out=left_out,
    )


def _check(settings: TaskSettings) -> None:
    """Refuse settings that are for texts."""
    if settings.kind == TOKENS:
        raise InputError(
            f"a task of kind {TOKENS} labels words, and clips have none; choose from: single-label, multi-label"
        )
    for name in ("text", "pair", "label", "outside"):
        if getattr(settings, name) is not None:
            raise InputError(
                f"task.{name} is for texts; clips have the labels and splits of their index "
                "(`diffmask index CLIPS --join TABLE`)"
            )


def _read_clips(files: Sequence[str], *, progress: bool) -> list[Clip]:
    """Return all clips that the files of a task name, readable or not, in the order of their paths."""
    indexes = [file for file in files if file.endswith(_INDEX)]
    tables = [file for file in files if names_clips(file)]
    others = [file for file in files if file not in (*indexes, *tables)]
    found = {clip.path: clip for index in indexes for clip in read_index(index)}
    if tables and not indexes:
        paths = list_videos(others) if others else [path for table in tables for path in _beside(table)]
        joined = [join(table, paths, next(iter(splits_named(Path(table))), None)) for table in tables]
        for each in joined:
            _logger.info("%s", each.summary)
        others = [path for path in paths if any(path in each.texts for each in joined)]
        if not others:
            raise InputError(f"{joined[0].summary}; give the folder of the clips beside the table")
        found |= {clip.path: clip for clip in index_clips(others, joins=joined, probing=Probing(progress=progress))}
    elif tables:
        raise InputError(
            f"an index and a table ({tables[0]}) cannot be read together; write the table's labels into the index with "
            f"`diffmask index CLIPS --join {tables[0]} -o {indexes[0]}`"
        )
    elif others:
        probed = index_clips(others, known=found.values(), probing=Probing(progress=progress))
        found |= {clip.path: _by_folders(clip) for clip in probed}
    return [found[path] for path in sorted(found)]


def _beside(table: str) -> list[str]:
    """Return the clips that a table names, or those in its folder if it names none that is there."""
    try:
        return [path for path in listed_clips(table) if is_clip_file(path)]
    except InputError:
        return list_videos(Path(table).parent)


def _by_folders(clip: Clip) -> Clip:
    """Return a clip of .../SPLIT/LABEL/file with its split and label."""
    parts = Path(clip.path).parts
    if clip.split or len(parts) < 3 or parts[-3].lower() not in SPLIT_NAMES:
        return clip
    return replace(clip, split=parts[-3], label=parts[-2])


def _of_splits(clips: Sequence[Clip], settings: TaskSettings) -> dict[str, list[Clip]]:
    """Return the clips of each split."""
    found: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.split:
            if clip.split.lower() not in SPLIT_NAMES:
                known = ", ".join(SPLIT_NAMES)
                raise InputError(f"{clip.path} has the split {clip.split!r}; choose from: {known}, or leave it empty")
            found[SPLIT_NAMES[clip.split.lower()]].append(clip)
    where = ", ".join(settings.files)
    for split in ("train", "test"):
        if split not in found:
            raise InputError(
                f"{where} has {len(clips):,} clips and none of split {split}; join a table of clip, label and split "
                "with `diffmask index CLIPS --join TABLE`, or give a folder of train/LABEL/clips and test/LABEL/clips"
            )
    return {split: found[split] for split in SPLITS if split in found}


def _without_unreadable(
    found: Mapping[str, Sequence[Clip]], unreadable: str
) -> tuple[dict[str, list[Clip]], dict[str, dict[str, str]]]:
    """Return the clips that can be read, and the reasons of those that cannot."""
    bad = {
        split: {clip.path: clip.reason or clip.status for clip in clips if not clip.is_ok}
        for split, clips in found.items()
    }
    if (tests := bad["test"]) and unreadable == REFUSE:
        raise InputError(
            f"{len(tests)} of the {len(found['test'])} test clips cannot be read ({listed(tests)}); mend or replace "
            "them, or give video.unreadable=leave-out, which makes it a smaller test"
        )
    usable = {split: [clip for clip in clips if clip.is_ok] for split, clips in found.items()}
    for split, clips in usable.items():
        if not clips:
            first = next(iter(bad[split]))
            raise InputError(f"not one {split} clip can be read; {first}: {bad[split][first]}")
    return usable, {split: reasons for split, reasons in bad.items() if reasons}


def _label(clip: Clip, kind: str, settings: TaskSettings) -> Any:
    given, several = (clip.label or "").strip(), clip.labels
    if kind == MULTI_LABEL:
        parts = given.split(settings.separator) if several is None else several
        return [name.strip() for name in parts if name.strip()]
    if several is not None and len(several) > 1:
        raise InputError(
            f"{clip.path} of split {clip.split} has {len(several)} labels ({listed(several)}); a single-label task has "
            "one for each clip: give task.kind=multi-label, or leave it out"
        )
    if not given:
        raise InputError(
            f"{clip.path} of split {clip.split} has no label; give it one with `diffmask index --join`, or take its "
            "split away"
        )
    return several[0] if several else given


def _contents(clips: Sequence[Clip], *, progress: bool) -> dict[str, str]:
    """Return the sha256 of each clip's file by its path."""
    found = {}
    for clip in tqdm(clips, desc="hashing", unit="clip", disable=not progress):
        try:
            with open(clip.path, "rb") as content:
                found[clip.path] = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            raise InputError(
                f"{clip.path} cannot be read any more ({error.strerror}); run `diffmask index` again"
            ) from error
    return found


def _name(files: Sequence[str]) -> str:
    path = Path(files[0]).resolve()
    return path.name if path.is_dir() else path.stem
