"""Policies score units; a weighting turns scores into the weights that selection draws by."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from diffmask.core.types import Scores, UnitMask, Weights
from diffmask.core.units import Units

Weighting = Callable[[Scores, UnitMask], Weights]


class Policy(ABC):
    """How much each unit is wanted. Only `observe` may change a policy."""

    @abstractmethod
    def score(self, units: Units) -> Scores:
        """Return one score per unit on the units' device; finite where eligible, higher = masked more often."""

    def observe(self, units: Units, masked: UnitMask, loss: Tensor) -> None:  # noqa: B027 (optional, not abstract)
        """Learn from the loss of each masked unit, float (B, U); most policies have nothing to learn."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what `observe` has changed, for the checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, and was given {', '.join(sorted(state))}")


def rank_weights(scores: Scores, eligible: UnitMask) -> Weights:
    """Weight N - rank: the best of N distinct scores weighs N, the worst 1 (Difference-Masking as published).

    Units with equal scores share a rank, as the sub-tokens of a word do.
    """
    ordered, order = scores.masked_fill(~eligible, -torch.inf).sort(dim=1, descending=True)
    starts = torch.zeros_like(ordered, dtype=torch.long)
    starts[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]) & eligible.gather(1, order)[:, 1:]
    ranks = starts.cumsum(1)  # 0 = best; the eligible come first, so their last rank is N - 1
    weights = (ranks[:, -1:] + 1 - ranks).to(scores.dtype)
    return torch.zeros_like(scores).scatter_(1, order, weights) * eligible


def softmax_weights(scores: Scores, eligible: UnitMask, temperature: float = 1.0) -> Weights:
    """Weight exp(score / temperature), scaled to sum to 1 over the eligible units of a row."""
    lowest = torch.finfo(scores.dtype).min
    return (scores / temperature).masked_fill_(~eligible, lowest).softmax(1).mul_(eligible)


def linear_weights(scores: Scores, eligible: UnitMask) -> Weights:
    """Weight = the score, clipped at zero."""
    return scores.clamp_min(0) * eligible


def mix(weights: Weights, eligible: UnitMask, strength: float) -> Weights:
    """Return `(1 - strength) * uniform + strength * policy`, where both are distributions over the eligible units.

    At full strength the weights are returned as they are; selection asks only for their proportions. Rows in which the
    policy prefers nothing (all weights zero) are uniform.
    """
    if strength == 1:
        return weights
    even = eligible / eligible.sum(1, keepdim=True).clamp_min(1)
    total = weights.sum(1, keepdim=True)
    policy = torch.where(total > 0, weights / total.clamp_min(torch.finfo(weights.dtype).tiny), even)
    return torch.lerp(even, policy, strength)
