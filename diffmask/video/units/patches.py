"""Clips cut into patches (tubelets), all of them or some, and put together again."""

import torch
from torch import Tensor

from diffmask.video.units.grid import Grid


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
