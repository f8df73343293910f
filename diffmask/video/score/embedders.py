"""Embeddings of the patches of frames: by a CLIP tower, by the student itself, or by what the pixels look like.

embedder = build_embedder("clip:ViT-B-16:weights.safetensors")
embedder.embed(frames)    # uint8 (T, H, W, 3) -> float32 (T, rows, columns, D)
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device

if TYPE_CHECKING:
    from diffmask.video.score.openclip_load import LoadedClip

KINDS = ("clip:MODEL:WEIGHTS", "student:FOLDER", "pixels")
BATCH_FRAMES = 16
_WIDEST = 3.0
"""Frames that are longer than so many times their other side are squeezed to it."""


class PatchEmbedder(Protocol):
    """What gives every patch of a frame an embedding."""

    @property
    def key(self) -> str:
        """What the embeddings depend on beside the frame: kind, weights, layer, size."""
        ...

    @property
    def dim(self) -> int:
        """D."""
        ...

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of patches in frames of this size."""
        ...

    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings float32 (T, rows, columns, D) of frames uint8 (T, H, W, 3), on the embedder's device."""
        ...


class ClipEmbedder:
    """Patches by a CLIP tower, projected into the space that it shares with text.

    Frames are resized to the tower's size at their short side and keep their shape where the tower can read that;
    positions are interpolated.

    Attributes:
        clip: The model with its tokenizer and statistics.
        layer: Block whose tokens are read, from 0, negative from the end; or `value`: what the last block would hand
            on if each patch attended to itself only (MaskCLIP, Zhou et al. 2022), the default. Tokens of the last block
            itself hold the whole frame rather than their patch: in a small model that was trained on digits in clutter,
            a caption finds its digit with an AUC of 0.97 by `value`, 0.14 to 0.30 by the last block.
        size: Pixels of the short side.
    """

    def __init__(self, clip: "LoadedClip", *, layer: int | str | None = None, size: int | None = None):
        self.clip = clip
        self.layer = clip.tower.check_layer(layer)
        self.size = size or clip.tower.image_size
        self.key = f"clip {clip.key} layer {self.layer} size {self.size}"
        self.dim = clip.tower.dim

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.clip.device

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of patches in frames of this size."""
        patch = self.clip.tower.patch_size
        if not self.clip.tower.any_shape:
            return self.clip.tower.image_size // patch, self.clip.tower.image_size // patch
        return fitted_grid(height, width, self.size, patch)

    @torch.inference_mode()
    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings of length one, float32 (T, rows, columns, D)."""
        rows, columns = self.grid(*frames.shape[1:3])
        patch = self.clip.tower.patch_size
        made = []
        for pixels in resized(frames, (rows * patch, columns * patch), self.device):
            tokens = self.clip.tower.patches(self.clip.normalise(pixels), self.layer)
            assert tokens.shape[1:3] == (rows, columns), f"{tuple(tokens.shape)} for {rows} x {columns} patches"
            made.append(F.normalize(tokens.float(), dim=-1))
        return torch.cat(made)

    @torch.inference_mode()
    def embed_text(self, texts: list[str]) -> Tensor:
        """Return embeddings of length one, float32 (A, D)."""
        tokens = self.clip.tokenizer(texts).to(self.device)
        return F.normalize(self.clip.model.encode_text(tokens).float(), dim=-1)


def build_embedder(
    spec: str,
    *,
    layer: int | str | None = None,
    size: int | None = None,
    device: str = "auto",
    basis: Mapping[str, Tensor] | None = None,
) -> PatchEmbedder:
    """Return the embedder that the user named.

    Args:
        spec: `clip:MODEL:WEIGHTS`, `clip:FOLDER`, `student:FOLDER` or `pixels`.
        layer: Which layer of the model is read; None is the embedder's own choice.
        size: Pixels of a frame's short side; None is what the model was trained with.
        device: auto, cpu, cuda, ...
        basis: What a `pixels` embedder was fitted to; without it, it has to be fitted first.

    Raises:
        InputError: If there is no such embedder or model, or it has no such layer.
    """
    kind, _, rest = spec.partition(":")
    if kind == "clip" and rest:
        from diffmask.video.score.openclip_load import load_clip

        return ClipEmbedder(load_clip(rest, device), layer=layer, size=size)
    if kind == "student" and rest:
        from diffmask.video.score.embed_student import StudentEmbedder

        if size is not None:
            raise InputError(f"size={size} has no effect with {spec}, which reads frames of its own size; leave it out")
        return StudentEmbedder(rest, layer=layer, device=device)
    if spec == "pixels":
        from diffmask.video.score.embed_pixels import PixelEmbedder

        if layer is not None:
            raise InputError(f"layer={layer} has no effect with the embedder pixels, which has no layers; leave it out")
        return PixelEmbedder(size=size or PixelEmbedder.SIZE, device=resolve_device(device), basis=basis)
    raise InputError(f"unknown embedder {spec!r}; choose from: {', '.join(KINDS)}")


def parse_layer(text: str | None) -> int | str | None:
    """Return the layer that a user wrote: a number, or the name of a way to read it."""
    if text is None:
        return None
    return int(text) if text.lstrip("-").isdigit() else text


def fitted_grid(height: int, width: int, size: int, patch_size: int) -> tuple[int, int]:
    """Return rows and columns of patches when the short side of a frame becomes `size` pixels.

    >>> fitted_grid(240, 320, 224, 16)
    (14, 19)
    """
    short = max(1, round(size / patch_size))
    long = max(short, round(size * min(max(height, width) / min(height, width), _WIDEST) / patch_size))
    return (short, long) if height <= width else (long, short)


def resized(frames: Tensor, size: tuple[int, int], device: torch.device) -> Iterator[Tensor]:
    """Yield frames of another size in batches, float32 (N, 3, height, width) in [0, 1].

    Args:
        frames: uint8 (T, H, W, 3).
        size: Height and width.
        device: Where they are resized.
    """
    assert frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[-1] == 3, (frames.dtype, frames.shape)
    for batch in frames.split(BATCH_FRAMES):
        pixels = batch.to(device).permute(0, 3, 1, 2).float() / 255
        if pixels.shape[2:] != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        yield pixels
