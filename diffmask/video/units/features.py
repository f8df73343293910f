"""Values of the patches of a batch, on its device: maps that came with the rows, motion, appearance, embeddings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.video.units.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping

_LUMA = (0.299, 0.587, 0.114)
APPEARANCE_DIM = 13
"""Number of values that `Appearance` gives a patch."""


class PatchFeature(Protocol):
    """Gives each patch of a batch values that policies or targets read."""

    def __call__(self, batch: "Mapping[str, Any]", grid: Grid) -> dict[str, Tensor]:
        """Return named values, float (B, L) or (B, L, D).

        Args:
            batch: A batch as `VideoAdapter.pad` makes it: `frames` are uint8 (B, T, 3, H, W).
            grid: The patches of its clips.
        """
        ...


@dataclass(frozen=True)
class FromRows:
    """Scores that came with the rows, (B, T', rows, columns).

    Attributes:
        name: Name of the scores in the batch and of the feature.
    """

    name: str

    def __call__(self, batch: "Mapping[str, Any]", grid: Grid) -> dict[str, Tensor]:
        """Return them, float (B, L)."""
        return {self.name: batch[self.name].flatten(1)}


class Motion:
    """How much brightness changes in each patch from frame to frame."""

    def __call__(self, batch: "Mapping[str, Any]", grid: Grid) -> dict[str, Tensor]:
        """Return it, float (B, L)."""
        return {"motion": _motion(batch["frames"], grid)}


class Appearance:
    """What each patch looks like, in a few numbers that a small network can learn from.

    They are mean and deviation of each colour, slopes across and down, motion, contrast with the neighbours, and place;
    each has mean 0 and deviation 1 over the patches of a clip, so that dark clips look like bright ones.
    """

    def __call__(self, batch: "Mapping[str, Any]", grid: Grid) -> dict[str, Tensor]:
        """Return them, float (B, L, 13)."""
        frames = batch["frames"]
        size = (grid.tubelet, grid.patch_size, grid.patch_size)
        colours = frames.float().div(255).transpose(1, 2)  # (B, 3, T, H, W)
        means = F.avg_pool3d(colours, size)
        deviations = (F.avg_pool3d(colours.square(), size) - means.square()).clamp_min(0).sqrt()
        grey = colours.mean(1, keepdim=True)
        across = F.avg_pool3d(F.pad(grey.diff(dim=4).abs(), (0, 1)), size)
        down = F.avg_pool3d(F.pad(grey.diff(dim=3).abs(), (0, 0, 0, 1)), size)
        moved = _motion(frames, grid).view(len(frames), 1, *grid.shape)
        around = F.avg_pool3d(means, (1, 3, 3), stride=1, padding=(0, 1, 1), count_include_pad=False)
        values = [means, deviations, across, down, moved, (means - around).abs().mean(1, keepdim=True)]
        values.append(_position(grid, frames.device).expand(len(frames), -1, -1, -1, -1))
        stacked = torch.cat(values, 1).flatten(2).transpose(1, 2)  # (B, L, D)
        centred = stacked - stacked.mean(1, keepdim=True)
        deviation = centred.square().mean(1, keepdim=True).sqrt()
        return {"appearance": centred / deviation.clamp_min(1e-6)}


def _motion(frames: Tensor, grid: Grid) -> Tensor:
    """Return how much brightness changes in each patch, float32 (B, L), not negative, in the units of the frames.

    The change of a frame is the mean absolute difference from the frame before and the frame after it; a patch has the
    mean over its pixels and frames. A clip of one frame has no motion.
    """
    num_clips, num_frames, _, height, width = frames.shape
    assert num_frames == grid.frames * grid.tubelet, f"{num_frames} frames for {grid}"
    assert (height, width) == (grid.rows * grid.patch_size, grid.columns * grid.patch_size), f"{height}x{width}"
    luma = torch.tensor(_LUMA, device=frames.device)
    grey = torch.einsum("btchw,c->bthw", frames.float(), luma)
    change = torch.zeros_like(grey)
    if num_frames > 1:
        steps = grey.diff(dim=1)
        # a light that is switched on moves nothing, so the median over the picture is subtracted; every sixteenth pixel
        # is enough for it
        everywhere = steps[..., ::4, ::4].flatten(2).median(2).values
        steps = (steps - everywhere[:, :, None, None]).abs()
        # each step belongs to both of its frames; only the first and the last frame have one step, not two
        change[:, 1:] += steps
        change[:, :-1] += steps
        change[:, 1:-1] /= 2
    pooled = F.avg_pool3d(change[:, None], (grid.tubelet, grid.patch_size, grid.patch_size))
    return pooled.reshape(num_clips, grid.num_positions)


def _position(grid: Grid, device: torch.device) -> Tensor:
    """Return height, width and distance from the middle of each patch, float (1, 3, T', rows, columns)."""
    row = torch.linspace(-1, 1, grid.rows, device=device)[:, None].expand(grid.rows, grid.columns)
    column = torch.linspace(-1, 1, grid.columns, device=device)[None].expand(grid.rows, grid.columns)
    place = torch.stack([row, column, (row.square() + column.square()).sqrt()])
    return place[None, :, None].expand(1, 3, *grid.shape)


class PatchEmbedder(Protocol):
    """What gives every patch of a frame an embedding."""

    @property
    def key(self) -> str:
        """What the embeddings depend on besides the frame: kind, weights, layer, size."""
        ...

    @property
    def dim(self) -> int:
        """Number of dimensions, D."""
        ...

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of patches in frames of this size."""
        ...

    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings float32 (T, rows, columns, D) of frames uint8 (T, H, W, 3), on the embedder's device."""
        ...


class _Scorer(Protocol):
    """Scores patches by their embeddings."""

    def score(self, embeddings: Tensor) -> Tensor:
        """Return scores, float (N,), of embeddings float (N, D)."""
        ...


class Embedded:
    """Embeddings of the patches of a batch, and their scores: one pass of the embedder serves both.

    A patch of several frames is embedded by its middle one.

    Args:
        embedder: Gives the embeddings.
        scorer: Scores them under the name `difference`, or None.
        keep: Whether the embeddings are wanted too, as `embedding`.
    """

    def __init__(self, embedder: PatchEmbedder, scorer: _Scorer | None = None, *, keep: bool = True):
        self._embedder, self._scorer, self._keep = embedder, scorer, keep

    @torch.no_grad()
    def __call__(self, batch: "Mapping[str, Any]", grid: Grid) -> dict[str, Tensor]:
        """Return the scores, float (B, L), and the embeddings, float (B, L, D)."""
        frames = batch["frames"]
        middle = frames[:, grid.tubelet // 2 :: grid.tubelet]  # (B, T', 3, H, W)
        embeddings = self._embedder.embed(middle.flatten(0, 1).permute(0, 2, 3, 1)).to(frames.device)
        values: dict[str, Tensor] = {}
        if self._scorer is not None:
            scores = self._scorer.score(embeddings.flatten(0, 2)).view(*embeddings.shape[:3], 1)
            values["difference"] = _to_grid(scores, len(frames), grid)[..., 0]
        if self._keep:
            values["embedding"] = _to_grid(embeddings, len(frames), grid)
        return values


def _to_grid(values: Tensor, num_clips: int, grid: Grid) -> Tensor:
    """Return values (B T', rows, columns, D) of the embedder's grid at the patches of ours, float (B, L, D)."""
    values = values.movedim(3, 1).float()  # (B T', D, rows, columns)
    if values.shape[2:] != (grid.rows, grid.columns):
        antialias = values.shape[2] > grid.rows or values.shape[3] > grid.columns
        size = (grid.rows, grid.columns)
        values = F.interpolate(values, size, mode="bilinear", align_corners=False, antialias=antialias)
    return values.unflatten(0, (num_clips, grid.frames)).movedim(2, 4).flatten(1, 3)
