"""Classes of words by their shape: their letters' case, digits, script. The text itself says it; nothing is needed."""

import functools
import unicodedata
from dataclasses import dataclass, field

import numpy as np

from diffmask.text.annotate.span_labels import CLASSES
from diffmask.text.corpus.words import UNSPACED, char_classes
from diffmask.text.segment.segmenter import Segments

SHAPES = (
    "lower case",
    "Capitalised",
    "UPPER CASE",
    "mIxed case",
    "with digits",
    "number",
    "punctuation",
    "symbol",
    "without spaces",
    "other script",
)
"""`without spaces`: scripts whose characters are words (Chinese, Japanese, Thai, ...); `other script`: letters that
have no case (Arabic, Hindi, Korean, ...); `symbol`: neither letter nor punctuation (an emoji, "+"; "%" is
punctuation)."""
_ROW = {name: row for row, name in enumerate(SHAPES)}
_CACHED_WORDS = 1 << 17


@dataclass(frozen=True)
class ShapeClasses:
    """The shape of each word, as it stands in the text."""

    columns: tuple[str, ...] = field(default=(CLASSES,), init=False)
    names: tuple[str, ...] = field(default=SHAPES, init=False)
    key: str = field(default=f"shape 1 {SHAPES}", init=False)

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the class of each unit."""
        text = segments.text
        starts, stops = segments.surface_spans.T.tolist()
        shapes = map(_shape_row, [text[start:stop] for start, stop in zip(starts, stops, strict=True)])
        return {CLASSES: np.fromiter(shapes, np.int32, len(starts))[segments.words]}


def shape_of(word: str) -> str:
    """Return the shape of a word; a single capital is Capitalised.

    >>> [shape_of(word) for word in ("kinase", "Smith", "DNA", "mRNA", "p53", "37", ";", "%", "胞")]
    ... # doctest: +NORMALIZE_WHITESPACE
    ['lower case', 'Capitalised', 'UPPER CASE', 'mIxed case', 'with digits', 'number', 'punctuation', 'punctuation',
     'without spaces']
    """
    if (char_classes(word) == UNSPACED).any():
        return "without spaces"
    categories = [unicodedata.category(char) for char in word]
    letters = [category for category in categories if category[0] == "L"]
    if any(category[0] == "N" for category in categories):
        return "with digits" if letters else "number"
    if not letters:
        return "punctuation" if categories and categories[0][0] == "P" else "symbol"
    return _case_of("".join(char for char, category in zip(word, categories, strict=True) if category[0] == "L"))


def _case_of(letters: str) -> str:
    upper = [char.isupper() or char.istitle() for char in letters]
    if not any(upper):
        return "lower case" if any(map(str.islower, letters)) else "other script"
    if upper[0] and not any(upper[1:]):
        return "Capitalised"
    return "UPPER CASE" if all(upper) else "mIxed case"


@functools.lru_cache(maxsize=_CACHED_WORDS)
def _shape_row(word: str) -> int:
    return _ROW[shape_of(word)]
