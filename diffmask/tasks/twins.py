"""For every text, which twin it has in each split: the same text, the same words, or nearly the same."""

import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from diffmask.tasks.near_duplicates import similar_pairs
from diffmask.text.corpus.words import split_words

_NO_TEXT = _NO_LABEL = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Texts:
    """All texts, one split below the other.

    Attributes:
        split: Row of the split of each text.
        label: Row of its label; 0 where no labels are known.
        exact: Row of the text in NFKC, without case and with single spaces, among the distinct ones.
        words: Row of its sequence of words among the distinct ones; a text without words is its own.
        sequences: The distinct sequences of words.
        num_splits: How many there are.
    """

    split: np.ndarray
    label: np.ndarray
    exact: np.ndarray
    words: np.ndarray
    sequences: list[list[str]]
    num_splits: int


@dataclass(frozen=True)
class Twins:
    """Twins of one kind, arrays of (texts, splits); a text is no twin of itself.

    Attributes:
        text: One twin, the most similar one; -1 where there is none.
        similarity: Of that one.
        lowest: Lowest label of the twins.
        highest: Highest label of the twins.
    """

    text: np.ndarray
    similarity: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


def gather_texts(splits: Mapping[str, Sequence[str]], labels: Mapping[str, Sequence[Any]] | None) -> Texts:
    """Normalise all texts and number what is the same."""
    exact = [" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in chain(*splits.values())]
    words = [split_words(text) for text in exact]
    keys = [tuple(split) or text for text, split in zip(exact, words, strict=True)]
    word_rows = _numbered(keys)
    _, firsts = np.unique(word_rows, return_index=True)
    given = chain(*(labels[split] for split in splits)) if labels else [0] * len(exact)
    lengths = [len(texts) for texts in splits.values()]
    return Texts(
        np.repeat(np.arange(len(splits)), lengths),
        _numbered(map(repr, given)),
        _numbered(exact),
        word_rows,
        [words[first] for first in firsts.tolist()],
        len(splits),
    )


def same_twins(texts: Texts, key: np.ndarray) -> Twins:
    """Return the twins that have the same key."""
    group = _Groups(texts, key)
    own = np.arange(len(key))[:, None]
    twin = np.where(group.first[key] == own, group.last[key], group.first[key])
    twin = np.where((twin == own) | (twin == _NO_TEXT), -1, twin)
    return Twins(twin, (twin >= 0).astype(float), group.lowest[key], group.highest[key])


def near_twins(texts: Texts, threshold: float, min_words: int) -> Twins:
    """Return the twins that have other words, but `threshold` of them."""
    group = _Groups(texts, texts.words)
    present = group.first < _NO_TEXT
    partner, best = np.full(present.shape, -1), np.zeros(present.shape)
    lowest, highest = np.full(present.shape, _NO_LABEL), np.full(present.shape, -1)
    for pairs in similar_pairs(texts.sequences, threshold=threshold, min_words=min_words):
        # the least similar first: what is written last stays
        order = np.argsort(pairs.similarity, kind="stable")
        for here, there in ((pairs.left[order], pairs.right[order]), (pairs.right[order], pairs.left[order])):
            np.minimum.at(lowest, here, group.lowest[there])
            np.maximum.at(highest, here, group.highest[there])
            for split in range(texts.num_splits):
                similarity = pairs.similarity[order]
                better = present[there, split] & (similarity > best[here, split])
                best[here[better], split] = similarity[better]
                partner[here[better], split] = group.first[there[better], split]
    rows = texts.words
    return Twins(partner[rows], best[rows], lowest[rows], highest[rows])


class _Groups:
    """Texts with the same key: in each split the first, the last and the range of labels, arrays of (keys, splits)."""

    def __init__(self, texts: Texts, key: np.ndarray):
        shape = (int(key.max(initial=-1)) + 1, texts.num_splits)
        self.first, self.last = np.full(shape, _NO_TEXT), np.full(shape, -1)
        self.lowest, self.highest = np.full(shape, _NO_LABEL), np.full(shape, -1)
        place = (key, texts.split)
        np.minimum.at(self.first, place, np.arange(len(key)))
        np.maximum.at(self.last, place, np.arange(len(key)))
        np.minimum.at(self.lowest, place, texts.label)
        np.maximum.at(self.highest, place, texts.label)


def _numbered(keys: Iterable[Hashable]) -> np.ndarray:
    """Return the number of each key, counted from 0 in the order of their first."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], np.int64)
