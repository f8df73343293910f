"""Segment: words grouped into larger units, on the device."""

import torch
from torch import Tensor

from diffmask.core.noise import SEGMENT, keys, uniforms
from diffmask.core.types import UnitMask
from diffmask.core.units import Units

GEOMETRIC_P, LONGEST_SPAN = 0.2, 10
"""Of the lengths of random spans, in words (Joshi et al. 2020, SpanBERT): the mean is 3.8."""


def grouped(words: Units, starts: UnitMask) -> Units:
    """Return units that are made of words.

    Args:
        words: Words, the eligible ones first in each row.
        starts: Which words open a unit; the others continue the one before. The first of a row opens one in any case.
    """
    starts = starts & words.eligible
    starts[:, :1] |= words.eligible[:, :1]
    of_word = torch.where(words.eligible, starts.cumsum(1) - 1, -1)
    places = torch.arange(starts.shape[1], device=starts.device)[None]
    assert words.unit_ids is not None
    held = words.unit_ids >= 0
    of_position = of_word.gather(1, words.unit_ids.clamp_min(0)) if starts.shape[1] else words.unit_ids
    return Units(
        of_position.where(held, -1),
        places < starts.sum(1, keepdim=True),
        words.sample_ids,
        parts=words,
        part_units=of_word,
    )


def random_starts(words: Units, *, seed: int, step: int, ratio: float) -> UnitMask:
    """Cut rows of words into spans of random lengths, anew at each step (Joshi et al. 2020, SpanBERT).

    The lengths are geometric with p = 0.2 up to 10, scaled to sum to one. SpanBERT throws spans of such lengths on the
    text until the budget is full, rejects those that overlap, and cuts the last to what is left; here the whole row is
    cut, spans are drawn from it like any other unit, and none has more than the ratio's share of the row's words.

    Args:
        words: Words.
        seed: Seed of the run.
        step: Optimiser step.
        ratio: Share of the row that will be masked.
    """
    rows, num_words = words.eligible.shape
    span_keys = keys(seed, step, words.sample_ids[:, None], stream=SEGMENT)
    noise = uniforms(span_keys, torch.arange(num_words, device=words.eligible.device)[None])
    budgets = (ratio * words.eligible.sum(1, keepdim=True)).floor().long().clamp_min(1)
    lengths = torch.minimum(torch.bucketize(noise, _length_bounds(noise)) + 1, budgets)
    places = lengths.cumsum(1) - lengths
    starts = torch.zeros(rows, num_words + 1, dtype=torch.bool, device=noise.device)
    return starts.scatter_(1, places.clamp_max(num_words), True)[:, :num_words]


def _length_bounds(like: Tensor) -> Tensor:
    """Return the probability of a length of at most 1, 2, ... LONGEST_SPAN - 1."""
    shares = (1 - GEOMETRIC_P) ** torch.arange(LONGEST_SPAN, device=like.device, dtype=like.dtype)
    return (shares.cumsum(0) / shares.sum())[:-1]
