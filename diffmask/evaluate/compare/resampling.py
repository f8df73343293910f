"""How far a mean over seeds and test texts may be from that over all seeds and all texts: intervals and p-values.

A difference D of two methods varies for two reasons: other seeds, and other test texts. What the texts add is drawn
(resampled for an interval, exchanged for a test). What the seeds add is drawn from a normal distribution whose variance
is itself uncertain, as in a t-test, because five values are too few to resample: for each draw

    v = max(s2 * (S - 1) / chi2(S - 1), w),    noise = mean over seeds of what the texts add + sqrt((v - w) / S) * z

where s2 is the variance of D over the S seeds, w the part of it that comes from seeds reading the same texts
differently, which the texts' noise already holds, and z is standard normal. Without noise of texts this is the t-test
over seeds; without noise of seeds, the bootstrap (permutation test) over texts. `docs/compare.md` has its error rates.
"""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.05
"""Share of false alarms that is allowed for, and one minus the coverage of intervals."""
_TINY = 1e-9
"""Scores that differ by rounding are the same."""


def noise(scores: np.ndarray, drawn: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return draws (R,) of how far the mean over seeds and texts is off.

    Args:
        scores: Of each seed on the test set, (S,).
        drawn: What the texts add to the score of each seed, (R, S), around 0.
        random: Of what the seeds add.
    """
    num_seeds = len(scores)
    if num_seeds == 1:  # nothing is known of other seeds
        return drawn[:, 0]
    own = drawn.var(axis=1, ddof=1).mean()
    between = scores.var(ddof=1) * (num_seeds - 1) / random.chisquare(num_seeds - 1, len(drawn)) - own
    return drawn.mean(axis=1) + np.sqrt(between.clip(min=0) / num_seeds) * random.standard_normal(len(drawn))


def interval(scores: np.ndarray, resampled: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of the mean over all seeds and texts.

    Args:
        scores: Of each seed, or differences of two, (S,).
        resampled: The same on resampled texts, (R, S).
        random: Of what the seeds add.
    """
    # resampling shows the spread; its mean is off where classes are rare
    drawn = noise(scores, resampled - resampled.mean(axis=0), random)
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    return float(scores.mean() + low), float(scores.mean() + high)


def p_value(differences: np.ndarray, exchanged: np.ndarray, random: np.random.Generator) -> float:
    """Return how often a difference at least so large arises between methods that do not differ (two-sided).

    Args:
        differences: Of each seed, (S,).
        exchanged: Differences after exchanging predictions, (R, S).
        random: Of what the seeds add.
    """
    drawn = noise(differences, exchanged, random)
    # the result itself is one of the draws, so that p is never 0
    return float((1 + np.sum(np.abs(drawn) >= abs(differences.mean()) - _TINY)) / (len(drawn) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, step by step (Holm 1979): the chance of any false alarm is kept.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected
