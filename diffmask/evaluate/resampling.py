"""How far a mean over seeds and test texts may be from that over all seeds and all texts: intervals and p-values.

A difference D of two methods varies for two reasons: other seeds, and other test texts. What the texts add is drawn
(resampled for an interval, exchanged for a test). What the seeds add is drawn from a normal distribution whose variance
is itself uncertain, as in a t-test, because five values are too few to resample. For each draw

    v = max(s2 * (S - 1) / chi2(S - 1), w),    noise = mean over seeds of what the texts add + sqrt((v - w) / S) * z

where s2 is the variance of D over the S seeds, w the part of it that comes from seeds reading the same texts
differently, which the texts' noise already holds, and z is standard normal. Without noise of texts this is the t-test
over seeds; without noise of seeds, the bootstrap (permutation test) over texts. `docs/compare.md` has its error rates.

A metric is a mean of ratios `sum of numerators / sum of denominators`: accuracy is right / all; F1 is
`2 * true positives / (predicted + given)`, of all classes together (micro) or of each (macro); recall at k is
found / all, of each direction of retrieval. A text adds its own share to both sums, however many labels or words it
has, so that the score of a resampled test set is one matrix product away. Test texts are drawn alike for everything
that is compared. These draws decide no mask, so they come from a NumPy generator that is seeded where it is used.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from diffmask.config.evaluation import MULTI_LABEL, RECALLS, RETRIEVAL, SINGLE_LABEL, TOKENS
from diffmask.tasks.metrics import OUTSIDE

LEVEL = 0.05
"""Share of false alarms that is allowed for, and one minus the coverage of intervals."""
_TINY = 1e-9
"""Scores that differ by rounding are the same."""


def noise(scores: np.ndarray, drawn: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return draws (R,) of how far the mean over seeds and texts is off.

    Args:
        scores: Score of each seed on the test set, (S,).
        drawn: What the texts add to the score of each seed, (R, S), around 0.
        random: Generator of what the seeds add.
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
        scores: Score of each seed, or difference of two, (S,).
        resampled: The same on resampled texts, (R, S).
        random: Generator of what the seeds add.
    """
    # resampling shows the spread; its mean is off where classes are rare
    drawn = noise(scores, resampled - resampled.mean(axis=0), random)
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    return float(scores.mean() + low), float(scores.mean() + high)


def p_value(differences: np.ndarray, exchanged: np.ndarray, random: np.random.Generator) -> float:
    """Return how often a difference at least so large arises between methods that do not differ (two-sided).

    Args:
        differences: Difference of the two methods for each seed, (S,).
        exchanged: Differences after exchanging predictions, (R, S).
        random: Generator of what the seeds add.
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


def count(
    metric: str,
    kind: str,
    labels: Sequence[str],
    targets: Sequence[Any],
    predictions: Sequence[Any],
    *,
    outside: str | None = OUTSIDE,
) -> np.ndarray:
    """Return what each text adds to the sums: float32 (N, 2, G), numerators and denominators of G ratios.

    Args:
        metric: micro_f1, macro_f1 or accuracy; of retrieval, recall_at_1, recall_at_5 or recall_at_10.
        kind: single-label, multi-label, tokens or retrieval.
        labels: Names of the labels.
        targets: For each text, a row of `labels`, a list of rows, or one row per word.
        predictions: What was predicted, in the same shape.
        outside: For tokens, the label of words that are part of nothing.
    """
    if kind == RETRIEVAL:
        most = next(most for most, name in RECALLS.items() if name == metric)
        return _found(len(labels), np.asarray(targets), np.asarray(predictions) <= most)
    if metric == "accuracy":
        return _accuracy(kind, targets, predictions)
    num_texts, num_labels = len(targets), len(labels)
    given, guessed = _pairs(kind, targets), _pairs(kind, predictions)
    if kind == MULTI_LABEL:
        first, second = (texts * num_labels + rows for texts, rows in (given, guessed))
        found = np.intersect1d(first, second)
        hits = (found // num_labels, found % num_labels)
    else:  # one prediction for each target, in the same order
        hits = tuple(each[given[1] == guessed[1]] for each in given)
    right, of_target, of_guess = (_table(pair, num_texts, num_labels) for pair in (hits, given, guessed))
    sums = np.stack([2.0 * right, of_target + of_guess], axis=1)
    if kind == TOKENS:
        sums = sums[:, :, [row for row, name in enumerate(labels) if name != outside]]
    if metric == "micro_f1":
        sums = sums.sum(axis=2, keepdims=True)
    return sums.astype(np.float32)


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return scores (...) from sums (..., 2, G): the mean of the ratios whose denominator is not 0, or 0.

    A class that neither the targets nor the predictions hold says nothing, as in scikit-learn.
    """
    top, bottom = sums[..., 0, :].astype(np.float64), sums[..., 1, :].astype(np.float64)
    known = bottom > 0
    ratios = np.divide(top, bottom, out=np.zeros_like(top), where=known)
    return ratios.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)


def _found(num_directions: int, directions: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return, for each direction of retrieval, which of its searches found something right."""
    asked = directions[:, None] == np.arange(num_directions)
    return np.stack([asked & right[:, None], asked], axis=1).astype(np.float32)


def _accuracy(kind: str, targets: Sequence[Any], predictions: Sequence[Any]) -> np.ndarray:
    if kind == TOKENS:
        pairs = zip(targets, predictions, strict=True)
        right = [sum(map(int.__eq__, words, guesses)) for words, guesses in pairs]
        size = [len(words) for words in targets]
    elif kind == MULTI_LABEL:
        right = [set(rows) == set(guesses) for rows, guesses in zip(targets, predictions, strict=True)]
        size = [1] * len(right)
    else:
        right = np.asarray(targets) == np.asarray(predictions)
        size = [1] * len(right)
    return np.stack([right, size], axis=1).astype(np.float32)[:, :, None]


def _pairs(kind: str, rows: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the text and the label of everything that is labelled."""
    if kind == SINGLE_LABEL:
        return np.arange(len(rows)), np.asarray(rows, np.int64)
    lists = [sorted(set(each)) for each in rows] if kind == MULTI_LABEL else rows
    texts = np.repeat(np.arange(len(lists)), [len(each) for each in lists])
    return texts, np.array([row for each in lists for row in each], np.int64)


def _table(pairs: tuple[np.ndarray, ...], num_texts: int, num_labels: int) -> np.ndarray:
    """Return how often each text (row) has each label (column)."""
    places = pairs[0] * num_labels + pairs[1]
    return np.bincount(places, minlength=num_texts * num_labels).reshape(num_texts, num_labels)


_TEXTS, _SWAPS, _SEEDS = range(3)
"""Streams of the generator, so that one use says nothing about another."""
_CHUNK = 1 << 22
"""Numbers that are held as floats at a time."""
_KEPT = 1 << 27
"""Bytes of draws that are kept for the next pair."""

Sums = Sequence[np.ndarray]
"""For each seed, what each text adds to the sums of a metric: (N, 2, G)."""


class Draws:
    """Test texts drawn with replacement, and test texts whose predictions two results exchange.

    Args:
        num_texts: Number of texts in the test set, N.
        num_draws: Number of draws, R.
        seed: Decides all draws.
    """

    def __init__(self, num_texts: int, num_draws: int, seed: int):
        self.num_texts, self.num_draws, self.seed = num_texts, num_draws, seed
        self._kept: dict[int, list[np.ndarray]] = {}

    def resampled(self, results: Sequence[Sums]) -> list[np.ndarray]:
        """Return the scores of each result on resampled texts: a list of (R, S), all on the same texts."""
        stacked = [np.concatenate([_flat(each) for each in seeds], axis=1) for seeds in results]
        found = [[weights @ each for each in stacked] for weights in self._chunks(_TEXTS)]
        pairs = zip(zip(*found, strict=True), results, strict=True)
        return [_scores(np.concatenate(sums), seeds) for sums, seeds in pairs]

    def exchanged(self, first: Sums, second: Sums) -> np.ndarray:
        """Return differences (R, S) after the two have exchanged their predictions on a random half of the texts.

        A text is exchanged in all seeds alike, because its seeds agree more than those of different texts.
        """
        one, other = (np.concatenate([_flat(each) for each in seeds], axis=1) for seeds in (first, second))
        gain = one - other
        moved = np.concatenate([swaps @ gain for swaps in self._chunks(_SWAPS)])
        return _scores(one.sum(axis=0) - moved, first) - _scores(other.sum(axis=0) + moved, second)

    def generator(self) -> np.random.Generator:
        """Return the generator of what seeds add."""
        return np.random.default_rng([self.seed, _SEEDS])

    def _chunks(self, stream: int) -> Iterator[np.ndarray]:
        """Yield draws as float32 (r, N); small ones are drawn once and kept."""
        keep = self.num_texts * self.num_draws <= _KEPT
        if stream not in self._kept:
            drawn = self._drawn(stream)
            if not keep:
                yield from (each.astype(np.float32) for each in drawn)
                return
            self._kept[stream] = list(drawn)
        yield from (each.astype(np.float32) for each in self._kept[stream])

    def _drawn(self, stream: int) -> Iterator[np.ndarray]:
        random, size = np.random.default_rng([self.seed, stream]), max(1, _CHUNK // self.num_texts)
        for done in range(0, self.num_draws, size):
            num = min(size, self.num_draws - done)
            if stream == _SWAPS:
                yield random.integers(0, 2, (num, self.num_texts), dtype=np.uint8)
                continue
            places = random.integers(0, self.num_texts, (num, self.num_texts))
            places += self.num_texts * np.arange(num)[:, None]
            times = np.bincount(places.ravel(), minlength=num * self.num_texts)
            # no text is drawn that often: with up to 255 texts none can be, with more none will be
            yield times.reshape(num, self.num_texts).clip(max=255).astype(np.uint8)


def _flat(sums: np.ndarray) -> np.ndarray:
    return sums.reshape(len(sums), -1)


def _scores(sums: np.ndarray, seeds: Sums) -> np.ndarray:
    """Return scores (R, S) from sums (R, S * 2 * G)."""
    return ratio(sums.reshape(len(sums), len(seeds), 2, -1))
