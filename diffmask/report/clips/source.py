"""Clips that `diffmask preview` shows, with their scores, as a run reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from diffmask.assemble.video import VideoMasking, build_sampling
from diffmask.config import VideoConfig, VideoMaskingConfig
from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.files.folders import check_output
from diffmask.pretrain.text import cache_folder
from diffmask.pretrain.video import box_maps, frame_scorer
from diffmask.report.clips.look import BASELINE, ClipLook, ShownClip, scores_needed
from diffmask.report.clips.preview import ClipPreview, Reconstruct
from diffmask.report.html.page import is_foreign
from diffmask.report.preview import Asked
from diffmask.video.anchors.anchor_set import VisualAnchors, load_visual_anchors
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import read_clips
from diffmask.video.model.forward import reconstruct
from diffmask.video.model.load import LoadedVideo, load_video_model
from diffmask.video.model.targets import normalised
from diffmask.video.read.dataset import ClipDataset, MapOf, Span
from diffmask.video.score.boxes import match_boxes, read_boxes
from diffmask.video.score.score_maps import BoxMaps, CachedMaps, make_maps
from diffmask.video.units.grid import Grid

_NO_PICTURES = "features are predicted (target.kind=features), of which there are no pictures"
_SUFFIXES = (".html", ".png", ".gif")
PLAIN = (8, 14, 14, 2, 16)
"""The grid if there is no model: 16 frames of 224 pixels in patches of 2 x 16 x 16."""


class ClipSource:
    """Some clips; see `report.preview.Source`."""

    count: ClassVar[int] = 4
    remedy: ClassVar[str] = "give a config with modality: video"

    def __init__(self, asked: Asked):
        self._asked, self._maskings = asked, list(asked.maskings.values())
        self.notes: list[str] = []
        self._clips = self._choose()
        self._model, self._grid = self._load()
        self._anchors = self._read_anchors()
        grid = self._grid
        self.facts: dict[str, str | None] = {
            "clips": ", ".join(asked.data),
            "anchors": asked.config.masking.anchors,
            "model": str(asked.checkpoint or asked.config.model) or None,
            "patches": f"{' x '.join(map(str, grid.shape))} of {grid.tubelet} x {grid.patch_size} x {grid.patch_size}",
        }

    @staticmethod
    def check_output(path: Path, *, overwrite: bool) -> None:
        """Refuse an output that cannot be written, before the work is done."""
        is_page = path.suffix == ".html"
        check_output(
            path, "page or picture", "preview.html", _SUFFIXES,
            overwrite=overwrite, is_foreign=lambda found: is_page and is_foreign(found),
        )  # fmt: skip

    @staticmethod
    def baseline(masking: VideoMaskingConfig) -> str:
        """Return the random masking that policies are compared with."""
        return BASELINE

    def look(self, masking: VideoMasking, progress: float | None) -> ClipLook:
        """Return how a policy looks at the clips, at a share of the training or over all of it."""
        return ClipLook.of(masking, self._grid, progress=progress)

    def preview(self, looks: Mapping[str, ClipLook]) -> ClipPreview:
        """Return what the policies hide of the clips; only these are scored."""
        gathered = GatheredClips.read(
            self._clips, self._asked.config, self._grid, self._anchors, maskings=self._maskings, progress=True
        )
        return gathered.preview(looks, self._model)

    def _choose(self) -> list[Clip]:
        """Return the clips that are shown; where a policy follows boxes, clips with boxes are preferred."""
        clips = read_clips(self._asked.data, progress=True)
        for masking in self._maskings:
            if masking.config.policy == "boxes":  # as training would refuse them
                box_maps(replace(self._asked.config, masking=masking.config), clips)
        return choose_clips(clips, self._asked.count, self._maskings)

    def _load(self) -> tuple[LoadedVideo | None, Grid]:
        """Return the model that fills in what is hidden, if there is one, and how it cuts clips."""
        asked, config = self._asked, self._asked.config
        if asked.checkpoint is not None and asked.model is not None:
            raise InputError("--checkpoint has the model of its run; leave --model out")
        if asked.checkpoint is not None and config.target.kind != "features":
            loaded = load_trained(asked.checkpoint, config)
            return loaded, loaded.grid
        if asked.checkpoint is not None:
            self.notes.append(f"Not filled in: {_NO_PICTURES}.")
        name = str(asked.checkpoint or asked.model or config.model)
        if not name:
            return None, Grid(*PLAIN)
        data = config.data
        return None, load_video_model(name, num_frames=data.num_frames, image_size=data.image_size).grid

    def _read_anchors(self) -> VisualAnchors | None:
        """Return the anchors, if a policy follows them."""
        folder = self._asked.config.masking.anchors
        if "difference" not in scores_needed(self._maskings):
            return None
        if folder is None:
            raise InputError(
                "the policy `difference` needs anchors; make them with `diffmask anchors CLIPS -o anchors/` and give "
                "them as --anchors anchors/, or show other policies with --policy"
            )
        return load_visual_anchors(folder)


@dataclass(frozen=True, eq=False)
class GatheredClips:
    """Clips that were read.

    Attributes:
        clips: What is shown of them.
        batch: Their frames and scores.
        failed: Clips that could not be read, each with the reason.
    """

    clips: list[ShownClip]
    batch: dict[str, Tensor]
    failed: dict[str, str]

    @classmethod
    def read(
        cls,
        clips: Sequence[Clip],
        config: VideoConfig,
        grid: Grid,
        anchors: VisualAnchors | None,
        *,
        maskings: Sequence[VideoMasking],
        spans: Sequence[Span | None] | None = None,
        progress: bool = False,
    ) -> Self:
        """Read clips as an evaluation does, with the scores that some maskings need; only these clips are scored.

        Args:
            clips: What is shown.
            config: How rows are made, and where score maps are kept.
            grid: How clips are cut.
            anchors: The domain's anchors, if they are known.
            maskings: Whose scores are needed.
            spans: The part that is shown of each, or None for all of it.
            progress: Show progress bars.

        Raises:
            InputError: If what gives the scores is not there, or no clip can be read.
        """
        made: dict[str, MapOf] = {}
        failed: dict[str, str] = {}
        for name in scores_needed(maskings):
            if name == "boxes":
                masking = next(each.config for each in maskings if each.config.policy == "boxes")
                made[name] = _boxes(masking, config, clips)
                continue
            scored = _score_maps(name, clips, config, maskings, anchors, progress=progress)
            failed |= {clip.path: "it could not be read when it was scored" for clip in clips if not scored.has(clip)}
            made[name] = scored
        sampling = replace(build_sampling(config.data, grid), clips_per_video=1, repeats=1)
        data = ClipDataset(clips, sampling, spans=spans, maps=made, augment=False)
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
        batch = {
            name: torch.stack([row[name] for row in rows]) for name in rows[0] if name not in ("sample_id", "shown")
        }
        return cls(shown, batch | {"sample_ids": ids}, failed)

    def preview(self, looks: Mapping[str, ClipLook], loaded: LoadedVideo | None) -> ClipPreview:
        """Return what maskers hide of the clips, and what a model makes of it."""
        fill = None if loaded is None else _filler(loaded)
        return replace(ClipPreview.of(self.clips, self.batch, looks, fill), failed=self.failed)


def choose_clips(clips: Sequence[Clip], count: int, maskings: Sequence[VideoMasking]) -> list[Clip]:
    """Return some of the clips, evenly spread over those that have boxes, if a masking follows boxes and any has."""
    for masking in maskings:
        settings = masking.config
        if settings.policy == "boxes" and settings.boxes is not None:
            boxes = match_boxes(read_boxes(settings.boxes), clips, settings.box_label)
            clips = [clip for clip in clips if clip.path in boxes] or clips
    count = min(count, len(clips))
    return [clips[(2 * place + 1) * len(clips) // (2 * count)] for place in range(count)]


def _boxes(masking: VideoMaskingConfig, config: VideoConfig, clips: Sequence[Clip]) -> BoxMaps:
    """Return the boxes of these clips; unlike in training, it is no error if none of so few clips has any."""
    if masking.boxes is None:  # refused there, with the sentence that training has
        return box_maps(replace(config, masking=masking), clips)
    return BoxMaps(match_boxes(read_boxes(masking.boxes), clips, masking.box_label))


def _score_maps(
    name: str,
    clips: Sequence[Clip],
    config: VideoConfig,
    maskings: Sequence[VideoMasking],
    anchors: VisualAnchors | None,
    *,
    progress: bool,
) -> CachedMaps:
    device = str(resolve_device(config.training.device or "auto"))
    masking = next(each for each in maskings if name in scores_needed([each]))
    scorer = frame_scorer(name, replace(config, masking=masking.config), anchors, device)
    cache = cache_folder(config.data)
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
        raise InputError(_NO_PICTURES)
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
        made = []
        for frames, hidden in zip(batch["frames"], masked, strict=True):  # one clip at a time, for the memory's sake
            seen = normalised(frames, loaded.mean, loaded.std)
            made.append(reconstruct(loaded, seen[None], hidden[None])[0])
        return (torch.stack(made) * 255).round().to(torch.uint8)

    return fill
