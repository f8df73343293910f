"""Clips for a preview: some of them with their scores, as a run reads them, and what a trained model makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffmask.assemble.video import VideoMasking, build_sampling
from diffmask.config import VideoConfig, VideoMaskingConfig
from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.pretrain.text import CACHE
from diffmask.pretrain.video import box_maps, frame_scorer
from diffmask.report.clips.look import ClipLook, ShownClip, scores_needed
from diffmask.report.clips.preview import ClipPreview, Reconstruct, make_clip_preview
from diffmask.video.clip.clip import Clip
from diffmask.video.model.forward import reconstruct
from diffmask.video.model.load import LoadedVideo, load_video_model
from diffmask.video.read.dataset import ClipDataset, MapOf
from diffmask.video.score.boxes import match_boxes, read_boxes
from diffmask.video.score.score_maps import BoxMaps, CachedMaps, make_maps
from diffmask.video.units.grid import Grid

if TYPE_CHECKING:
    from diffmask.video.anchors.anchor_set import VisualAnchors

NO_PICTURES = "features are predicted (target.kind=features), of which there are no pictures"


@dataclass(frozen=True, eq=False)
class _Gathered:
    """Clips that were read.

    Attributes:
        clips: What is shown of them.
        batch: Their frames and scores.
        failed: Those that could not be read, each with the reason.
    """

    clips: list[ShownClip]
    batch: dict[str, Tensor]
    failed: dict[str, str]


def spread_out(clips: Sequence[Clip], count: int) -> list[Clip]:
    """Return some of the clips, evenly spread over them."""
    count = min(count, len(clips))
    return [clips[(2 * place + 1) * len(clips) // (2 * count)] for place in range(count)]


def choose_clips(clips: Sequence[Clip], count: int, maskings: Sequence[VideoMasking]) -> list[Clip]:
    """Return some of the clips, evenly spread over those that have boxes, if a masking follows boxes and any has."""
    for masking in maskings:
        settings = masking.config
        if settings.policy == "boxes" and settings.boxes is not None:
            boxes = match_boxes(read_boxes(settings.boxes), clips, settings.box_label)
            clips = [clip for clip in clips if clip.path in boxes] or clips
    return spread_out(clips, count)


def gather_clips(
    clips: Sequence[Clip],
    config: VideoConfig,
    grid: Grid,
    anchors: "VisualAnchors | None",
    *,
    maskings: Sequence[VideoMasking],
    progress: bool = False,
) -> _Gathered:
    """Read clips as an evaluation does, with the scores that some maskings need; only these clips are scored.

    Args:
        clips: What is shown.
        config: How rows are made, and where score maps are kept.
        grid: How clips are cut.
        anchors: The domain's anchors, if they are known.
        maskings: Whose scores are needed.
        progress: Show progress bars.

    Raises:
        InputError: If what gives the scores is not there, or no clip can be read.
    """
    made: dict[str, MapOf] = {}
    failed: dict[str, str] = {}
    for name in scores_needed(maskings):
        if name == "boxes":
            made[name] = _boxes(next(each.config for each in maskings if each.config.policy == "boxes"), config, clips)
            continue
        scored = _score_maps(name, clips, config, maskings, anchors, progress=progress)
        failed |= {clip.path: "it could not be read when it was scored" for clip in clips if not scored.has(clip)}
        made[name] = scored
    sampling = replace(build_sampling(config.data, grid), clips_per_video=1, repeats=1)
    data = ClipDataset(clips, sampling, maps=made, augment=False)
    rows, shown = [], []
    for place, clip in enumerate(clips):
        if clip.path in failed:
            continue
        try:
            rows.append(data[place][0])
        except InputError as error:
            failed[clip.path] = str(error)
            continue
        shown.append(ShownClip(Path(clip.path).name, clip.caption or "", rows[-1]["frames"]))
    if not rows:
        raise InputError(f"none of the clips that were chosen can be read; {next(iter(failed.values()))}")
    ids = torch.tensor([row["sample_id"] for row in rows])
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0] if name != "sample_id"}
    return _Gathered(shown, batch | {"sample_ids": ids}, failed)


def _boxes(masking: VideoMaskingConfig, config: VideoConfig, clips: Sequence[Clip]) -> BoxMaps:
    """Return boxes, of which some clips may have none: that no clip of a run has any is not said by a few of them."""
    if masking.boxes is None:  # which is said there
        return box_maps(replace(config, masking=masking), clips)
    return BoxMaps(match_boxes(read_boxes(masking.boxes), clips, masking.box_label))


def _score_maps(
    name: str,
    clips: Sequence[Clip],
    config: VideoConfig,
    maskings: Sequence[VideoMasking],
    anchors: "VisualAnchors | None",
    *,
    progress: bool,
) -> CachedMaps:
    device = str(resolve_device(config.training.device or "auto"))
    masking = next(each for each in maskings if name in scores_needed([each]))
    scorer = frame_scorer(name, replace(config, masking=masking.config), anchors, device)
    cache = Path(config.data.cache or CACHE).expanduser()
    paths = make_maps(clips, scorer, cache, progress=progress)
    return CachedMaps({clip.path: path for clip, path in zip(clips, paths, strict=True) if path is not None})


def load_trained(folder: Path, config: VideoConfig) -> LoadedVideo:
    """Return the model of a folder of a run, with the colours and the targets that the run had.

    Args:
        folder: Its `model`, or a checkpoint.
        config: The run.

    Raises:
        InputError: If it cannot be loaded, or features are predicted.
    """
    if config.target.kind == "features":
        raise InputError(NO_PICTURES)
    loaded = load_video_model(str(folder))
    loaded.model.config.norm_pix_loss = config.target.normalised
    if any(folder.glob("*preprocessor_config.json")):
        return loaded
    # a checkpoint holds no processor: the model that was continued has
    before = load_video_model(config.model)
    return replace(loaded, mean=before.mean, std=before.std)


def _filler(loaded: LoadedVideo) -> Reconstruct:
    """Return what fills in the hidden patches of clips by a model."""

    def fill(batch: Mapping[str, Tensor], masked: Tensor) -> Tensor:
        mean, std = (torch.tensor(each)[:, None, None] for each in (loaded.mean, loaded.std))
        made = []
        for frames, hidden in zip(batch["frames"], masked, strict=True):  # one clip at a time, for the memory's sake
            normalised = (frames.float() / 255 - mean) / std
            made.append(reconstruct(loaded, normalised[None], hidden[None])[0])
        return (torch.stack(made) * 255).round().to(torch.uint8)

    return fill


def preview_clips(gathered: _Gathered, looks: Mapping[str, ClipLook], loaded: LoadedVideo | None) -> ClipPreview:
    """Return what maskers hide of clips that were read, and what a model makes of it."""
    fill = None if loaded is None else _filler(loaded)
    return replace(make_clip_preview(gathered.clips, gathered.batch, looks, fill), failed=gathered.failed)
