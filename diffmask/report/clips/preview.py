"""What several maskers would hide of some clips: scores, how often each patch is hidden, one mask; drawn elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from diffmask.core.masker import Masker
from diffmask.core.units import Units
from diffmask.video.adapter import VideoAdapter

NUM_DRAWS = 64
"""Masks that are counted: the standard error of how often a patch is hidden is at most 0.0625."""
BEST_SHARE = 0.1
"""Of the patches: those with the best scores, of which it is told how many are hidden."""

Reconstruct = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""Pictures uint8 (B, T, 3, H, W) of a batch, from what is hidden in it, bool (B, L)."""


@dataclass(frozen=True)
class ClipLook:
    """How a policy looks at clips.

    Attributes:
        masker: What is hidden.
        adapter: Says what a unit is.
        scores: Whether the policy prefers some units; there is nothing to show of the scores of one that does not.
    """

    masker: Masker
    adapter: VideoAdapter
    scores: bool = True


@dataclass(frozen=True, eq=False)
class ClipReading:
    """A clip as a masker sees it.

    Attributes:
        scores: Of each patch, float32 (T', rows, columns); None where no patch is preferred.
        often: Share of the masks that hide each patch, float32 (T', rows, columns).
        masked: The first of the masks, bool (T', rows, columns).
        ratio: Share of the patches that is hidden, the mean over the masks.
        best: Share of the best-scored tenth of the patches that is hidden (at random: the ratio); None without scores.
        reconstruction: The clip as a model fills in the first mask, uint8 (T, 3, H, W).
    """

    scores: Tensor | None
    often: Tensor
    masked: Tensor
    ratio: float
    best: float | None = None
    reconstruction: Tensor | None = None


@dataclass(frozen=True, eq=False)
class ShownClip:
    """A clip that is shown.

    Attributes:
        name: Of its file.
        caption: What it is said to show; empty where nothing is said.
        frames: uint8 (T, 3, H, W), as training sees it.
    """

    name: str
    caption: str
    frames: Tensor


@dataclass(frozen=True)
class ClipPreview:
    """Everything that a preview of clips shows.

    Attributes:
        clips: The clips.
        readings: For each policy, by name, and each clip what is hidden.
        num_draws: Masks that were drawn of each.
    """

    clips: list[ShownClip]
    readings: dict[str, list[ClipReading]]
    num_draws: int

    def mean(self, name: str, what: str) -> float | None:
        """Return the mean over the clips of `ratio` or `best` of a policy."""
        values = [value for each in self.readings[name] if (value := getattr(each, what)) is not None]
        return sum(values) / len(values) if values else None


def make_clip_preview(
    clips: Sequence[ShownClip],
    batch: Mapping[str, Any],
    looks: Mapping[str, ClipLook],
    reconstruct: Reconstruct | None = None,
    *,
    num_draws: int | None = None,
) -> ClipPreview:
    """Look at what policies do to clips.

    Args:
        clips: What is shown, in the order of the batch.
        batch: The clips with all values that the policies read.
        looks: What is compared, by name.
        reconstruct: Makes pictures of what is hidden; None shows none.
        num_draws: Masks of each clip.
    """
    num_draws = NUM_DRAWS if num_draws is None else num_draws
    readings = {name: read_clips(look, batch, num_draws) for name, look in looks.items()}
    if reconstruct is not None:
        for name, each in readings.items():
            pictures = reconstruct(batch, torch.stack([one.masked.flatten() for one in each]))
            readings[name] = [replace(one, reconstruction=own) for one, own in zip(each, pictures, strict=True)]
    return ClipPreview(list(clips), readings, num_draws)


def read_clips(look: ClipLook, batch: Mapping[str, Any], num_draws: int) -> list[ClipReading]:
    """Draw the masks of steps spread over a training."""
    shape, masker = look.adapter.grid.shape, look.masker
    units = look.adapter.units(batch, 0)
    often = torch.zeros(len(batch["frames"]), look.adapter.grid.num_positions, dtype=torch.float64)
    first = torch.zeros_like(often, dtype=torch.bool)
    for step in range(num_draws):
        hidden = units.to_positions(masker(units, step, num_draws)).cpu()
        often += hidden
        first = hidden if step == 0 else first
    often /= num_draws
    scores = _position_scores(masker, units).float().cpu() if look.scores else None
    return [
        ClipReading(
            scores=None if scores is None else scores[row].view(shape),
            often=often[row].float().view(shape),
            masked=first[row].view(shape),
            ratio=float(often[row].mean()),
            best=None if scores is None else hidden_of_best(scores[row], often[row]),
        )
        for row in range(len(often))
    ]


def _position_scores(masker: Masker, units: Units) -> Tensor:
    """Return the score of each patch: that of the unit that it is hidden with, float (B, L)."""
    scores = masker.policy.score_whole(units)
    return scores if units.unit_ids is None else scores.gather(1, units.unit_ids)


def hidden_of_best(scores: Tensor, often: Tensor, share: float = BEST_SHARE) -> float:
    """Return how much of the best-scored share of the patches is hidden.

    Of patches with equal scores, of which only some belong to the best, the mean counts: it is what a choice among them
    at random gives on average.

    Args:
        scores: Of patches, any shape.
        often: How often each is hidden.
        share: How many are the best, of all.
    """
    scores, often = scores.flatten(), often.flatten().double()
    count = max(1, round(share * len(scores)))
    worst = scores.topk(count).values[-1]
    above, equal = scores > worst, scores == worst
    rest = count - int(above.sum())
    return float((often[above].sum() + rest * often[equal].mean()) / count)
