"""Texts that are in more than one split of a task: word for word, but for punctuation, or nearly.

For every text its twin in each split is found: the same text, the same words, or nearly the same.
"""

import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from diffmask.core.errors import InputError
from diffmask.tasks.near_duplicates import similar_pairs
from diffmask.text.corpus.words import INVISIBLE, split_words

_NO_TEXT = _NO_LABEL = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Texts:
    """All texts, one split below the other.

    Attributes:
        split: Row of the split of each text.
        label: Row of its label; 0 where no labels are known.
        exact: Row of the text in NFKC, without case and what is not seen, with single spaces, among the distinct ones.
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
class _Twins:
    """Twins of one kind, arrays of (texts, splits); a text is no twin of itself.

    Attributes:
        text: One twin, the most similar one; -1 where there is none.
        similarity: How similar that one is.
        lowest: Lowest label of the twins.
        highest: Highest label of the twins.
    """

    text: np.ndarray
    similarity: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


def _gather_texts(splits: Mapping[str, Sequence[str]], labels: Mapping[str, Sequence[Any]] | None) -> _Texts:
    """Normalise all texts and number what is the same."""
    exact = [_plain(text) for text in chain(*splits.values())]
    words = [split_words(text) for text in exact]
    keys = [tuple(split) or text for text, split in zip(exact, words, strict=True)]
    word_rows = _numbered(keys)
    _, firsts = np.unique(word_rows, return_index=True)
    given = chain(*(labels[split] for split in splits)) if labels else [0] * len(exact)
    lengths = [len(texts) for texts in splits.values()]
    return _Texts(
        np.repeat(np.arange(len(splits)), lengths),
        _numbered(map(repr, given)),
        _numbered(exact),
        word_rows,
        [words[first] for first in firsts.tolist()],
        len(splits),
    )


def _same_twins(texts: _Texts, key: np.ndarray) -> _Twins:
    """Return the twins that have the same key."""
    group = _Groups(texts, key)
    own = np.arange(len(key))[:, None]
    twin = np.where(group.first[key] == own, group.last[key], group.first[key])
    twin = np.where((twin == own) | (twin == _NO_TEXT), -1, twin)
    return _Twins(twin, (twin >= 0).astype(float), group.lowest[key], group.highest[key])


def _near_twins(texts: _Texts, threshold: float, min_words: int) -> _Twins:
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
    return _Twins(partner[rows], best[rows], lowest[rows], highest[rows])


class _Groups:
    """Texts with the same key: in each split the first, the last and the range of labels, arrays of (keys, splits)."""

    def __init__(self, texts: _Texts, key: np.ndarray):
        shape = (int(key.max(initial=-1)) + 1, texts.num_splits)
        self.first, self.last = np.full(shape, _NO_TEXT), np.full(shape, -1)
        self.lowest, self.highest = np.full(shape, _NO_LABEL), np.full(shape, -1)
        place = (key, texts.split)
        np.minimum.at(self.first, place, np.arange(len(key)))
        np.maximum.at(self.last, place, np.arange(len(key)))
        np.minimum.at(self.lowest, place, texts.label)
        np.maximum.at(self.highest, place, texts.label)


def _plain(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text.translate(INVISIBLE)).casefold()
    return " ".join(plain.split())


def _numbered(keys: Iterable[Hashable]) -> np.ndarray:
    """Return the number of each key, counted from 0 in the order of their first."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], np.int64)


KINDS = {"exact": "word for word", "same_words": "but for punctuation", "near": "nearly"}
"""How similar a text is to one in another split, closest kind first, and what tables call it.

exact: the same but for case, white space and the form of characters (NFKC). same_words: with other punctuation, or with
markers around other words. near: most of its words and word pairs are the same.
"""
_THRESHOLD = 0.75
_MIN_WORDS = 8
_NUM_EXAMPLES = 3


@dataclass(frozen=True)
class Overlap:
    """How many texts of a split have a twin in another split, or another text of their own split as one.

    A text counts once, as the closest kind of twin that it has.

    Attributes:
        split: Split whose texts are counted.
        other: Split where their twins are.
        num_texts: Number of texts in the split.
        exact: Number of texts with a twin word for word.
        same_words: Number of further texts with a twin of the same words, but for punctuation.
        near: Number of further texts with a twin of nearly the same words.
        other_label: Number of all these texts that have such a twin of another label; None where no labels are known.
        examples: A few of each kind: row of the text, row of its twin, kind, similarity.
    """

    split: str
    other: str
    num_texts: int
    exact: int
    same_words: int
    near: int
    other_label: int | None
    examples: list[dict[str, Any]]

    @property
    def num_found(self) -> int:
        """Number of texts with a twin of any kind."""
        return self.exact + self.same_words + self.near


@dataclass(frozen=True)
class Leakage:
    """What is in more than one split; `find_leakage` makes it.

    Attributes:
        between: Each split in each of those before it: dev in train, test in train, test in dev.
        within: Each split in itself.
        threshold: Share of words and word pairs from which texts are nearly the same.
        elsewhere: For each split, which of its texts have a twin in any other one.
    """

    between: list[Overlap]
    within: list[Overlap]
    threshold: float
    elsewhere: Mapping[str, np.ndarray]

    def unseen(self, split: str) -> list[bool]:
        """Return for each text whether it is in no other split, neither exactly nor nearly."""
        return (~self.elsewhere[split]).tolist()

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values, without the texts."""
        return {
            "threshold": self.threshold,
            "between": [_values(found) for found in self.between],
            "within": [_values(found) for found in self.within],
            "unseen": {split: int((~twins).sum()) for split, twins in self.elsewhere.items()},
        }

    def summary(self) -> str:
        """Return in one or two sentences how much of the last split is in the others."""
        split = list(self.elsewhere)[-1]
        twins = self.elsewhere[split]
        found = [overlap for overlap in self.between if overlap.split == split]
        names = " or ".join(overlap.other for overlap in found) or "another split"
        if not twins.any():
            return f"None of the {len(twins):,} texts of {split} stands in {names}."
        parts = "; ".join(_phrase(overlap) for overlap in found if overlap.num_found)
        share = 100 * twins.mean()
        return (
            f"{twins.sum():,} of the {len(twins):,} texts of {split} ({share:.1f} %) stand in {names} too: {parts}. "
            f"{(~twins).sum():,} are unseen."
        )


def find_leakage(
    splits: Mapping[str, Sequence[str]],
    *,
    labels: Mapping[str, Sequence[Any]] | None = None,
    threshold: float = _THRESHOLD,
    min_words: int = _MIN_WORDS,
) -> Leakage:
    """Compare all texts with one another and count twins.

    Two texts are nearly the same if `threshold` of the words and pairs of neighbouring words of the text with fewer of
    them are in the other too; where it has fewer than `min_words` words, that share of those of the other. So a
    text is found that had a tenth of its words edited or its end cut off, and a phrase of a few words is no twin of
    every long text that happens to hold it. All pairs are found, and each is counted, not estimated.

    Args:
        splits: Names and texts, in the order train, dev, test; for text pairs the joined texts.
        labels: For each split the labels of its texts, of any kind that has a `repr`.
        threshold: The share; 1 asks for all.
        min_words: Of the smaller text, for a part of a longer text to count.

    Raises:
        InputError: If the threshold is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"the threshold of near duplicates is {threshold:g}; give a share above 0 and at most 1")
    assert labels is None or all(len(labels[name]) == len(texts) for name, texts in splits.items())
    texts = _gather_texts(splits, labels)
    twins = [_same_twins(texts, texts.exact), _same_twins(texts, texts.words), _near_twins(texts, threshold, min_words)]
    names = list(splits)
    rows = range(len(names))

    def overlap(split: int, other: int) -> Overlap:
        return _overlap(texts, twins, names, (split, other), labelled=labels is not None)

    any_twin = np.logical_or.reduce([kind.text >= 0 for kind in twins])
    foreign = (any_twin & (texts.split[:, None] != np.arange(len(names)))).any(1)
    return Leakage(
        [overlap(split, other) for split in rows for other in range(split)],
        [overlap(split, split) for split in rows],
        threshold,
        {name: foreign[texts.split == row] for row, name in enumerate(names)},
    )


def _overlap(texts: _Texts, twins: list[_Twins], names: list[str], pair: tuple[int, int], *, labelled: bool) -> Overlap:
    split, other = pair
    rows, others = np.flatnonzero(texts.split == split), np.searchsorted(texts.split, other)
    left = np.ones(len(rows), dtype=bool)
    counts, num_other_label, examples = {}, 0, []
    for kind, twin in zip(KINDS, twins, strict=True):
        found = left & (twin.text[rows, other] >= 0)
        left &= ~found
        counts[kind] = int(found.sum())
        label = texts.label[rows]
        differs = (twin.lowest[rows, other] != label) | (twin.highest[rows, other] != label)
        num_other_label += int((found & differs).sum())
        for place in np.flatnonzero(found)[:_NUM_EXAMPLES].tolist():
            twin_row, similarity = int(twin.text[rows[place], other]), float(twin.similarity[rows[place], other])
            values = {"text": place, "twin": twin_row - int(others), "kind": kind, "similarity": round(similarity, 3)}
            examples.append(values)
    other_label = num_other_label if labelled else None
    return Overlap(names[split], names[other], len(rows), **counts, other_label=other_label, examples=examples)


def _values(overlap: Overlap) -> dict[str, Any]:
    return asdict(overlap) | {"share": overlap.num_found / overlap.num_texts if overlap.num_texts else 0.0}


def _phrase(overlap: Overlap) -> str:
    counts = ", ".join(f"{number:,} {said}" for kind, said in KINDS.items() if (number := getattr(overlap, kind)))
    labels = f" ({overlap.other_label:,} with another label)" if overlap.other_label else ""
    return f"in {overlap.other} {counts}{labels}"
