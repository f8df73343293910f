"""Blocks in which text and video attend to each other.

All of them only add to the states that they are given, by layers that begin at zero: a fresh fusion changes nothing,
so that the text model's head and the video model's decoder read at first what they have always read.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer


class Fused(NamedTuple):
    """States of text (B, L, D) and of visible patches (B, V, Dv) after fusion."""

    text: Tensor
    video: Tensor


class FromZero(nn.Linear):
    """A linear layer that begins at zero: what it is added to begins unchanged."""


def keys_of(attention_mask: Tensor) -> Tensor:
    """Return which positions of the texts may be attended to, bool (B, 1, 1, L)."""
    return attention_mask.bool()[:, None, None]


class Attend(nn.Module):
    """Add to states what they find in a context, or in themselves; normalised before, in heads, never causal.

    Args:
        width: Width of the states.
        num_heads: Number of heads.
        context_width: Width of the context; None for states that attend to themselves.
    """

    def __init__(self, width: int, num_heads: int, context_width: int | None = None):
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(width)
        self.context_norm = None if context_width is None else nn.LayerNorm(context_width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width if context_width is None else context_width, 2 * width)
        self.output = FromZero(width, width)

    def forward(self, states: Tensor, context: Tensor | None = None, allowed: Tensor | None = None) -> Tensor:
        """Return the states (B, L, D) with what was found.

        Args:
            states: (B, L, D).
            context: What is attended to, (B, K, C); None for the states themselves.
            allowed: Which positions of it may be attended to, bool (B, 1, 1, K); None allows all.
        """
        asking = self.norm(states)
        asked = asking if context is None or self.context_norm is None else self.context_norm(context)
        key, value = map(self._heads, self.key_value(asked).chunk(2, dim=-1))
        found = F.scaled_dot_product_attention(self._heads(self.query(asking)), key, value, attn_mask=allowed)
        return states + self.output(found.transpose(1, 2).flatten(2))

    def _heads(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, L, D / heads)


class Think(nn.Sequential):
    """What a multilayer perceptron adds to states."""

    def __init__(self, width: int):
        super().__init__(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), FromZero(4 * width, width))


class _Cross(GradientCheckpointingLayer):
    """The text attends to itself, then to the video, which stays as it is."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.text_to_text = Attend(width, num_heads)
        self.text_to_video = Attend(width, num_heads, width)
        self.text_mlp = Think(width)

    def forward(self, text: Tensor, video: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        text = self.text_to_video(self.text_to_text(text, allowed=allowed), video)
        return text + self.text_mlp(text), video

    def video_side(self) -> list[nn.Module]:
        return []


class _Bidirectional(GradientCheckpointingLayer):
    """The text attends to itself and to the video, then the video to itself and to the text."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.text_to_text = Attend(width, num_heads)
        self.text_to_video = Attend(width, num_heads, width)
        self.text_mlp = Think(width)
        self.video_to_video = Attend(width, num_heads)
        self.video_to_text = Attend(width, num_heads, width)
        self.video_mlp = Think(width)

    def forward(self, text: Tensor, video: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        text = self.text_to_video(self.text_to_text(text, allowed=allowed), video)
        text = text + self.text_mlp(text)
        video = self.video_to_text(self.video_to_video(video), text, allowed)
        return text, video + self.video_mlp(video)

    def video_side(self) -> list[nn.Module]:
        return [self.video_to_video, self.video_to_text, self.video_mlp]


class _Merged(GradientCheckpointingLayer):
    """One attention over the positions of both."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.attention = Attend(width, num_heads)
        self.mlp = Think(width)

    def forward(self, text: Tensor, video: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        every_patch = allowed.new_ones(*allowed.shape[:3], video.shape[1])
        both = self.attention(torch.cat([text, video], dim=1), allowed=torch.cat([allowed, every_patch], dim=3))
        both = both + self.mlp(both)
        return both[:, : text.shape[1]], both[:, text.shape[1] :]

    def video_side(self) -> list[nn.Module]:
        return []


_BLOCKS = {"cross": _Cross, "bidirectional": _Bidirectional, "merged": _Merged}


class Fusion(nn.Module):
    """Blocks of one kind between a projection of the video's states to the text's width, and one back.

    Args:
        kind: cross, bidirectional or merged.
        num_layers: Number of blocks.
        width: Width of the text's states.
        num_heads: Number of heads.
        video_width: Width of the video's states.
    """

    def __init__(self, kind: str, num_layers: int, width: int, num_heads: int, video_width: int):
        super().__init__()
        self.video_norm = nn.LayerNorm(video_width)
        self.video_in = nn.Linear(video_width, width)
        # not `blocks`, which `layer_decay` would take for the lowest layers of an encoder
        self.fusion_blocks = nn.ModuleList(_BLOCKS[kind](width, num_heads) for _ in range(num_layers))
        changes_video = kind != "cross"
        self.out_norm = nn.LayerNorm(width) if changes_video else None
        self.video_out = FromZero(width, video_width) if changes_video else None

    def forward(self, text: Tensor, attention_mask: Tensor, video: Tensor) -> Fused:
        """Return the fused states of text (B, L, D) and video (B, V, Dv); padding is attended to by nothing."""
        read, allowed = self.video_in(self.video_norm(video)), keys_of(attention_mask)
        for block in self.fusion_blocks:
            text, read = block(text, read, allowed)
        if self.out_norm is None or self.video_out is None:
            return Fused(text, video)
        return Fused(text, video + self.video_out(self.out_norm(read)))

    def video_side(self) -> list[nn.Module]:
        """Return the modules that change the fused states of the video only, not those of the text."""
        last: Any = self.fusion_blocks[-1]  # what earlier blocks do to the video, later texts attend to
        return [*last.video_side(), *(each for each in (self.out_norm, self.video_out) if each is not None)]
