"""The functions that sample: weights and a budget in, a mask out; or one candidate of each row."""

import math

import torch
from torch import Tensor

from diffmask.core.noise import SELECT, keys, row_uniforms, uniforms
from diffmask.core.types import Budgets, UnitMask, Weights
from diffmask.core.units import Units

LEAST_WEIGHT = 1e-37
"""Stands for weight zero: so little that the unit comes last, and still a normal number in float32."""


def select(
    weights: Weights,
    units: Units,
    ratio: float | Tensor,
    *,
    seed: int,
    step: int,
    uniform: bool = False,
    stream: int = SELECT,
) -> UnitMask:
    """Draw units without replacement, in proportion to their weights, until the budget of positions is spent.

    The distribution is that of `numpy.random.choice(replace=False, p=weights)`: units are taken in the order of their
    keys `log(u) / weight` (Efraimidis and Spirakis 2006; the same as Gumbel top-k). A unit that only partly fits into
    the rest of the budget is taken with the probability of the part that fits, so that the expected number of masked
    positions is exactly `ratio` times the eligible ones. Units of weight zero come last. At least one unit is masked in
    every row that has an eligible one: if the first is longer than the whole budget, either it or the next one that
    fits is masked, with the probability that keeps the expected number. Only rows in which no unit fits have more
    masked positions than expected.

    Args:
        weights: Relative preference of each unit; need not sum to one.
        units: Units to choose from.
        ratio: Share of eligible positions to mask, in [0, 1]; or that of each row, float (B,), which is not looked at,
            since reading it from the device would make every step wait.
        seed: Seed of the run.
        step: Optimiser step.
        uniform: Mask exactly the same number of positions in every row (static shapes; models that need equal counts).
            All units must then have the same length.
        stream: Stream of the noise; a second choice among the same units at the same step needs another one.

    Raises:
        ValueError: If the ratio is outside [0, 1], the shapes differ, or `uniform` is asked for with units of
            different lengths or with ratios of rows.
    """
    _check(weights, units, ratio)
    num_units = weights.shape[1]
    if num_units == 0:
        return torch.zeros_like(units.eligible)
    budgets = _uniform_budgets(units, ratio) if uniform else ratio * units.lengths.sum(1)  # (B,)
    # Each unit has a position at least, so no more units are drawn than positions are masked. This bound is computed on
    # the host: reading the budgets from the device would make every step wait for it.
    most = num_units if isinstance(ratio, Tensor) else min(num_units, max(1, math.ceil(ratio * units.num_positions)))

    sample_keys = keys(seed, step, units.sample_ids[:, None], stream=stream)
    # float64: in float32 some of a row's keys would tie, and the order would depend on the device's sort
    noise = uniforms(sample_keys, torch.arange(num_units, device=weights.device)[None])
    ordered = noise.log_().div_(weights.clamp_min(LEAST_WEIGHT)).masked_fill_(~units.eligible, -math.inf)
    drawn = ordered.topk(most, dim=1, sorted=False)  # sorting the few afterwards is faster than topk's own sort
    order = drawn.indices.gather(1, drawn.values.argsort(1, descending=True))  # (B, most), first drawn first

    # `room` is what the units before leave of the budget: a unit is taken if it fits, and on the border of the budget
    # with the probability room / length. One uniform per row is enough, since a row has only one border.
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
    """Replace a first unit that is longer than the whole budget, with some probability, by the next one that fits.

    If the first unit has length l and the next one that fits length k, with k <= b < l for the budget b, the first is
    kept with probability (b - k) / (l - k), so that b positions are expected. If no unit fits, the first stays.

    Args:
        masked: Which units are masked, bool (B, U).
        ordered: Keys by which units are drawn, highest first; -inf where not eligible; float (B, U).
        first: The first unit drawn, int (B, 1).
        units: All units.
        budgets: Positions to mask, float (B, 1).
        chance: A uniform of each row, (B, 1).
    """
    keys_of_fitting = ordered.masked_fill(units.lengths > budgets, -math.inf)
    best, other = keys_of_fitting.max(1, keepdim=True)
    length, shorter = units.lengths.gather(1, first), units.lengths.gather(1, other)
    swapped = (best > -math.inf) & (length > budgets) & (chance * (length - shorter) >= budgets - shorter)
    masked = masked.scatter(1, first, masked.gather(1, first) & ~swapped)
    return masked.scatter(1, other, masked.gather(1, other) | swapped)


def draw_one(log_weights: Tensor, eligible: UnitMask, noise: Tensor) -> Tensor:
    """Return the index of one eligible candidate of each row, int64 (B,); 0 in a row that has none.

    Candidates are drawn in proportion to the exponential of their log weight: the largest after Gumbel noise.

    Args:
        log_weights: Any finite numbers, (B, N).
        eligible: Which candidates may be drawn, bool (B, N).
        noise: Uniforms in (0, 1) of each candidate, float64 (B, N).
    """
    gumbel = -(-noise.log()).log()
    return (log_weights.double() + gumbel).masked_fill(~eligible, -math.inf).argmax(1)


def mask_count(num_positions: int, ratio: float) -> int:
    """Return how many of `num_positions` a ratio masks: rounded half up, so that 0.9 of 10 is 9.

    >>> [mask_count(length, 0.9) for length in (10, 100, 1568)]
    [9, 90, 1411]
    """
    return min(num_positions, math.floor(num_positions * ratio + 0.5 + 1e-9))


def _uniform_budgets(units: Units, ratio: float | Tensor) -> Budgets:
    """Return one budget for all rows: a whole number of units, by the row with the fewest eligible ones."""
    if isinstance(ratio, Tensor):
        raise ValueError("uniform=True masks as many positions in every row; give one ratio, or set uniform=False")
    counts = units.eligible.sum(1)
    lengths = units.lengths[units.eligible]
    if lengths.numel() and bool((lengths != lengths[0]).any()):
        raise ValueError("uniform=True needs units of one length; use patches, tubes or tokens, or set uniform=False")
    length = float(lengths[0]) if lengths.numel() else 0.0
    fewest = int(counts[counts > 0].min()) if lengths.numel() else 0
    budget = mask_count(fewest, ratio) * length
    return torch.full((counts.shape[0],), budget, device=counts.device)


def _check(weights: Weights, units: Units, ratio: float | Tensor) -> None:
    if isinstance(ratio, Tensor):
        if ratio.shape != weights.shape[:1]:
            raise ValueError(f"the ratios have shape {tuple(ratio.shape)}; give one for each of {len(weights)} rows")
    elif not 0.0 <= ratio <= 1.0:
        raise ValueError(f"ratio={ratio} is outside [0, 1]; 0.15 masks 15 % of the positions")
    if weights.shape != units.eligible.shape:
        raise ValueError(f"weights have shape {tuple(weights.shape)}; the units have {tuple(units.eligible.shape)}")
