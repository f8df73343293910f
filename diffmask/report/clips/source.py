"""Clips that `diffmask preview` shows."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from diffmask.assemble.video import VideoMasking
from diffmask.config import VideoMaskingConfig
from diffmask.core.errors import InputError
from diffmask.pretrain.video import box_maps
from diffmask.report.clips.gather import NO_PICTURES, choose_clips, gather_clips, load_trained, preview_clips
from diffmask.report.clips.look import BASELINE, ClipLook, build_look, scores_needed
from diffmask.report.clips.preview import ClipPreview, check_pictures
from diffmask.report.preview import Asked
from diffmask.video.anchors.anchor_set import load_visual_anchors
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import read_clips
from diffmask.video.model.load import LoadedVideo, load_video_model
from diffmask.video.units.grid import Grid

if TYPE_CHECKING:
    from diffmask.video.anchors.anchor_set import VisualAnchors

_PLAIN = (8, 14, 14, 2, 16)
"""Patches in time, height and width, and their frames and pixels, where no model says: of 16 frames of 224 pixels."""


class ClipSource:
    """Some clips; see `report.preview.Source`."""

    options: ClassVar[tuple[str, ...]] = ("num_clips",)
    count: ClassVar[int] = 4
    holds: ClassVar[str] = "clips"
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
        check_pictures(path, overwrite=overwrite)

    @staticmethod
    def baseline(masking: VideoMaskingConfig) -> str:
        """Return the random masking of clips that is usual."""
        return BASELINE

    def look(self, masking: VideoMasking, progress: float | None) -> ClipLook:
        """Return how a policy looks at the clips, at a share of the training or over all of it."""
        return build_look(masking, self._grid, progress=progress)

    def preview(self, looks: Mapping[str, ClipLook]) -> ClipPreview:
        """Return what the policies hide of the clips; only these are scored."""
        gathered = gather_clips(
            self._clips, self._asked.config, self._grid, self._anchors, maskings=self._maskings, progress=True
        )
        return preview_clips(gathered, looks, self._model)

    def _choose(self) -> list[Clip]:
        """Return the clips that are shown, of which some have boxes where a policy follows them."""
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
            self.notes.append(f"Not filled in: {NO_PICTURES}.")
        name = str(asked.checkpoint or asked.model or config.model)
        if not name:
            return None, Grid(*_PLAIN)
        data = config.data
        return None, load_video_model(name, num_frames=data.num_frames, image_size=data.image_size).grid

    def _read_anchors(self) -> "VisualAnchors | None":
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
