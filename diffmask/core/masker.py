"""The masker, which a training loop calls once a step: score, weigh, select."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffmask.core.noise import GUIDE, RATIO, keys, row_uniforms
from diffmask.core.policy import Policy, Weighting, mix, softmax_weights
from diffmask.core.schedule import Constant, Random, Schedule
from diffmask.core.select import select
from diffmask.core.types import Scores, UnitMask, Weights
from diffmask.core.units import Units

_FIRST = 1e30
"""A weight so large that its unit is drawn before any of weight 1, whatever the noise."""


class Choice(NamedTuple):
    """What was chosen in a batch.

    Attributes:
        units: The units of the batch.
        weights: Their weights.
        masked: Which of them are masked.
    """

    units: Units
    weights: Weights
    masked: UnitMask


class Drawn(NamedTuple):
    """A batch that has been masked.

    Attributes:
        inputs: What the losses are computed from.
        choices: What was chosen, by side; that of the only side is called "".
        counts: How many losses of each name there will be, float (K,).
    """

    inputs: dict[str, Any]
    choices: Mapping[str, Choice]
    counts: Tensor


@dataclass(frozen=True)
class Masker:
    """Choose which units of a batch to mask.

    Attributes:
        policy: Scores the units.
        ratio: Share of the eligible positions to mask, over progress; `Random` draws it for each row, or, if `uniform`,
            for each step.
        strength: 0 = uniform, 1 = the policy's full distribution, over progress.
        weighting: Turns scores into weights: `softmax_weights`, `rank_weights` or `linear_weights`.
        seed: Seed of the masks, which depend on it, the step, the sample and the unit, and on nothing else.
        uniform: Mask exactly the same number of positions in every row.
        hint_share: Share of each row's units, those with the best scores, that stay visible as hints as far as the
            budget allows.
        hide: Prefer units with high scores; False prefers those with low scores.
        guided_share: Share of the budget that is drawn by the policy, over progress; the rest is drawn at random from
            the other units (Difference-Masking on video, Wilf et al. 2023; hard patches, Wang et al. 2023: 0 to 0.5).
    """

    policy: Policy
    ratio: Schedule = Constant(0.15)
    strength: Schedule = Constant(1.0)
    weighting: Weighting = softmax_weights
    seed: int = 0
    uniform: bool = False
    hint_share: float = 0.0
    hide: bool = True
    guided_share: Schedule = Constant(1.0)

    def __call__(self, units: Units, step: int, num_steps: int) -> UnitMask:
        """Return the mask of a training step, `step` of `num_steps`.

        Raises:
            ValueError: As `weights` and `select`.
        """
        return self.draw(self.weights(units, step / num_steps), units, step, num_steps)

    def draw(self, weights: Weights, units: Units, step: int, num_steps: int) -> UnitMask:
        """Return a mask for weights that are already known.

        Raises:
            ValueError: As `select`, or if the guided share is outside [0, 1].
        """
        ratio, share = self.ratios(units.sample_ids, step, num_steps), self.guided_share(step / num_steps)
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"guided_share={share} is outside [0, 1]; 0.5 lets the policy draw half of the budget")
        chosen = partial(select, units=units, seed=self.seed, step=step, uniform=self.uniform)
        if share < 1:
            guided = torch.zeros_like(units.eligible)
            if share > 0:
                guided = chosen(weights, ratio=share * ratio, stream=GUIDE)
            weights = torch.where(guided, _FIRST, 1.0).masked_fill(self._hints(units) & ~guided, 0.0)
        return chosen(weights, ratio=ratio)

    def ratios(self, sample_ids: Tensor | None, step: int, num_steps: int) -> float | Tensor:
        """Return the share of the positions to mask at a step, or that of each sample, float64 (B,), where it is drawn.

        A draw depends on the seed, the step and the sample, and on nothing else; if `uniform`, on seed and step.

        Raises:
            ValueError: If each row draws its ratio, and nothing says which samples the rows are.
        """
        if not isinstance(self.ratio, Random):
            return self.ratio(step / num_steps)
        if self.uniform:  # on the host, which must know how many positions are left
            return float(self.ratio.draw(row_uniforms(keys(self.seed, step, torch.zeros(()), stream=RATIO))))
        if sample_ids is None:
            raise ValueError("each row draws its ratio, so the batch must say which samples they are: give sample_ids")
        return self.ratio.draw(row_uniforms(keys(self.seed, step, sample_ids, stream=RATIO)))

    def _hints(self, units: Units) -> UnitMask:
        """Return which units stay visible as hints."""
        if self.hint_share == 0:
            return torch.zeros_like(units.eligible)
        scores = self.policy.score_whole(units)
        return _hints(scores if self.hide else -scores, units.eligible, self.hint_share)

    def weights(self, units: Units, progress: float) -> Weights:
        """Return the weights of units; the first draw of a row is in proportion to them.

        Raises:
            ValueError: If an eligible unit has a score that is not finite, or the strength is outside [0, 1].
        """
        strength = self.strength(progress)
        if not 0.0 <= strength <= 1.0:
            raise ValueError(f"strength={strength} is outside [0, 1]; 0 masks at random, 1 follows the policy")
        scores = self.policy.score_whole(units)
        # one sum is cheap, and finite if all scores are; only otherwise must the eligible ones be looked at
        if not (scores.sum().isfinite() or scores[units.eligible].isfinite().all()):
            raise ValueError(
                f"{type(self.policy).__name__} gave an eligible unit a score that is not finite; "
                "exclude units with `eligible`, and check the features or the model that the scores come from"
            )
        scores = scores if self.hide else -scores
        weights = self.weighting(scores, units.eligible)
        if self.hint_share > 0:
            # units of weight zero come last, so hints are masked only if the budget needs them
            weights = weights.masked_fill(_hints(scores, units.eligible, self.hint_share), 0.0)
        return mix(weights, units.eligible, strength)


def _hints(scores: Scores, eligible: UnitMask, share: float) -> UnitMask:
    """Return the best-scored `share` of each row's eligible units, rounded half up, which stay visible as hints.

    If all that matters is masked, nothing is left to predict it from (AttMask-Hint, Kakogeorgiou et al. 2022).
    """
    order = scores.masked_fill(~eligible, -torch.inf).argsort(dim=1, descending=True, stable=True)
    counts = (share * eligible.sum(1, keepdim=True) + 0.5).floor()
    best = torch.arange(scores.shape[1], device=scores.device)[None] < counts
    return torch.zeros_like(eligible).scatter_(1, order, best) & eligible


def entropy(weights: Weights, eligible: UnitMask) -> Tensor:
    """Return the entropy of each row's weights relative to that of a uniform choice, float (B,); 1 = no preference."""
    weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, eligible)
    weights = weights / weights.sum(1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
    nats = -(weights * weights.clamp_min(torch.finfo(weights.dtype).tiny).log()).sum(1)
    return nats / eligible.sum(1).clamp_min(2).log()
