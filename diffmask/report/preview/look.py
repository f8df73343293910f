"""How a policy looks at a text: all that it takes to see what it would hide."""

from dataclasses import dataclass

import torch
from torch import Tensor

from diffmask.core.masker import Masker
from diffmask.text.adapter import TextAdapter
from diffmask.text.score.position_scores import PositionScorer
from diffmask.text.segment.annotate import Annotator


@dataclass(frozen=True)
class Look:
    """A masker with what makes the units that it sees.

    Attributes:
        masker: What is masked.
        adapter: Says what a unit is.
        annotators: Give units the values that the policy reads, or group them.
        scorers: Models that score tokens.
    """

    masker: Masker
    adapter: TextAdapter
    annotators: tuple[Annotator, ...] = ()
    scorers: tuple[PositionScorer, ...] = ()

    @property
    def shows_tokens(self) -> bool:
        """Whether what is shown of a text is its tokens; else its words."""
        return self.adapter.granularity == "token"


@dataclass(frozen=True, eq=False)
class Drawn:
    """Masks of the smallest units of a batch.

    Attributes:
        probabilities: How often each is masked, float64 (B, U).
        first: The first mask that was drawn, bool (B, U).
        lengths: Positions of each, float32 (B, U).
    """

    probabilities: Tensor
    first: Tensor
    lengths: Tensor


def draw(look: Look, batch: dict[str, Tensor], num_draws: int) -> Drawn:
    """Draw the masks of steps spread over a training."""
    units = look.adapter.units(batch, 0)
    total = torch.zeros(units.smallest.eligible.shape, dtype=torch.float64)
    first = torch.zeros_like(units.smallest.eligible)
    for step in range(num_draws):
        units = look.adapter.units(batch, step, look.masker.ratio(step / num_draws))
        masked = units.to_smallest(look.masker(units, step, num_draws))
        total += masked
        first = masked if step == 0 else first
    return Drawn(total / num_draws, first, units.smallest.lengths)
