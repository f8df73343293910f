"""How a policy looks at clips, before training or in the middle of it, and what it hides of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from diffmask.assemble.video import VideoMasking
from diffmask.core.masker import Masker
from diffmask.core.units import Units
from diffmask.report.preview import hold
from diffmask.video.adapter import VideoAdapter
from diffmask.video.model.targets import IMAGENET_MEAN, IMAGENET_STD, PixelTargets
from diffmask.video.units.features import PatchFeature
from diffmask.video.units.grid import Grid

BASELINE = "random-tube"
"""What policies are compared with."""
_ROW_FEATURES = ("difference", "boxes", "attention")
"""What rows bring along: scores that were made once."""
_BEST_SHARE = 0.1
"""Share of the patches that counts as the best-scored ones."""


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
        caption: Its caption; empty if there is none.
        frames: uint8 (T, 3, H, W), as training sees it.
    """

    name: str
    caption: str
    frames: Tensor


@dataclass(frozen=True)
class ClipLook:
    """How a policy looks at clips.

    Attributes:
        masker: What is hidden.
        adapter: Divides clips into units.
        scores: Whether the policy prefers some units, so that there are scores to show.
    """

    masker: Masker
    adapter: VideoAdapter
    scores: bool = True

    @classmethod
    def of(
        cls,
        masking: VideoMasking,
        grid: Grid,
        *,
        progress: float | None = None,
        further: tuple[PatchFeature, ...] = (),
    ) -> Self:
        """Return how a policy looks at clips.

        Args:
            masking: What the settings of the masking come to.
            grid: How clips are cut.
            progress: Hold the schedules at this share of the training; None draws masks from all of it.
            further: Features of patches beside those of the policy.

        Raises:
            InputError: If a setting cannot be used.
        """
        targets = PixelTargets(grid.tubelet, grid.patch_size)
        adapter = masking.adapter(grid, IMAGENET_MEAN, IMAGENET_STD, targets, further)
        return cls(hold(masking.masker_for(adapter), progress), adapter, scores=not masking.is_random)

    def read(self, batch: Mapping[str, Any], num_draws: int) -> list[ClipReading]:
        """Draw the masks of steps spread over a training."""
        shape, masker = self.adapter.grid.shape, self.masker
        units = self.adapter.units(batch, 0)
        often = torch.zeros(len(batch["frames"]), self.adapter.grid.num_positions, dtype=torch.float64)
        first = torch.zeros_like(often, dtype=torch.bool)
        for step in range(num_draws):
            hidden = units.to_positions(masker(units, step, num_draws)).cpu()
            often += hidden
            first = hidden if step == 0 else first
        often /= num_draws
        scores = _position_scores(masker, units).float().cpu() if self.scores else None
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


def hidden_of_best(scores: Tensor, often: Tensor, share: float = _BEST_SHARE) -> float:
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


def scores_needed(maskings: Iterable[VideoMasking]) -> list[str]:
    """Return which scores rows must bring along for any of these."""
    return sorted({name for masking in maskings for name in masking.features if name in _ROW_FEATURES})
