"""Scores of patches from the attention of a teacher: a CLIP tower's class token, or what a VideoMAE attends to."""

from typing import Any

import torch
from torch import Tensor, nn

from diffmask.core.errors import InputError
from diffmask.core.types import Scores
from diffmask.video.score.embedders import StudentEmbedder, fitted_grid, resized, still_clips
from diffmask.video.score.openclip_load import load_clip
from diffmask.video.score.openclip_tower import VitTower

LEAST_SHARE = 1e-6
"""Of a patch that gets nothing, so that its logarithm is finite."""


class _ClipAttention:
    """What the class token of a CLIP tower attends to in its last block, the mean over heads (as in AttMask, UMT).

    A score is the logarithm of a patch's share of the attention that patches get, in multiples of an equal share.
    """

    def __init__(self, spec: str, *, device: str = "auto", size: int | None = None):
        self.clip = load_clip(spec, device)
        tower = self.clip.tower
        last = tower.blocks[-1] if isinstance(tower, VitTower) else None
        if not isinstance(tower, VitTower) or not isinstance(getattr(last, "attn", None), nn.MultiheadAttention):
            raise InputError(
                f"the tower of {spec} has no class token that attends to patches in the usual way; use a ViT of "
                "open_clip, or student:FOLDER"
            )
        self.tower, self.size = tower, size or tower.image_size
        self.key = f"attention clip {self.clip.key} size {self.size}"

    @torch.inference_mode()
    def score(self, frames: Tensor) -> Scores:
        """Return scores float32 (K, rows, columns) of frames uint8 (K, H, W, 3)."""
        tower = self.tower
        height, width = frames.shape[1:3]
        rows, columns = fitted_grid(height, width, self.size, tower.patch_size)
        block: Any = tower.blocks[-1]
        made = []
        for pixels in resized(frames, (rows * tower.patch_size, columns * tower.patch_size), self.clip.device):
            tokens = tower.embed_tokens(self.clip.normalise(pixels))
            if len(tower.blocks) > 1:
                tokens = tower.run(tokens, len(tower.blocks) - 2)
            normed = block.ln_1(tokens)
            weights = block.attn(normed[:, :1], normed, normed, need_weights=True)[1]
            made.append(_log_shares(weights[:, 0, 1:]).unflatten(1, (rows, columns)))
        return torch.cat(made)


class _StudentAttention:
    """What the patches of a frame get from all others in a block of a VideoMAE, the mean over heads.

    Attributes:
        embedder: The encoder; its `layer` is the one that is read.
    """

    def __init__(self, folder: str, *, layer: int | str | None = None, device: str = "auto"):
        self.embedder = StudentEmbedder(folder, layer=layer, device=device, attention="eager")
        self.key = f"attention {self.embedder.key}"

    @torch.inference_mode()
    def score(self, frames: Tensor) -> Scores:
        """Return scores float32 (K, rows, columns) of frames uint8 (K, H, W, 3)."""
        student = self.embedder
        model: Any = student.model
        made = []
        for clip in still_clips(model, frames, student.mean, student.std):
            weights = model(pixel_values=clip, output_attentions=True).attentions[student.layer].float().mean(1)[0]
            # what a patch pays to itself is not what others see in it
            received = weights.sum(0) - weights.diagonal()
            made.append(_log_shares(received.unflatten(0, (-1, student.grid(1, 1)[0] ** 2))))
        return torch.cat(made)[: len(frames)].unflatten(1, student.grid(1, 1))


def build_attention(
    spec: str, *, layer: int | str | None = None, device: str = "auto"
) -> "_ClipAttention | _StudentAttention":
    """Return the teacher that the user named.

    Args:
        spec: `clip:MODEL:WEIGHTS`, `clip:FOLDER` or `student:FOLDER`.
        layer: Of a student; None is the last.
        device: auto, cpu, cuda, ...

    Raises:
        InputError: If there is no such model, or its attention cannot be read.
    """
    kind, _, rest = spec.partition(":")
    if kind == "clip" and rest:
        if layer is not None:
            raise InputError(f"layer={layer} has no effect with {spec}, whose last block is read; leave it out")
        return _ClipAttention(rest, device=device)
    if kind == "student" and rest:
        return _StudentAttention(rest, layer=layer, device=device)
    raise InputError(f"unknown teacher {spec!r}; choose from: clip:MODEL:WEIGHTS, student:FOLDER")


def _log_shares(given: Tensor) -> Tensor:
    """Return log shares of rows, in multiples of an equal share."""
    shares = given.float() * given.shape[1] / given.float().sum(1, keepdim=True).clamp_min(LEAST_SHARE)
    return shares.clamp_min(LEAST_SHARE).log()
