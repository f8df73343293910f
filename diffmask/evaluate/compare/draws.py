"""Random draws of test texts, the same for everything that is compared.

These draws decide no mask, so they come from a NumPy generator that is seeded where it is used.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from diffmask.evaluate.compare.counts import ratio

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
        num_texts: Texts of the test set, N.
        num_draws: How often is drawn, R.
        seed: Of all draws.
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
            # no text is drawn so often: of up to 255 texts none can be, of more none will be
            yield times.reshape(num, self.num_texts).clip(max=255).astype(np.uint8)


def _flat(sums: np.ndarray) -> np.ndarray:
    return sums.reshape(len(sums), -1)


def _scores(sums: np.ndarray, seeds: Sums) -> np.ndarray:
    """Return scores (R, S) from sums (R, S * 2 * G)."""
    return ratio(sums.reshape(len(sums), len(seeds), 2, -1))
