"""Motion: how much the frames of a clip change inside each patch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.video.units.grid import Grid

_LUMA = (0.299, 0.587, 0.114)


def motion(frames: Tensor, grid: Grid) -> Tensor:
    """Return how much brightness changes in each patch, float32 (B, L), not negative, on the frames' device.

    A frame's change is the mean of the absolute differences from the frame before and to the frame after, where there
    are such; a patch has the mean over its pixels and frames. What changes everywhere alike, such as a light that is
    switched on, moves nothing: the median over the picture is taken off each difference. A clip of one frame has none.

    Args:
        frames: uint8, or float in any units, (B, T, 3, H, W); the units are those of the result (uint8: 0 to 255).
        grid: How the frames are cut into patches.
    """
    num_clips, num_frames, _, height, width = frames.shape
    assert num_frames == grid.frames * grid.tubelet, f"{num_frames} frames for {grid}"
    assert (height, width) == (grid.rows * grid.patch_size, grid.columns * grid.patch_size), f"{height}x{width}"
    luma = torch.tensor(_LUMA, device=frames.device)
    grey = torch.einsum("btchw,c->bthw", frames.float(), luma)
    change = torch.zeros_like(grey)
    if num_frames > 1:
        steps = grey.diff(dim=1)
        # every sixteenth pixel tells the median as well
        everywhere = steps[..., ::4, ::4].flatten(2).median(2).values
        steps = (steps - everywhere[:, :, None, None]).abs()
        change[:, 1:] += steps
        change[:, :-1] += steps
        change[:, 1:-1] /= 2
    pooled = F.avg_pool3d(change[:, None], (grid.tubelet, grid.patch_size, grid.patch_size))
    return pooled.reshape(num_clips, grid.num_positions)
