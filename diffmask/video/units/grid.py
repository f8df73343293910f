"""The grid of patches that a clip is cut into: how many in time, height and width, and the units made of them.

Clips cut into patches (tubelets), all of them or some, and put together again.

Which patches of each clip are visible and which are predicted, as indices of equal number in every row.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import PositionMask


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


def take_patches(
    frames: Tensor, grid: Grid, positions: Tensor | None = None, *, channels_first: bool = False
) -> Tensor:
    """Return the pixels of patches, (B, L, C): tubelet, rows, columns and channels of each, in this order.

    Only what is asked for is copied: a tenth of a clip, where the rest is hidden.

    Args:
        frames: (B, T, channels, H, W).
        grid: How a clip is cut.
        positions: Which patches of each row, int64 (B, P); None takes all.
        channels_first: Channels before the rest, as the kernels of a convolution have them.
    """
    batch, _, channels, _, _ = frames.shape
    size = grid.patch_size
    cut = frames.view(batch, grid.frames, grid.tubelet, channels, grid.rows, size, grid.columns, size)
    cut = cut.permute(0, 1, 4, 6, 3, 2, 5, 7) if channels_first else cut.permute(0, 1, 4, 6, 2, 5, 7, 3)
    if positions is None:
        return cut.reshape(batch, grid.num_positions, -1)
    clips = torch.arange(batch, device=frames.device)[:, None]
    places = (positions // (grid.rows * grid.columns), positions // grid.columns % grid.rows, positions % grid.columns)
    return cut[clips, *places].flatten(2)


def put_patches(patches: Tensor, grid: Grid, channels: int = 3) -> Tensor:
    """Return frames (B, T, channels, H, W) from all of their patches, as `take_patches` gives them."""
    batch, size = len(patches), grid.patch_size
    cut = patches.view(batch, grid.frames, grid.rows, grid.columns, grid.tubelet, size, size, channels)
    cut = cut.permute(0, 1, 4, 7, 2, 5, 3, 6)
    return cut.reshape(batch, grid.frames * grid.tubelet, channels, grid.rows * size, grid.columns * size)


class Counts(NamedTuple):
    """How many patches of every clip are masked, and how many of those are predicted."""

    masked: int
    predicted: int


class _Places(NamedTuple):
    """Positions in each row's order: the visible patches (B, V) and the predicted ones (B, P), int64."""

    visible: Tensor
    predicted: Tensor


def find_places(masked: PositionMask, predicted: PositionMask, counts: Counts | None = None) -> _Places:
    """Return where the visible and the predicted patches are, by one sort.

    Args:
        masked: What is hidden, the same number in every row.
        predicted: The part of it that is predicted, the same number in every row.
        counts: These numbers, where the caller is sure of them: then nothing is read back from the device.

    Raises:
        InputError: If counts differ, nothing is visible, or something visible is to be predicted.
    """
    counts = _check_counts(masked, predicted) if counts is None else counts
    # 0 visible, 1 hidden and left out, 2 predicted; a stable sort keeps each row's order within these
    order = (masked.to(torch.int8) + predicted.to(torch.int8)).argsort(dim=1, stable=True)
    num_positions = masked.shape[1]
    return _Places(order[:, : num_positions - counts.masked], order[:, num_positions - counts.predicted :])


def _check_counts(masked: PositionMask, predicted: PositionMask) -> Counts:
    """Return how many patches are masked and predicted in every row, read back from the device at once.

    Raises:
        InputError: As `find_places`.
    """
    hidden, wanted = masked.sum(1), predicted.sum(1)
    outside = (predicted & ~masked).sum()
    fewest, most, least, largest, outside = torch.stack(
        [hidden.min(), hidden.max(), wanted.min(), wanted.max(), outside]
    ).tolist()
    if fewest != most:
        raise InputError(
            f"the clips of a batch hide from {fewest} to {most} patches; every clip must hide the same number, "
            "so draw masks with uniform=True"
        )
    if least != largest:
        raise InputError(
            f"from {least} to {largest} hidden patches of a clip are to be predicted; it must be the same number in "
            "every clip, so draw the subset with uniform=True"
        )
    if outside:
        raise InputError(f"{outside} patches are to be predicted though they are visible; predict masked ones only")
    if fewest == masked.shape[1]:
        raise InputError(f"all {fewest} patches of the clips are masked; leave some visible (a lower mask ratio)")
    return Counts(fewest, least)
