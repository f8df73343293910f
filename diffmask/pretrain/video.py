"""A run on video: a masked autoencoder, its clips, and the scores that their rows bring along."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from diffmask.assemble.modality import RowSizes
from diffmask.assemble.video import VideoMasking, VideoParts, build_sampling, build_video_masking, target_embedder
from diffmask.config import VideoConfig, VideoDataConfig
from diffmask.core.errors import InputError
from diffmask.core.machine import fast_attention, resolve_device
from diffmask.pretrain.subject import Rows, Subject
from diffmask.pretrain.text import cache_folder
from diffmask.train.buckets import RowOrder
from diffmask.train.record import hub_name
from diffmask.video.clip.clip import Clip, content_hash
from diffmask.video.index.index import read_clips
from diffmask.video.model.load import LoadedVideo, load_video_model
from diffmask.video.read.dataset import ClipDataset, FailureLog, MapOf
from diffmask.video.score.boxes import match_boxes, read_boxes
from diffmask.video.score.score_maps import BoxMaps, CachedMaps, FrameScorer, make_maps

if TYPE_CHECKING:
    from diffmask.video.anchors.anchor_set import VisualAnchors


Entry = TypeVar("Entry")


def read_split(config: VideoConfig, *, progress: bool) -> tuple[list[Clip], list[Clip]]:
    """Return the clips to train on and those that are held out, chosen by their content.

    Raises:
        InputError: If there is no clip, or none is left to train on.
    """
    data = config.data
    training = _of_split(read_clips(data.train, progress=progress), "split", data.split)
    if data.eval:
        held_out = _of_split(read_clips(data.eval, progress=progress), "eval_split", data.eval_split)
        check_apart(training, held_out)
        return training, held_out
    return hold_out(training, data, lambda clip: clip, "clips")


def hold_out(
    entries: Sequence[Entry], data: VideoDataConfig, clip_of: Callable[[Entry], Clip], what: str
) -> tuple[list[Entry], list[Entry]]:
    """Hold out a share of the data by the content of its clips: all entries of a clip stand on one side.

    Args:
        entries: The data.
        data: Its settings, which name no held-out data of their own.
        clip_of: Returns the clip of an entry.
        what: What the entries are called, in the plural.

    Raises:
        InputError: If a split of data is named that are not given, or none is left to train on.
    """
    if data.eval_split is not None:
        raise InputError(
            f"data.eval_split={data.eval_split!r} is a split of data.eval, which is not given; give it too"
        )
    clips = {clip.path: clip for clip in map(clip_of, entries)}
    held = {path for path, clip in clips.items() if int.from_bytes(content_hash(clip)[:4]) < data.eval_share * 2**32}
    kept = [entry for entry in entries if clip_of(entry).path not in held]
    if not kept:
        raise InputError(
            f"data.eval_share={data.eval_share:g} leaves none of {len(entries)} {what} to train on; lower it"
        )
    return kept, [entry for entry in entries if clip_of(entry).path in held]


def _of_split(clips: list[Clip], setting: str, split: str | None) -> list[Clip]:
    if split is None:
        return clips
    found = [clip for clip in clips if clip.split == split]
    if not found:
        known = ", ".join(sorted({clip.split for clip in clips if clip.split}))
        given = known or "none; give the index splits with `diffmask index --join`"
        raise InputError(f"no clip is of data.{setting}={split!r}; the splits of the index: {given}")
    return found


def check_apart(training: Sequence[Clip], held_out: Sequence[Clip]) -> None:
    """Refuse clips on both sides: a loss on what was trained on says nothing."""
    known = {content_hash(clip) for clip in training}
    both = [clip.path for clip in held_out if content_hash(clip) in known]
    if both:
        raise InputError(
            f"{len(both)} of {len(held_out)} clips of data.eval are trained on too, such as {both[0]}; give others, or "
            "set data.split and data.eval_split"
        )


def describe_clips(clips: Sequence[Clip]) -> dict[str, Any]:
    """Return how many clips there are, and hashes of the files and of what they hold, by which moved ones are known."""
    digest, content = hashlib.sha256(), hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.path}\0{clip.size}\0{clip.mtime}\n".encode())
        content.update(content_hash(clip))
    return {
        "number": len(clips),
        "hours": round(sum(clip.duration for clip in clips) / 3600, 3),
        "hash": digest.hexdigest(),
        "content": content.hexdigest(),
    }


logger = logging.getLogger(__name__)

FAILURES_FILE = "failures.jsonl"
"""Clips that could not be read, in the run's folder."""


class ClipScores:
    """The scores that rows of clips bring along: maps that are made once, and boxes.

    Args:
        config: The run, or its side of clips.
        parts: What it is made of.

    Attributes:
        unscored: Clips that could not be read when they were scored, each with the reason.
    """

    def __init__(self, config: VideoConfig, parts: VideoParts):
        self._config, self._parts = config, parts
        self.unscored: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def make(self, clips: Sequence[Clip], *, progress: bool) -> dict[str, MapOf]:
        """Return the scores that training needs, those of evaluation included, by name; maps are made if missing."""
        made: dict[str, MapOf] = {}
        device = str(resolve_device(self._config.training.device or "auto"))
        for name in sorted(set(self._parts.map_names["training"])):
            if name == "boxes":
                made[name] = box_maps(self._config, clips)
                continue
            scorer = frame_scorer(name, self._config, self._parts.anchors, device)
            self._keys[name] = scorer.key
            paths = make_maps(clips, scorer, cache_folder(self._config.data), progress=progress)
            made[name] = CachedMaps(
                {clip.path: path for clip, path in zip(clips, paths, strict=True) if path is not None}
            )
        return made

    def has(self, clip: Clip, made: Mapping[str, MapOf]) -> bool:
        """Tell whether a clip has all its scores; one that has not is noted."""
        missing = any(isinstance(each, CachedMaps) and not each.has(clip) for each in made.values())
        if missing:
            self.unscored[clip.path] = "it could not be read when it was scored"
        return not missing

    def record(self) -> dict[str, Any]:
        """Return what the clips' scores and targets were made of."""
        config, parts = self._config, self._parts
        record: dict[str, Any] = {}
        if config.masking.boxes is not None:
            record["boxes"] = hashlib.sha256(Path(config.masking.boxes).read_bytes()).hexdigest()
        if parts.embedder is not None:
            record["features"] = parts.embedder.key
        if self._keys:
            record["scores"] = self._keys
        if parts.anchors is not None:
            record["anchors"] = parts.anchors.metadata | {"key": parts.anchors.key}
        return record


class VideoSubject(Subject):
    """A masked autoencoder and its clips.

    Args:
        config: The run.
        masking: What its masking comes to.

    Raises:
        InputError: If something that the config names cannot be used.
    """

    def __init__(self, config: VideoConfig, masking: VideoMasking):
        self._config = config
        self.parts = _load_parts(config, masking)
        loaded = self.parts.loaded
        self.name, self.model, self.fresh = config.model, loaded.model, loaded.missing
        self.processing = loaded.processor()
        self._sampling = build_sampling(config.data, loaded.grid)
        self.masking = build_video_masking(config, self.parts)
        self._failures = FailureLog(Path(config.output) / FAILURES_FILE)
        self._scores = ClipScores(config, self.parts)

    def read(self, *, progress: bool) -> Rows:
        """Find the clips, hold some out, and make the score maps that are not there yet."""
        config = self._config
        training, held_out = read_split(config, progress=progress)
        names = self.parts.map_names
        made = self._scores.make([*training, *held_out], progress=progress)
        training, held_out = ([clip for clip in each if self._scores.has(clip, made)] for each in (training, held_out))
        if not training:
            raise InputError("none of the clips could be scored; run `diffmask index` again")
        data = ClipDataset(training, self._sampling, seed=config.training.seed, maps=made, failures=self._failures)
        evaluation = None
        if held_out:
            plain = replace(self._sampling, clips_per_video=1, repeats=1)
            maps = {name: made[name] for name in names["evaluation"]}
            evaluation = ClipDataset(held_out, plain, maps=maps, failures=self._failures, augment=False)
        order, record = RowOrder([0] * len(data), visits=True), self._record(training, held_out)
        return Rows(data, evaluation, order, record, what="clips")

    def _record(self, training: Sequence[Clip], held_out: Sequence[Clip]) -> dict[str, Any]:
        record: dict[str, Any] = {"clips": describe_clips(training), "held_out": describe_clips(held_out)}
        if self._config.head.weights is not None:
            record["head"] = hashlib.sha256(Path(self._config.head.weights).read_bytes()).hexdigest()
        return record | self._scores.record()

    def describe(self) -> dict[str, Any]:
        """Return the front matter of the model card."""
        kind = "video" if self.parts.loaded.num_frames > 1 else "image"
        tags = [f"masked-{kind}-modeling", "continued-pretraining", "difference-masking"]
        return {"pipeline_tag": f"{kind}-feature-extraction", "base_model": hub_name(self.name), "tags": tags}

    def failures(self) -> Mapping[str, str]:
        """Return the clips that could not be read, while they were scored or trained on."""
        return read_failures(self._failures, self._scores)


def read_failures(failures: FailureLog, scores: ClipScores) -> Mapping[str, str]:
    """Return the clips that could not be read, while they were scored or trained on."""
    try:
        return scores.unscored | failures.read()
    except InputError as error:  # a note of an earlier session must not end a run that is complete
        logger.warning("%s", error)
        return scores.unscored


def _load_parts(config: VideoConfig, masking: VideoMasking) -> VideoParts:
    """Load the model, the anchors and what gives the features; what starts at random starts the same for a seed."""
    device = str(resolve_device(config.training.device or "auto"))
    embedder = target_embedder(config.target, device)
    attention = fast_attention(torch.device(device), config.training.precision).get("attn_implementation")
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        loaded = load_video_model(
            config.model,
            attention=attention,
            num_frames=config.data.num_frames,
            image_size=config.data.image_size,
            feature_dim=None if embedder is None else embedder.dim,
        )
    _check_head(loaded, config)
    if embedder is None:
        # so that whoever loads the model reads its pictures the same way
        loaded.model.config.norm_pix_loss = config.target.normalised
    return VideoParts(masking, loaded, read_visual_anchors(config), embedder)


def _check_head(loaded: LoadedVideo, config: VideoConfig) -> None:
    if config.training.steps == 0 and not loaded.missing:
        raise InputError(
            f"training.steps=0 trains the head that a model lacks, and {config.model!r} lacks none; give at least 1"
        )


def read_visual_anchors(config: VideoConfig) -> "VisualAnchors | None":
    """Return the anchors that a config names.

    Raises:
        InputError: If a policy needs them and there are none, or they cannot be read.
    """
    if config.masking.anchors is None:
        if config.masking.policy == "difference":
            raise InputError(
                "the policy `difference` needs anchors; make them with `diffmask anchors CLIPS -o anchors/` and set "
                "masking.anchors=anchors/"
            )
        return None
    from diffmask.video.anchors.anchor_set import load_visual_anchors

    return load_visual_anchors(config.masking.anchors)


def frame_scorer(name: str, config: VideoConfig, anchors: "VisualAnchors | None", device: str) -> FrameScorer:
    """Return what scores the frames of clips under a name.

    Raises:
        InputError: If the attention of no teacher can be followed.
    """
    if name == "attention":
        if config.masking.teacher is None:
            raise InputError(
                "the policy `attention` needs a teacher; set masking.teacher=clip:MODEL:WEIGHTS or student:FOLDER"
            )
        from diffmask.video.score.attention import build_attention

        return build_attention(config.masking.teacher, device=device)
    assert anchors is not None, f"no scorer for {name}"
    return anchors.scorer(device)


def box_maps(config: VideoConfig, clips: Sequence[Clip]) -> BoxMaps:
    """Return the boxes of the clips.

    Raises:
        InputError: If there are none.
    """
    if config.masking.boxes is None:
        raise InputError(
            "the policy `boxes` needs boxes; set masking.boxes to a table with the columns clip, frame, x1, y1, x2, y2"
        )
    found = match_boxes(read_boxes(config.masking.boxes), clips, config.masking.box_label)
    if not found:
        raise InputError(
            f"{config.masking.boxes} has no box of any of the {len(clips)} clips, such as {clips[0].path}; name the "
            "clips by their paths or file names"
        )
    logger.info("%s of %s clips have boxes", f"{len(found):,}", f"{len(clips):,}")
    return BoxMaps(found)


def clip_row_sizes(config: VideoConfig, masking: VideoMasking, *, read_data: bool) -> RowSizes:
    """Return how many patches a row has, as `Modality.row_sizes`; clips are counted only where epochs are.

    Raises:
        InputError: If something that the config names cannot be used.
    """
    data = config.data
    grid = load_video_model(config.model, num_frames=data.num_frames, image_size=data.image_size).grid
    num_rows = None
    if config.training.steps is None and read_data:
        num_rows = len(read_split(config, progress=True)[0]) * data.clips_per_video
    return RowSizes(np.array([grid.num_positions]), num_rows, repeats=data.repeats)
