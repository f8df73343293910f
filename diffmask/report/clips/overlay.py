"""Scores and masks laid over the frames of a clip: pixels in, pixels out."""

from functools import cache

import torch
from torch import Tensor

COLOURS = "viridis"
"""Colour map of matplotlib; even steps of a value look like even steps, also to the colour-blind and in grey."""
ALPHA = 0.6
"""How much of a pixel is the colour of its patch; the rest is the frame, in grey."""
HIDDEN, LINE = 128, 88
"""Grey of a hidden patch and of the lines around it: no content of a frame has such a grid."""
_LUMA = (0.299, 0.587, 0.114)
_STEPS = 256


@cache
def colour_table(name: str = COLOURS) -> Tensor:
    """Return the colours of a map from low to high, uint8 (256, 3)."""
    from matplotlib import colormaps

    rgba = colormaps[name](torch.linspace(0, 1, _STEPS).numpy(), bytes=True)
    return torch.from_numpy(rgba[:, :3].copy())


def colour(values: Tensor, low: float, high: float) -> Tensor:
    """Return the colour of each value, uint8 (..., 3); values beyond the ends have the colours of the ends."""
    share = (values.float() - low) / max(high - low, torch.finfo(torch.float32).tiny)
    return colour_table()[(share.clamp(0, 1) * (_STEPS - 1)).round().long()]


def heat(frames: Tensor, values: Tensor, low: float, high: float, alpha: float = ALPHA) -> Tensor:
    """Return frames in grey under the colours of their patches, uint8 (T, 3, H, W).

    The frame is grey so that every colour is that of a value.

    Args:
        frames: uint8 (T, 3, H, W).
        values: Of each patch, float (T', rows, columns).
        low: Value of the first colour.
        high: Value of the last colour.
        alpha: Share of the colour.
    """
    grey = to_grey(frames)
    colours = to_pixels(colour(values, low, high).float().movedim(3, 1), frames)
    return torch.lerp(grey.expand_as(colours), colours, alpha).round().to(torch.uint8)


def to_grey(frames: Tensor) -> Tensor:
    """Return how bright frames are, float (T, 1, H, W) in [0, 255]."""
    return torch.einsum("tchw,c->thw", frames.float(), torch.tensor(_LUMA))[:, None]


def hide(frames: Tensor, masked: Tensor) -> Tensor:
    """Return frames whose hidden patches are plain grey, each with a thin line above and left of it.

    Args:
        frames: uint8 (T, 3, H, W).
        masked: Which patches are hidden, bool (T', rows, columns).
    """
    height, width = frames.shape[2:]
    down, across = torch.arange(height) % (height // masked.shape[1]), torch.arange(width) % (width // masked.shape[2])
    on_line = (down == 0)[:, None] | (across == 0)
    grey = torch.where(on_line, LINE, HIDDEN).to(torch.uint8)
    return torch.where(to_pixels(masked[:, None], frames), grey, frames)


def to_pixels(patches: Tensor, frames: Tensor) -> Tensor:
    """Return values of patches (T', C, rows, columns) for every pixel of frames, (T, C, H, W)."""
    sizes = [frames.shape[0], frames.shape[2], frames.shape[3]]
    counts = [patches.shape[0], patches.shape[2], patches.shape[3]]
    for pixels, count in zip(sizes, counts, strict=True):
        assert pixels % count == 0, f"frames {tuple(frames.shape)} are no multiple of patches {tuple(patches.shape)}"
    times, down, across = (pixels // count for pixels, count in zip(sizes, counts, strict=True))
    return patches.repeat_interleave(times, 0).repeat_interleave(down, 2).repeat_interleave(across, 3)


def spread(values: Tensor) -> tuple[float, float]:
    """Return the ends of a colour scale: the least and the greatest value."""
    return float(values.min()), float(values.max())
