"""The grid of patches (tubelets) that a clip is cut into, the units made of them, and which patches a model sees."""

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import PositionMask


@dataclass(frozen=True)
class Grid:
    """The patches of a clip; patch (t, y, x) has the position `(t * rows + y) * columns + x`, as in VideoMAE.

    Attributes:
        frames: Number of patches in time.
        rows: Number of patches in height.
        columns: Number of patches in width.
        tubelet: Frames in a patch.
        patch_size: Pixels of a patch in height and in width.
    """

    frames: int
    rows: int
    columns: int
    tubelet: int
    patch_size: int

    @classmethod
    def of(cls, config: Any, num_frames: int, image_size: int) -> "Grid":
        """Return the grid for clips of `num_frames` frames of `image_size` pixels, given the config of a model.

        Raises:
            InputError: If frames or pixels are not a multiple of the model's patches.
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

    def unit_ids(self, kind: str, size: tuple[int, ...] = ()) -> Tensor:
        """Return the unit of each position of a clip, int64 (L,).

        Units of one kind have one length and cover the clip, so every row can have exactly the same number masked.

        Args:
            kind: patch; tube (the same place through all of time: VideoMAE, Tong et al. 2022); frame (all places at one
                time); block (a box in time, height and width); or cell (a place that moves through its cell of patches
                over time: the running cells of MAR, Qing et al. 2023, and VideoMAE V2).
            size: Patches of a block in time, height and width; or of a cell in height and width.

        Raises:
            InputError: If the kind is unknown, or blocks or cells do not divide the grid.
        """
        times, rows, columns = torch.meshgrid(*(torch.arange(n) for n in self.shape), indexing="ij")
        if kind == "patch":
            return torch.arange(self.num_positions)
        if kind == "tube":
            return (rows * self.columns + columns).flatten()
        if kind == "frame":
            return times.flatten()
        if kind == "block":
            _check_size(kind, size, self.shape)
            depth, height, width = size
            down, across = self.rows // height, self.columns // width
            return ((times // depth * down + rows // height) * across + columns // width).flatten()
        if kind == "cell":
            _check_size(kind, size, self.shape[1:])
            height, width = size
            cell = rows // height * (self.columns // width) + columns // width
            # the places of a cell are numbered like a snake, so that each step of a running unit leads to a neighbour
            row, column = rows % height, columns % width
            place = row * width + torch.where(row % 2 == 0, column, width - 1 - column)
            return (cell * height * width + (place - times) % (height * width)).flatten()
        raise InputError(f"unknown units {kind!r}; choose from: patch, tube, frame, block, cell")

    def take_patches(self, frames: Tensor, positions: Tensor | None = None, *, channels_first: bool = False) -> Tensor:
        """Return the pixels of patches, (B, L, C): tubelet, rows, columns and channels of each, in this order.

        Only what is asked for is copied: a tenth of a clip where the rest is hidden.

        Args:
            frames: (B, T, channels, H, W).
            positions: The patches wanted of each row, int64 (B, P); None takes all.
            channels_first: Put the channels before the rest, as the kernels of a convolution have them.
        """
        batch, _, channels, _, _ = frames.shape
        size = self.patch_size
        # a view with one axis for each of: which patch, and where in the patch
        cut = frames.view(batch, self.frames, self.tubelet, channels, self.rows, size, self.columns, size)
        cut = cut.permute(0, 1, 4, 6, 3, 2, 5, 7) if channels_first else cut.permute(0, 1, 4, 6, 2, 5, 7, 3)
        if positions is None:
            return cut.reshape(batch, self.num_positions, -1)
        clips = torch.arange(batch, device=frames.device)[:, None]
        places = (
            positions // (self.rows * self.columns),
            positions // self.columns % self.rows,
            positions % self.columns,
        )
        return cut[clips, *places].flatten(2)

    def put_patches(self, patches: Tensor, channels: int = 3) -> Tensor:
        """Return frames (B, T, channels, H, W) made of all their patches, as `take_patches` gives them."""
        batch, size = len(patches), self.patch_size
        cut = patches.view(batch, self.frames, self.rows, self.columns, self.tubelet, size, size, channels)
        cut = cut.permute(0, 1, 4, 7, 2, 5, 3, 6)
        return cut.reshape(batch, self.frames * self.tubelet, channels, self.rows * size, self.columns * size)


def _check_size(kind: str, size: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if len(size) != len(shape) or any(part < 1 or whole % part for part, whole in zip(size, shape, strict=False)):
        what = "time, height and width" if len(shape) == 3 else "height and width"
        allowed = "; ".join(", ".join(str(n) for n in range(1, whole + 1) if whole % n == 0) for whole in shape)
        raise InputError(
            f"{kind}s of {list(size)} patches do not divide the grid of {list(shape)} in {what}; choose from {allowed}"
        )


class PatchCounts(NamedTuple):
    """How many patches of every clip are masked, and how many of these are predicted."""

    masked: int
    predicted: int


class _Places(NamedTuple):
    """Positions of the visible patches (B, V) and of the predicted ones (B, P), int64, ascending in each row."""

    visible: Tensor
    predicted: Tensor


def find_places(masked: PositionMask, predicted: PositionMask, counts: PatchCounts | None = None) -> _Places:
    """Return where the visible and the predicted patches are.

    Args:
        masked: The hidden patches, the same number in every row.
        predicted: Those of them that are predicted, the same number in every row.
        counts: These numbers, if the caller knows them; then nothing has to be read back from the device.

    Raises:
        InputError: If counts differ, nothing is visible, or something visible is to be predicted.
    """
    counts = _check_counts(masked, predicted) if counts is None else counts
    # 0 visible, 1 hidden and not predicted, 2 predicted: one stable sort brings each kind together and keeps its
    # order, and as every row has the same counts, slices of it are the positions; nonzero() would stop the device
    order = (masked.to(torch.int8) + predicted.to(torch.int8)).argsort(dim=1, stable=True)
    num_positions = masked.shape[1]
    return _Places(order[:, : num_positions - counts.masked], order[:, num_positions - counts.predicted :])


def _check_counts(masked: PositionMask, predicted: PositionMask) -> PatchCounts:
    """Return how many patches of every row are masked and predicted, read back from the device in one copy."""
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
    return PatchCounts(fewest, least)
