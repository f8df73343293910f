"""Policies score units; a weighting turns scores into weights, in proportion to which units are drawn."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import Scores, UnitMask, Weights
from diffmask.core.units import Units

Weighting = Callable[[Scores, UnitMask], Weights]

LEAST_LOG_WEIGHT = -80.0
"""Stands for the logarithm of weight zero where weights are multiplied: finite, and far below any other."""


class Policy(ABC):
    """Says how much each unit should be masked. Only `observe` and `learn` may change a policy."""

    @abstractmethod
    def score(self, units: Units) -> Scores:
        """Return one score per unit on the units' device; finite where eligible, higher = masked more often."""

    def score_whole(self, units: Units) -> Scores:
        """Return the scores of units that may consist of parts: by default the mean of the scores of their parts."""
        return units.pool(self.score(units.smallest))

    def observe(self, units: Units, masked: UnitMask, loss: Tensor) -> None:  # noqa: B027 (optional, not abstract)
        """Take in the losses of a micro-batch's masked units, float (B, U); most policies have nothing to learn.

        They take effect with `learn`, so that a step's masks do not depend on how it is divided into micro-batches.
        """

    def learn(self, total: Callable[[Tensor], Tensor]) -> None:  # noqa: B027 (optional, not abstract)
        """Learn, at the end of an optimiser step, from what was observed in it on all ranks.

        Args:
            total: Returns the sum of a tensor over all ranks.
        """

    def report(self) -> dict[str, float]:
        """Return what has been learned as figures for the log, by name."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Return what has been learned, for the checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            InputError: If it is the state of another policy.
        """
        if state.keys() != self.state_dict().keys():
            raise InputError(
                f"the checkpoint holds the state of another policy ({', '.join(sorted(state)) or 'none'}), and "
                f"{type(self).__name__} needs {', '.join(sorted(self.state_dict())) or 'none'}; resume with the policy "
                "that the run was started with"
            )


def rank_weights(scores: Scores, eligible: UnitMask) -> Weights:
    """Weight N - rank: the best of N distinct scores weighs N, the worst 1 (Difference-Masking as published).

    Units with equal scores, such as the sub-tokens of a word, share a rank.
    """
    # a new rank starts where a sorted score differs from the one before; the ineligible, at -inf, start none
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


def log_weights(policy: Policy, weighting: Weighting, units: Units) -> Scores:
    """Return the logarithm of a policy's weights, for policies that multiply or mix other policies' weights."""
    return weighting(policy.score_whole(units), units.eligible).log().clamp_min(LEAST_LOG_WEIGHT)


def distribution(weights: Weights, eligible: UnitMask) -> Weights:
    """Scale weights to sum to 1 over the eligible units of each row; rows whose weights are all 0 become uniform."""
    even = eligible / eligible.sum(1, keepdim=True).clamp_min(1)
    total = weights.sum(1, keepdim=True)
    return torch.where(total > 0, weights / total.clamp_min(torch.finfo(weights.dtype).tiny), even)


def mix(weights: Weights, eligible: UnitMask, strength: float) -> Weights:
    """Return `(1 - strength) * uniform + strength * policy`, where both are distributions over the eligible units.

    At full strength the weights are returned unchanged, since only their proportions matter for selection.
    """
    if strength == 1:
        return weights
    return torch.lerp(distribution(torch.zeros_like(weights), eligible), distribution(weights, eligible), strength)
