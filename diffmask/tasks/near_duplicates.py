"""Which word sequences are nearly the same: every pair whose share of common words and word pairs is large enough.

No pair is missed and none is guessed. A set that shares at least m of its n shingles (words, and pairs of neighbouring
words) with another shares k of any n - m + k of them, so that it is enough to look up the rarest and to count what the
few pairs have in common that share k of these (the prefix filter of Chaudhuri et al. 2006 and Bayardo et al. 2007).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_BATCH = 1 << 21  # rows of intermediate arrays
_LOOKED_UP = 3  # k: more of them take longer to look up and leave fewer pairs to count
_HAIR = 1e-9  # 3 of 4 reach 0.75, and 7 of 10 reach 0.7, in floating point too


@dataclass(frozen=True)
class _Pairs:
    """Rows of two sequences and how alike they are; each pair once."""

    left: np.ndarray
    right: np.ndarray
    similarity: np.ndarray


@dataclass(frozen=True)
class _Index:
    """Sets of shingles, small ones first, each with its rarest shingle first; shingles of one set alone are left out.

    Attributes:
        keys: Sorted: row * num_shingles + shingle.
        starts: Of each row in `keys`, and the end.
        sizes: Of each set, with what is left out.
    """

    keys: np.ndarray
    num_shingles: int
    starts: np.ndarray
    sizes: np.ndarray


def similar_pairs(sequences: Sequence[Sequence[str]], *, threshold: float, min_words: int) -> Iterator[_Pairs]:
    """Yield every pair whose similarity reaches the threshold, in batches.

    The similarity is the share of the words and word pairs of the sequence with fewer of them that are also in the
    other: a text and its beginning have 1. If that sequence has fewer than `min_words` words, it is the share of those
    of the other, because a few words occur in many texts.
    """
    lengths = np.array([len(words) for words in sequences], np.int64)
    rows, shingles, num_shingles = _shingle_sets(sequences, lengths)
    if not len(rows):
        return
    sizes = np.bincount(rows, minlength=len(sequences))
    order, frequency = np.argsort(sizes, kind="stable"), np.bincount(shingles)
    place, rank = np.argsort(order), np.argsort(np.argsort(frequency, kind="stable"))
    common = frequency[shingles] > 1
    keys = np.sort(place[rows[common]] * num_shingles + rank[shingles[common]])
    starts = np.searchsorted(keys, np.arange(len(sizes) + 1) * num_shingles)
    index = _Index(keys, num_shingles, starts, sizes[order])
    short = lengths[order] < min_words
    for left, right in _candidates(index, threshold):
        similarity = _num_shared(index, left, right) / index.sizes[np.where(short[left], right, left)]
        alike = similarity >= threshold - _HAIR
        yield _Pairs(order[left[alike]], order[right[alike]], similarity[alike])


def _shingle_sets(sequences: Sequence[Sequence[str]], lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the row and the shingle of each member of each set, and how many shingles there are."""
    known: dict[str, int] = {}
    words = np.array([known.setdefault(word, len(known)) for sequence in sequences for word in sequence], np.int64)
    rows = np.repeat(np.arange(len(sequences)), lengths)
    inside = rows[1:] == rows[:-1]
    neighbours = (words[:-1] * len(known) + words[1:])[inside]
    pairs, row_pairs = np.unique(neighbours, return_inverse=True)
    num_shingles = len(known) + len(pairs)
    rows, shingles = np.concatenate([rows, rows[1:][inside]]), np.concatenate([words, row_pairs + len(known)])
    members = np.sort(rows * num_shingles + shingles)
    members = members[np.diff(members, prepend=-1) > 0]
    return *np.divmod(members, max(1, num_shingles)), num_shingles


def _candidates(index: _Index, threshold: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of a row and a larger one that share enough of the shingles that are looked up."""
    rows, shingles = np.divmod(index.keys, index.num_shingles)
    needed = np.ceil(threshold * index.sizes - _HAIR)
    looked_up = np.minimum(_LOOKED_UP, needed)
    left_out = index.sizes - np.diff(index.starts)
    first = index.sizes - needed + looked_up - left_out
    probes = np.flatnonzero(np.arange(len(rows)) - index.starts[rows] < first[rows])
    by_shingle = np.argsort(shingles, kind="stable")  # the rows of a shingle are in ascending order
    position = np.argsort(by_shingle)[probes] + 1
    widths = np.searchsorted(shingles[by_shingle], shingles[probes], side="right") - position
    # a batch holds whole rows, so that what a pair shares is counted in one
    bounds = np.searchsorted(rows[probes], np.arange(len(index.sizes) + 1))
    sums = np.concatenate([[0], np.cumsum(widths)])[bounds]
    for start, stop in _batches(np.diff(sums)):
        part = slice(bounds[start], bounds[stop])
        entry, offset = _expand(widths[part])
        left, right = rows[probes[part]][entry], rows[by_shingle[position[part][entry] + offset]]
        pairs, num_shared = np.unique(left * len(index.sizes) + right, return_counts=True)
        left, right = np.divmod(pairs, len(index.sizes))
        enough = num_shared >= looked_up[left]
        yield left[enough], right[enough]


def _num_shared(index: _Index, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return how many shingles the rows of each pair have in common."""
    starts, widths = index.starts[left], np.diff(index.starts)[left]
    shared = np.empty(len(left), np.int64)
    for start, stop in _batches(widths):
        entry, offset = _expand(widths[start:stop])
        shingles = index.keys[starts[start:stop][entry] + offset] % index.num_shingles
        wanted = right[start:stop][entry] * index.num_shingles + shingles
        place = np.minimum(np.searchsorted(index.keys, wanted), len(index.keys) - 1)
        shared[start:stop] = np.bincount(entry[index.keys[place] == wanted], minlength=stop - start)
    return shared


def _expand(widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for consecutive ranges of these widths, the range of each element and its place in it."""
    entry = np.repeat(np.arange(len(widths)), widths)
    return entry, np.arange(len(entry)) - (np.cumsum(widths) - widths)[entry]


def _batches(widths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows whose widths add up to a batch at most, or that are one wide row."""
    ends = np.cumsum(widths)
    start = 0
    while start < len(widths):
        limit = _BATCH + (ends[start - 1] if start else 0)
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        yield start, stop
        start = stop
