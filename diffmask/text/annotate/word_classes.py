"""Classes of words by their type: how frequent it is in general, or how much more frequent in the domain."""

import functools
import hashlib
import math
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from diffmask.text.annotate.span_labels import CLASSES
from diffmask.text.corpus.reference import Reference, wordfreq_reference
from diffmask.text.corpus.words import split_words
from diffmask.text.segment.segmenter import Segments

if TYPE_CHECKING:
    from diffmask.text.anchors.anchor_set import AnchorSet

ZIPF_BOUNDS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
"""Bounds of the bands of general frequency, in Zipf: log10 of the occurrences in a billion words (van Heuven et al.
2014, SUBTLEX-UK), where rare words are below 3 and common ones above 4."""
TF_ICF_BOUNDS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Bounds of the bands of TF-ICF: so many times its general frequency has a word in the domain."""
_REST = ("unknown", "number", "punctuation")
_CACHED_WORDS = 1 << 17


def band_names(what: str, bounds: Sequence[float]) -> tuple[str, ...]:
    """Return the names of the bands between bounds.

    >>> band_names("zipf", (2.0, 3.0))
    ('zipf < 2', 'zipf 2-3', 'zipf >= 3')
    """
    inner = [f"{what} {low:g}-{high:g}" for low, high in zip(bounds, bounds[1:], strict=False)]
    return (f"{what} < {bounds[0]:g}", *inner, f"{what} >= {bounds[-1]:g}")


_FREQUENCY_NAMES = (*band_names("zipf", ZIPF_BOUNDS), *_REST)
_TF_ICF_NAMES = (*band_names("tf-icf", TF_ICF_BOUNDS), *_REST)


@dataclass(frozen=True)
class FrequencyClasses:
    """Bands of the general frequency of words, by the package wordfreq.

    Numbers, punctuation, and words that wordfreq does not know are classes of their own.
    """

    language: str = "en"
    columns: tuple[str, ...] = field(default=(CLASSES,), init=False)
    names: tuple[str, ...] = field(default=_FREQUENCY_NAMES, init=False)

    @property
    def key(self) -> str:
        """Language, version of wordfreq, bands."""
        return f"frequency {self.language} {_reference(self.language).record['version']} {self.names}"

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the class of each unit."""
        surfaces = segments.word_surfaces
        classes = map(_frequency_class, repeat(self.language), surfaces)
        return {CLASSES: np.fromiter(classes, np.int32, len(surfaces))[segments.words]}


@dataclass(frozen=True, eq=False)
class TfIcfClasses:
    """Bands of the TF-ICF of words, from the table of types that `diffmask anchors` makes.

    Numbers, punctuation, and words that are not in the table are classes of their own.

    Attributes:
        class_of: Class of each type.
        key: Hash of the table.
    """

    class_of: dict[str, int]
    key: str
    columns: tuple[str, ...] = field(default=(CLASSES,), init=False)
    names: tuple[str, ...] = field(default=_TF_ICF_NAMES, init=False)

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the class of each unit."""
        classes = segments.types(self.class_of)
        unknown = np.flatnonzero(classes < 0)
        surfaces = segments.word_surfaces
        words = segments.words[unknown].tolist()
        classes[unknown] = [_rest_class(surfaces[word]) + len(TF_ICF_BOUNDS) + 1 for word in words]
        return {CLASSES: classes}


def tf_icf_classes(anchors: "AnchorSet") -> TfIcfClasses:
    """Return the classes of the words of a domain."""
    bands = np.searchsorted(TF_ICF_BOUNDS, anchors.tf_icf.numpy(), side="right").tolist()
    class_of = {word: band for word, band in zip(anchors.types, bands, strict=True) if not _is_number(word)}
    table = "\n".join(f"{word} {band}" for word, band in class_of.items())
    return TfIcfClasses(class_of, f"tf-icf {hashlib.sha256(table.encode()).hexdigest()} {_TF_ICF_NAMES}")


@functools.cache
def _reference(language: str) -> Reference:
    return wordfreq_reference(language)


@functools.lru_cache(maxsize=_CACHED_WORDS)
def _frequency_class(language: str, word: str) -> int:
    rest = _rest_class(word)
    frequency = 0.0
    if rest == 0:
        frequency_of = _reference(language).frequency
        # a token of several Chinese characters is one unit, of several words
        frequency = frequency_of(word) or next(filter(None, map(frequency_of, split_words(word))), 0.0)
    if frequency:
        return bisect_right(ZIPF_BOUNDS, math.log10(frequency) + 9.0)
    return rest + len(ZIPF_BOUNDS) + 1


def _rest_class(word: str) -> int:
    """Return the row in `_REST`; 0 for a word."""
    if not any(map(str.isalnum, word)) and not split_words(word):
        return 2
    return 1 if _is_number(word) else 0


def _is_number(word: str) -> bool:
    """Tell whether a word has digits and no letters; Chinese numerals are words."""
    categories = {unicodedata.category(char)[0] for char in word}
    return "N" in categories and "L" not in categories
