"""Scores of patches from the attention of a teacher: a CLIP tower's class token, or what a VideoMAE attends to."""

from typing import Any

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import Scores
from diffmask.video.score.embedders import OpenClipEmbedder, StudentEmbedder
from diffmask.video.score.openclip_load import OpenClip
from diffmask.video.score.openclip_tower import VitTower

_LEAST_SHARE = 1e-6
"""The share of a patch that gets nothing, so that its logarithm is finite."""


class _OpenClipAttention:
    """What the class token of a CLIP tower attends to in its last block, the mean over heads (as in AttMask, UMT).

    A score is the logarithm of a patch's share of the attention that patches get, in multiples of an equal share.
    """

    def __init__(self, spec: str, *, device: str = "auto"):
        self.embedder = OpenClipEmbedder(OpenClip.load(spec, device))
        tower = self.embedder.tower
        if not isinstance(tower, VitTower) or not tower.has_attention:
            raise InputError(
                f"the tower of {spec} has no class token that attends to patches in the usual way; use a ViT of "
                "open_clip, or student:FOLDER"
            )
        self.tower = tower
        self.key = f"attention clip {self.embedder.loaded.key} size {tower.image_size}"

    @torch.inference_mode()
    def score(self, frames: Tensor) -> Scores:
        """Return scores float32 (K, rows, columns) of frames uint8 (K, H, W, 3)."""
        tower, block = self.tower, self.tower.blocks[-1]
        shares = []
        for pixels in self.embedder.pixels(frames):
            tokens = tower.embed_tokens(pixels)
            if len(tower.blocks) > 1:
                tokens = tower.tokens_after(tokens, len(tower.blocks) - 2)
            normed = block.ln_1(tokens)
            # the class token alone asks: one row of the square of weights is all that is wanted
            weights = block.attn(normed[:, :1], normed, normed, need_weights=True)[1]
            shares.append(_log_shares(weights[:, 0, 1:]))
        return torch.cat(shares).unflatten(1, self.embedder.grid(*frames.shape[1:3]))


class _StudentAttention:
    """How much attention each patch of a clip gets from the others in a block of a VideoMAE, the mean over heads.

    Attributes:
        embedder: The encoder; its `layer` is the block whose attention is read.
    """

    def __init__(self, folder: str, *, layer: int | str | None = None, device: str = "auto"):
        self.embedder = StudentEmbedder(folder, layer=layer, device=device, attention="eager")
        self.key = f"attention {self.embedder.key}"

    @torch.inference_mode()
    def score(self, frames: Tensor) -> Scores:
        """Return scores float32 (K, rows, columns) of frames uint8 (K, H, W, 3)."""
        student = self.embedder
        model: Any = student.model
        shares = []
        for clip in student.still_clips(frames):
            weights = model(pixel_values=clip, output_attentions=True).attentions[student.layer].float().mean(1)[0]
            # without what a patch gives to itself: it says nothing of what others see in it
            received = weights.sum(0) - weights.diagonal()
            shares.append(_log_shares(received.unflatten(0, (-1, student.grid(1, 1)[0] ** 2))))
        return torch.cat(shares)[: len(frames)].unflatten(1, student.grid(1, 1))


def build_attention(
    spec: str, *, layer: int | str | None = None, device: str = "auto"
) -> "_OpenClipAttention | _StudentAttention":
    """Return the teacher that the user named.

    Args:
        spec: `clip:MODEL:WEIGHTS`, `clip:FOLDER` or `student:FOLDER`.
        layer: Block of a student; None is the last.
        device: auto, cpu, cuda, ...

    Raises:
        InputError: If there is no such model, or its attention cannot be read.
    """
    kind, _, rest = spec.partition(":")
    if kind == "clip" and rest:
        if layer is not None:
            raise InputError(f"layer={layer} has no effect with {spec}, whose last block is read; leave it out")
        return _OpenClipAttention(rest, device=device)
    if kind == "student" and rest:
        return _StudentAttention(rest, layer=layer, device=device)
    raise InputError(f"unknown teacher {spec!r}; choose from: clip:MODEL:WEIGHTS, student:FOLDER")


def _log_shares(given: Tensor) -> Tensor:
    """Return the logarithm of each value's share of its row, in multiples of an equal share."""
    shares = given.float() * given.shape[1] / given.float().sum(1, keepdim=True).clamp_min(_LEAST_SHARE)
    return shares.clamp_min(_LEAST_SHARE).log()
