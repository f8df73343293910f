"""Embeddings of patches from their pixels alone, for machines without weights: colour and texture, then PCA.

Raw pixels of patches make poor visual words: the same grass, shifted by four pixels or half as bright, is far from
itself. So a patch is described by what does not move with it: its hue and how colours spread, and in which directions
its edges run at two scales, whatever their contrast. Its surroundings are described in the same way.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.video.score.embedders import fitted_grid, resized

NUM_DIRECTIONS = 8
MAX_FITTED = 50_000
_DARK, _FLAT = 0.05, 0.01
"""Below these, colour and contrast are noise: added where one divides by brightness or by edges."""


class PixelEmbedder:
    """Patches by colour and texture, centred and rotated by a PCA that is fitted to the clips.

    Attributes:
        size: Pixels of a frame's short side.
        basis: `mean`, `scale` (features,) and `components` (D, features); None until it is fitted.
    """

    SIZE, PATCH, DIM = 224, 16, 24

    def __init__(self, *, size: int = SIZE, device: torch.device | None = None, basis=None):
        self.size = size
        self.device = device or torch.device("cpu")
        self.basis: dict[str, Tensor] | None = None if basis is None else _checked(basis)

    @property
    def key(self) -> str:
        """What the embeddings depend on beside the frame."""
        digest = hashlib.sha256()
        for name, values in sorted(self._fitted().items()):
            digest.update(f"{name} {tuple(values.shape)}".encode())
            digest.update(values.numpy().tobytes())
        return f"pixels 1 {digest.hexdigest()} size {self.size}"

    @property
    def dim(self) -> int:
        """D."""
        return len(self._fitted()["components"])

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of patches in frames of this size."""
        return fitted_grid(height, width, self.size, self.PATCH)

    def fit(self, descriptions: Iterable[Tensor]) -> None:
        """Fit the basis.

        Args:
            descriptions: What `describe` returns of frames, any number of dimensions before the last.
        """
        from sklearn.decomposition import PCA

        rows = torch.cat([each.flatten(0, -2).cpu() for each in descriptions]).double()
        rows = rows[:: -(-len(rows) // MAX_FITTED)]
        mean, scale = rows.mean(0), rows.std(0, correction=0).clamp_min(1e-6)
        # a constant feature says nothing, whatever its noise
        scale = torch.where(scale > 1e-5, scale, torch.inf) * _group_sizes(rows.shape[1]).sqrt()
        standard = ((rows - mean) / scale).numpy()
        num_parts = min(self.DIM, *standard.shape)
        components = np.eye(num_parts, standard.shape[1])
        # frames of one colour have no directions of their own
        if standard.any():
            components = np.asarray(PCA(num_parts, svd_solver="full").fit(standard).components_)
        self.basis = _checked({"mean": mean, "scale": scale, "components": torch.from_numpy(components)})

    @torch.inference_mode()
    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings, float32 (T, rows, columns, D); zero is what is common in the clips."""
        basis = {name: values.to(self.device) for name, values in self._fitted().items()}
        return ((self.describe(frames) - basis["mean"]) / basis["scale"]) @ basis["components"].T

    @torch.inference_mode()
    def describe(self, frames: Tensor) -> Tensor:
        """Return what is seen in each patch, float32 (T, rows, columns, features)."""
        rows, columns = self.grid(*frames.shape[1:3])
        made = []
        for pixels in resized(frames, (rows * self.PATCH, columns * self.PATCH), self.device):
            own = torch.cat([_colours(pixels, self.PATCH), *_textures(pixels, self.PATCH)], dim=1)
            around = F.avg_pool2d(own, 3, stride=1, padding=1, count_include_pad=False)
            made.append(torch.cat([own, around], dim=1).permute(0, 2, 3, 1))
        return torch.cat(made)

    def _fitted(self) -> dict[str, Tensor]:
        assert self.basis is not None, "the pixel embedder was not fitted"
        return self.basis


def _colours(pixels: Tensor, patch: int) -> Tensor:
    """Return brightness, hue and saturation of patches, and how far they spread, (N, 6, rows, columns)."""
    red, green, blue = pixels.unbind(1)
    total = red + green + blue + 3 * _DARK
    channels = torch.stack([total / 3, (red - green) / total, (red + green - 2 * blue) / total], dim=1)
    means = F.avg_pool2d(channels, patch)
    spread = (F.avg_pool2d(channels.square(), patch) - means.square()).clamp_min(0).sqrt()
    return torch.cat([means, (spread + _FLAT).log()], dim=1)


def _textures(pixels: Tensor, patch: int) -> list[Tensor]:
    """Return how edges are spread over directions, and how strong they are, at two scales."""
    grey = pixels.mean(1, keepdim=True)
    return [_directions(grey, patch), _directions(F.avg_pool2d(grey, 2), patch // 2)]


def _directions(grey: Tensor, patch: int) -> Tensor:
    """Return shares of directions and log strength, (N, NUM_DIRECTIONS + 1, rows, columns)."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    strength = (across.square() + down.square()).sqrt()
    # an edge from dark to light is the same as one from light to dark
    place = torch.atan2(down, across) % math.pi / math.pi * NUM_DIRECTIONS
    below = place.floor()
    share = place - below
    low = below.long() % NUM_DIRECTIONS
    count, _, height, width = grey.shape
    shape = (count, height // patch, width // patch)
    patches = torch.arange(math.prod(shape), device=grey.device).view(count, 1, *shape[1:])
    first = patches.repeat_interleave(patch, 2).repeat_interleave(patch, 3) * NUM_DIRECTIONS
    # an edge between two directions counts for both
    bins = torch.cat([(first + low).flatten(), (first + (low + 1) % NUM_DIRECTIONS).flatten()])
    weights = torch.cat([(strength * (1 - share)).flatten(), (strength * share).flatten()])
    sums = torch.bincount(bins, weights, patches.numel() * NUM_DIRECTIONS).float() / patch**2
    sums = sums.view(*shape, NUM_DIRECTIONS).permute(0, 3, 1, 2)
    mean = F.avg_pool2d(strength, patch)
    return torch.cat([sums / (mean + _FLAT), (mean + _FLAT).log()], dim=1)


def _group_sizes(num_features: int) -> Tensor:
    """Return how many features share the subject of each, so that no subject counts for more because it has more."""
    texture = [NUM_DIRECTIONS] * NUM_DIRECTIONS + [1]
    own = [1, 2, 2, 1, 2, 2, *texture, *texture]
    assert num_features == 2 * len(own)
    return torch.tensor(own * 2, dtype=torch.float64)


def _checked(basis: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        found = {name: basis[name].detach().cpu().float().contiguous() for name in ("mean", "scale", "components")}
    except KeyError as error:
        raise InputError(f"the basis of the pixel embedder has no {error}; make the anchors again") from error
    assert found["components"].shape[1] == len(found["mean"]) == len(found["scale"])
    return found
