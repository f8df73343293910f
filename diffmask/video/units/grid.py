"""The grid of patches that a clip is cut into: how many in time, height and width, and the units made of them."""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from diffmask.core.errors import InputError


@dataclass(frozen=True)
class Grid:
    """Patches of a clip; position `(t * rows + y) * columns + x` is that of patch (t, y, x), as in VideoMAE.

    Attributes:
        frames: Patches in time.
        rows: Patches in height.
        columns: Patches in width.
        tubelet: Frames of a patch.
        patch_size: Pixels of a patch in height and in width.
    """

    frames: int
    rows: int
    columns: int
    tubelet: int
    patch_size: int

    @classmethod
    def of(cls, config: Any, num_frames: int, image_size: int) -> "Grid":
        """Return the grid of a model's config for clips of some frames and pixels.

        Raises:
            InputError: If frames or pixels are no multiple of the model's.
        """
        tubelet = getattr(config, "tubelet_size", 1)
        patch = config.patch_size
        if num_frames < 1 or num_frames % tubelet:
            raise InputError(
                f"{num_frames} frames cannot be cut into patches of {tubelet} frames; give a multiple of {tubelet}"
            )
        if image_size < 1 or image_size % patch:
            raise InputError(f"{image_size} pixels cannot be cut into patches of {patch}; give a multiple of {patch}")
        return cls(num_frames // tubelet, image_size // patch, image_size // patch, tubelet, patch)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Patches in time, height and width."""
        return self.frames, self.rows, self.columns

    @property
    def num_positions(self) -> int:
        """Patches of a clip."""
        return prod(self.shape)

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""
        return self.frames * self.tubelet


def unit_ids(grid: Grid, kind: str, size: tuple[int, ...] = ()) -> Tensor:
    """Return the unit of each position of a clip, int64 (L,).

    Units of one kind have one length and cover the clip, so every row can have exactly the same count masked.

    Args:
        grid: The clip's patches.
        kind: patch; tube (the same place through all of time: VideoMAE, Tong et al. 2022); frame (all places of one
            time); block (a box in time, height and width); or cell (a place that runs through its cell of patches as
            time goes on: the running cells of MAR, Qing et al. 2023, and VideoMAE V2).
        size: For block its patches in time, height and width; for cell those in height and width.

    Raises:
        InputError: If the kind is unknown, or blocks or cells do not divide the grid.
    """
    times, rows, columns = torch.meshgrid(*(torch.arange(n) for n in grid.shape), indexing="ij")
    if kind == "patch":
        return torch.arange(grid.num_positions)
    if kind == "tube":
        return (rows * grid.columns + columns).flatten()
    if kind == "frame":
        return times.flatten()
    if kind == "block":
        _check_size(kind, size, grid.shape)
        depth, height, width = size
        down, across = grid.rows // height, grid.columns // width
        return ((times // depth * down + rows // height) * across + columns // width).flatten()
    if kind == "cell":
        _check_size(kind, size, grid.shape[1:])
        height, width = size
        cell = rows // height * (grid.columns // width) + columns // width
        # places of a cell in the order of a snake, so that a running unit steps to a neighbour
        row, column = rows % height, columns % width
        place = row * width + torch.where(row % 2 == 0, column, width - 1 - column)
        return (cell * height * width + (place - times) % (height * width)).flatten()
    raise InputError(f"unknown units {kind!r}; choose from: patch, tube, frame, block, cell")


def _check_size(kind: str, size: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if len(size) != len(shape) or any(part < 1 or whole % part for part, whole in zip(size, shape, strict=False)):
        what = "time, height and width" if len(shape) == 3 else "height and width"
        allowed = "; ".join(", ".join(str(n) for n in range(1, whole + 1) if whole % n == 0) for whole in shape)
        raise InputError(
            f"{kind}s of {list(size)} patches do not divide the grid of {list(shape)} in {what}; choose from {allowed}"
        )
