"""Scores that rows bring along: score maps that were made once, and boxes; both seen through the row's crop."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from diffmask.video.clip.clip import Clip
from diffmask.video.read.crop import Crop, crop_map
from diffmask.video.score.boxes import Boxes, box_map
from diffmask.video.score.score_maps import read_map


class CachedMaps:
    """Score maps of clips.

    Args:
        paths: Of the map of each clip, by the clip's path.
    """

    def __init__(self, paths: Mapping[str, Path]):
        self._paths = dict(paths)

    def has(self, clip: Clip) -> bool:
        """Tell whether there is a map of a clip."""
        return clip.path in self._paths

    def __call__(self, clip: Clip, times: Tensor, crop: Crop, shape: tuple[int, int]) -> Tensor:
        """Return the scores of what a row shows, float (T', rows, columns)."""
        found = read_map(self._paths[clip.path])
        return crop_map(found.values, found.times, times, crop, shape)


class BoxMaps:
    """Boxes of clips: how much of each patch lies in one.

    Args:
        boxes: Of each clip that has some, by its path, as `match_boxes` returns them.
    """

    def __init__(self, boxes: Mapping[str, Boxes]):
        self._boxes = dict(boxes)

    def __call__(self, clip: Clip, times: Tensor, crop: Crop, shape: tuple[int, int]) -> Tensor:
        """Return the share of each patch in a box, float (T', rows, columns); zero for clips without boxes."""
        boxes = self._boxes.get(clip.path)
        return torch.zeros(len(times), *shape) if boxes is None else box_map(boxes, times, crop, *shape)
