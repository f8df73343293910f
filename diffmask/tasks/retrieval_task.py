"""Clips and texts that are to find each other: every text searches for its clip, and every clip for its text."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffmask.config.evaluation import RETRIEVAL, EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.files.splits import SPLIT_NAMES, SPLITS, splits_named
from diffmask.tasks.leakage import Leakage
from diffmask.tasks.task import Split, Task, hash_task
from diffmask.video.clip.clip import Clip, content_hash
from diffmask.video.read.dataset import Span
from diffmask.video_text.data.pairs import Pair, PairSettings, read_pairs
from diffmask.video_text.data.rows import text_id

DIRECTIONS = ("text to clip", "clip to text")


@dataclass(frozen=True)
class Shown:
    """A clip, or the part of it that is shown.

    Attributes:
        content: Equal for copies of one file.
        clip: The clip.
        span: Its seconds; None for all of it.
    """

    content: str
    clip: Clip
    span: Span | None


@dataclass(frozen=True)
class RetrievalTask(Task):
    """A task whose examples are searches: for a clip by a text, and for a text by a clip.

    `Split.texts` holds the texts and then the contents of the clips, `Split.labels` the direction of each search.

    Attributes:
        captions: The distinct texts of the test.
        clips: The distinct clips of the test.
        right: Which clips are right for which texts, bool (texts, clips).
        notes: What was left out of the files.
    """

    captions: Sequence[str] = ()
    clips: Sequence[Shown] = ()
    right: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.bool))
    notes: Sequence[str] = ()

    @property
    def examples(self) -> str:
        """What the examples are called."""
        return "searches"

    def sources(self) -> dict[str, Any]:
        """Return for the record of a result what is searched, and where it comes from."""
        searched = {"num_texts": len(self.captions), "num_clips": len(self.clips)}
        return {"examples": self.examples, **super().sources(), **searched, "notes": list(self.notes)}

    def summarise(self, found: Leakage) -> str:
        """Return in a sentence what is searched, and how much of it is in other splits."""
        twins = int(found.elsewhere["test"].sum())
        seen = f"{twins:,} of these are in train or dev too" if twins else "none of these is in train or dev"
        num_texts, num_clips = len(self.captions), len(self.clips)
        return f"{num_texts:,} texts search among {num_clips:,} clips, and these among the texts; {seen}."


def read_retrieval_task(settings: EvaluateSettings, *, progress: bool = False) -> RetrievalTask:
    """Read pairs of clips and texts: the test split where the files say which that is, else all of them.

    Several texts of one clip are all right for it. Texts that say the same of different clips are one text, for which
    all of these are right.

    Raises:
        InputError: If there are no pairs, or of fewer than two clips or texts.
    """
    for name in ("kind", "pair", "label", "outside"):
        if getattr(settings.task, name) is not None:
            raise InputError(f"task.{name} is for labels, and nothing is labelled for {RETRIEVAL}; leave it out")
    by_split: dict[str | None, list[Pair]] = {}
    notes: list[str] = []
    for file in settings.task.files:
        of_file = next(iter(splits_named(Path(file))), None)
        read = read_pairs(file, PairSettings(settings.video_text.clips, column=settings.task.text, progress=progress))
        notes += read.faults.lines()
        for pair in read.pairs:
            by_split.setdefault(SPLIT_NAMES.get((pair.split or "").lower(), pair.split or of_file), []).append(pair)
    tested = by_split["test"] if "test" in by_split else [pair for pairs in by_split.values() for pair in pairs]
    captions, clips, right = _match(tested)
    if min(right.shape) < 2:
        raise InputError(
            f"{', '.join(settings.task.files)} has {len(clips):,} clips and {len(captions):,} texts to test on; give "
            "at least two of both"
        )
    others = {name: by_split.get(name, []) for name in ("train", "dev")} if "test" in by_split else {}
    splits = {name: _split(*_match(others.get(name, []))[:2]) for name in SPLITS} | {"test": _split(captions, clips)}
    return RetrievalTask(
        name=settings.task.name or Path(settings.task.files[0]).resolve().stem,
        kind=RETRIEVAL,
        labels=list(DIRECTIONS),
        splits=splits,
        hash=_hash(splits, right),
        files={"test": [Path(file) for file in settings.task.files]},
        captions=captions,
        clips=clips,
        right=right,
        notes=notes,
    )


def _match(pairs: Sequence[Pair]) -> tuple[list[str], list[Shown], Tensor]:
    """Return the distinct texts and clips of pairs, and which belong together, bool (texts, clips)."""
    captions: dict[int, tuple[int, str]] = {}
    clips: dict[tuple[str, Span | None], tuple[int, Shown]] = {}
    contents = {pair.clip.path: content_hash(pair.clip).hex() for pair in pairs}
    places = []
    for pair in pairs:
        content = contents[pair.clip.path]
        row, _ = captions.setdefault(text_id(pair.text), (len(captions), pair.text))
        column, _ = clips.setdefault((content, pair.span), (len(clips), Shown(content, pair.clip, pair.span)))
        places.append((row, column))
    right = torch.zeros(len(captions), len(clips), dtype=torch.bool)
    if places:
        right[tuple(torch.tensor(places).T)] = True
    return [text for _, text in captions.values()], [shown for _, shown in clips.values()], right


def _split(captions: Sequence[str], clips: Sequence[Shown]) -> Split:
    texts = [*captions, *(shown.content for shown in clips)]
    return Split(texts, None, [0] * len(captions) + [1] * len(clips))


def _hash(splits: Mapping[str, Split], right: Tensor) -> str:
    """Return the sha256 of texts, clips, and what belongs together."""
    pairs = json.dumps([hash_task(DIRECTIONS, {"test": splits["test"]}), right.nonzero().tolist()])
    return hashlib.sha256(pairs.encode()).hexdigest()
