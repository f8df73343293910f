"""What is predicted of a hidden patch: its pixels, as the stock classes compute them, or features of another model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.units import Units
from diffmask.video.units.grid import Grid

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Colours = tuple[float, ...]


@dataclass(frozen=True)
class PixelTargets:
    """The pixels of patches.

    The stock VideoMAE undoes a normalisation by ImageNet's statistics even if its processor normalised by others (such
    as 0.5); here it is undone by the statistics that were really used. With ImageNet's the two are equal.

    Attributes:
        tubelet: Frames of a patch.
        patch_size: Pixels of a patch in height and in width.
        mean: Mean of red, green and blue, in [0, 1], that frames were normalised by.
        std: Standard deviation of red, green and blue that they were normalised by.
        normalised: Give each patch mean 0 and standard deviation 1.
        joint: As in ViT-MAE: the colours of a patch have one mean and deviation together, and the normalisation of
            the frames is not undone.
    """

    tubelet: int = 2
    patch_size: int = 16
    mean: Colours = IMAGENET_MEAN
    std: Colours = IMAGENET_STD
    normalised: bool = True
    joint: bool = False

    @torch.no_grad()
    def __call__(self, frames: Tensor, units: Units | None = None, *, positions: Tensor | None = None) -> Tensor:
        """Return the targets of patches, float32 (B, L, C).

        Args:
            frames: Clips as the model reads them, float (B, T, 3, H, W).
            units: Not read: pixels need no features.
            positions: The patches wanted, int64 (B, P); None takes all.
        """
        pixels = self.grid(frames).take_patches(frames, positions).float()
        if not self.normalised:
            return pixels if self.joint else self.shown(pixels)
        mean, deviation = self.statistics(pixels)
        return (self._by_colour(pixels) - mean).div_(deviation).flatten(2)

    def grid(self, frames: Tensor) -> Grid:
        """Return how clips are cut."""
        _, num_frames, _, height, width = frames.shape
        size = self.patch_size
        return Grid(num_frames // self.tubelet, height // size, width // size, self.tubelet, size)

    def shown(self, pixels: Tensor) -> Tensor:
        """Return pixels of patches in [0, 1], given those that the model reads."""
        mean, std = (on_device(pixels.device, each) for each in (self.mean, self.std))
        return (pixels.unflatten(2, (-1, len(self.mean))) * std + mean).flatten(2)

    def read(self, targets: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Return pixels of patches as the model reads them, given their targets and statistics."""
        if self.normalised:
            return (self._by_colour(targets) * deviation + mean).flatten(2)
        if self.joint:
            return targets
        shift, scale = (on_device(targets.device, each) for each in (self.mean, self.std))
        return ((targets.unflatten(2, (-1, len(self.mean))) - shift) / scale).flatten(2)

    def statistics(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of patches as the model reads them: of each colour (B, L, 1, 3), or of all."""
        values = self._by_colour(pixels)
        mean = values.mean(2, keepdim=True)
        size = torch.linalg.vector_norm(values - mean, dim=2, keepdim=True)
        deviation = size / (values.shape[2] - 1) ** 0.5
        # each stock class has its own place for the number that keeps a flat patch from a division by zero; VideoMAE
        # adds it after undoing the normalisation of frames, hence the division by std
        if self.joint:
            return mean, (deviation.square() + 1e-6).sqrt()
        return mean, deviation + 1e-6 / on_device(pixels.device, self.std)

    def _by_colour(self, pixels: Tensor) -> Tensor:
        return pixels.unflatten(2, (-1, 1 if self.joint else len(self.mean)))


class FeatureTargets:
    """Embeddings of the patches, each with mean 0 and variance 1 (as in MVD, Wang et al. 2023).

    So neither the scale of the embedding model nor its outliers dominate the loss.
    """

    def __call__(self, frames: Tensor, units: Units, *, positions: Tensor | None = None) -> Tensor:
        """Return them, float (B, P, D); the units have the feature `embedding`."""
        embedding = units.features["embedding"]
        if positions is not None:
            embedding = embedding.gather(1, positions[..., None].expand(-1, -1, embedding.shape[2]))
        return F.layer_norm(embedding, embedding.shape[-1:])


def normalised(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return uint8 frames (..., 3, H, W) as a model reads them, float32.

    Args:
        frames: The frames.
        mean: Mean of red, green and blue, in [0, 1], that pixels are normalised by.
        std: Standard deviation of red, green and blue that they are normalised by.
    """
    shift, scale = (on_device(frames.device, tuple(each))[:, None, None] for each in (mean, std))
    return frames.float().div_(255).sub_(shift).div_(scale)


@lru_cache(maxsize=64)
def on_device(device: torch.device, colours: Colours) -> Tensor:
    """Return numbers as a tensor, kept: copying them at each step would make the host wait for the device."""
    return torch.tensor(colours, device=device)
