"""The one function that samples: weights and a budget in, a mask out."""

import math

import torch
from torch import Tensor

from diffmask.core.noise import SELECT, keys, row_uniforms, uniforms
from diffmask.core.types import Budgets, UnitMask, Weights
from diffmask.core.units import Units

LEAST_WEIGHT = 1e-37
"""What weight zero counts as: so little that it comes last, and still a normal number in float32."""


def select(
    weights: Weights, units: Units, ratio: float, *, seed: int, step: int, uniform: bool = False, stream: int = SELECT
) -> UnitMask:
    """Draw units without replacement, in proportion to their weights, until the budget of positions is spent.

    The law is that of `numpy.random.choice(replace=False, p=weights)`: units are taken in the order of their keys
    `log(u) / weight` (Efraimidis and Spirakis 2006; the same as Gumbel top-k). The unit on the border of the budget is
    taken with the probability of the part that still fits, so the expected number of masked positions is exactly
    `ratio` times the eligible ones. Units of weight zero come last. At least one unit is masked in every row that has
    an eligible one; where the first is longer than the whole budget, it or the next one that fits is masked, with the
    probability that keeps the expected number. Only a row in which no unit fits has more masked than is expected.

    Args:
        weights: Relative preference of each unit; need not sum to one.
        units: What is chosen from.
        ratio: Share of eligible positions to mask, in [0, 1].
        seed: Seed of the run.
        step: Optimiser step.
        uniform: Give every row exactly the same number of masked positions (static shapes; models that need equal
            counts). The units must then have one common length.
        stream: Of the noise; a second choice among the same units at the same step takes another.

    Raises:
        ValueError: If the ratio is outside [0, 1], the shapes differ, or `uniform` is asked for with units of
            different lengths.
    """
    _check(weights, units, ratio)
    num_units = weights.shape[1]
    if num_units == 0:
        return torch.zeros_like(units.eligible)
    budgets = _uniform_budgets(units, ratio) if uniform else ratio * units.lengths.sum(1)  # (B,)
    # every unit holds a position, so no more units than positions can be needed; the bound is known without a sync
    most = min(num_units, max(1, math.ceil(ratio * units.num_positions)))

    sample_keys = keys(seed, step, units.sample_ids[:, None], stream=stream)
    noise = uniforms(sample_keys, torch.arange(num_units, device=weights.device)[None])
    ordered = noise.log_().div_(weights.clamp_min(LEAST_WEIGHT)).masked_fill_(~units.eligible, -math.inf)
    drawn = ordered.topk(most, dim=1, sorted=False)  # sorting afterwards is faster than topk's own
    order = drawn.indices.gather(1, drawn.values.argsort(1, descending=True))  # (B, most), first drawn first

    lengths = units.lengths.gather(1, order)
    room = budgets[:, None] - (lengths.cumsum(1) - lengths)
    chance = row_uniforms(sample_keys)
    taken = (room > chance * lengths) & (lengths > 0)
    taken[:, 0] |= lengths[:, 0] > 0
    masked = torch.zeros_like(units.eligible).scatter_(1, order, taken)
    if units.unit_ids is not None:
        masked = _or_one_that_fits(masked, ordered, order[:, :1], units, budgets[:, None], chance)
    return masked


def _or_one_that_fits(
    masked: UnitMask, ordered: Tensor, first: Tensor, units: Units, budgets: Tensor, chance: Tensor
) -> UnitMask:
    """Replace a first unit that is longer than the budget, now and then, by the next one that fits.

    With a first unit of length l, the next fitting one of length k <= b < l and the budget b, the first is kept with
    probability (b - k) / (l - k), so that b positions are expected. Where no unit fits, the first stays.

    Args:
        masked: Which units are masked, bool (B, U).
        ordered: Keys that units are drawn by, the highest first, -inf where not eligible; float (B, U).
        first: The first unit drawn, int (B, 1).
        units: All units.
        budgets: Positions to mask, float (B, 1).
        chance: A uniform for each row, (B, 1).
    """
    keys_of_fitting = ordered.masked_fill(units.lengths > budgets, -math.inf)
    best, other = keys_of_fitting.max(1, keepdim=True)
    length, shorter = units.lengths.gather(1, first), units.lengths.gather(1, other)
    swapped = (best > -math.inf) & (length > budgets) & (chance * (length - shorter) >= budgets - shorter)
    masked = masked.scatter(1, first, masked.gather(1, first) & ~swapped)
    return masked.scatter(1, other, masked.gather(1, other) | swapped)


def mask_count(num_positions: int, ratio: float) -> int:
    """Return how many of `num_positions` a ratio hides: rounded half up, so that 0.9 of 10 is 9.

    >>> [mask_count(length, 0.9) for length in (10, 100, 1568)]
    [9, 90, 1411]
    """
    return min(num_positions, math.floor(num_positions * ratio + 0.5 + 1e-9))


def _uniform_budgets(units: Units, ratio: float) -> Budgets:
    """Return one budget for all rows, a whole number of units, set by the row with the fewest."""
    counts = units.eligible.sum(1)
    lengths = units.lengths[units.eligible]
    if lengths.numel() and bool((lengths != lengths[0]).any()):
        raise ValueError("uniform=True needs units of one length; use patches, tubes or tokens, or set uniform=False")
    length = float(lengths[0]) if lengths.numel() else 0.0
    fewest = int(counts[counts > 0].min()) if lengths.numel() else 0
    budget = mask_count(fewest, ratio) * length
    return torch.full((counts.shape[0],), budget, device=counts.device)


def _check(weights: Weights, units: Units, ratio: float) -> None:
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"ratio={ratio} is outside [0, 1]; 0.15 masks 15 % of the positions")
    if weights.shape != units.eligible.shape:
        raise ValueError(f"weights have shape {tuple(weights.shape)}; the units have {tuple(units.eligible.shape)}")
