"""Classes of words that need no model: by frequency, by TF-ICF, by shape, and by a lexicon.

Frequency and TF-ICF are cut into bands: how frequent a word is in general, and how much more frequent in the domain.
The shape of a word, its case, digits and script, is read off the text. A lexicon is a table of words and their classes,
as tab-separated or comma-separated values.
"""

import functools
import hashlib
import math
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffmask.core.errors import InputError
from diffmask.files.blocks import shown
from diffmask.files.tables import Table, read_lines
from diffmask.text.annotate.span_file import CLASSES
from diffmask.text.corpus.reference import Reference, read_reference
from diffmask.text.corpus.words import PUNCT, UNSPACED, char_classes, split_words, types_of
from diffmask.text.segment.rows import Annotator
from diffmask.text.segment.segmenter import Segments
from diffmask.text.segment.type_table import is_telling

if TYPE_CHECKING:
    from diffmask.text.anchors.anchor_set import AnchorSet

_ZIPF_BOUNDS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
"""Bounds of the bands of general frequency, in Zipf: log10 of the occurrences in a billion words (van Heuven et al.
2014, SUBTLEX-UK), where rare words are below 3 and common ones above 4."""
_TF_ICF_BOUNDS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Bounds of the bands of TF-ICF: how many times its general frequency a word has in the domain."""
_REST = ("unknown", "number", "punctuation")
_CACHED_WORDS = 1 << 17


def _band_names(what: str, bounds: Sequence[float]) -> tuple[str, ...]:
    """Return the names of the bands between bounds.

    >>> _band_names("zipf", (2.0, 3.0))
    ('zipf < 2', 'zipf 2-3', 'zipf >= 3')
    """
    inner = [f"{what} {low:g}-{high:g}" for low, high in zip(bounds, bounds[1:], strict=False)]
    return (f"{what} < {bounds[0]:g}", *inner, f"{what} >= {bounds[-1]:g}")


_FREQUENCY_NAMES = (*_band_names("zipf", _ZIPF_BOUNDS), *_REST)
TF_ICF_NAMES = (*_band_names("tf-icf", _TF_ICF_BOUNDS), *_REST)


def frequency_classes(language: str = "en") -> Annotator:
    """Return bands of the general frequency of words, by the package wordfreq, as classes.

    Numbers, punctuation, and words that wordfreq does not know are classes of their own.

    Args:
        language: Language of the word list.

    Raises:
        InputError: If wordfreq is not installed, or has no such language.
    """
    version = _reference(language).record["version"]
    key = f"frequency {language} {version} {_FREQUENCY_NAMES}"
    return Annotator((CLASSES,), _FREQUENCY_NAMES, key, partial(_frequencies, language))


def _frequencies(language: str, segments: Segments) -> dict[str, np.ndarray]:
    surfaces = segments.types_in(language)
    classes = map(_frequency_class, repeat(language), surfaces)
    return {CLASSES: np.fromiter(classes, np.int32, len(surfaces))[segments.words]}


def tf_icf_classes(anchors: "AnchorSet") -> Annotator:
    """Return bands of the TF-ICF of words, from the table of types that `diffmask anchors` makes, as classes.

    Numbers, punctuation, and words that are not in the table are classes of their own.
    """
    bands = np.searchsorted(_TF_ICF_BOUNDS, anchors.tf_icf.numpy(), side="right").tolist()
    class_of = {word: band for word, band in zip(anchors.types, bands, strict=True) if not _is_number(word)}
    table = "\n".join(f"{word} {band}" for word, band in class_of.items())
    key = f"tf-icf {hashlib.sha256(table.encode()).hexdigest()} {TF_ICF_NAMES}"
    return Annotator((CLASSES,), TF_ICF_NAMES, key, partial(_bands, class_of))


def _bands(class_of: dict[str, int], segments: Segments) -> dict[str, np.ndarray]:
    classes = segments.types(class_of, class_of.__getitem__)
    unknown = np.flatnonzero(classes < 0)
    surfaces = segments.word_surfaces
    words = segments.words[unknown].tolist()
    classes[unknown] = [_rest_class(surfaces[word]) + len(_TF_ICF_BOUNDS) + 1 for word in words]
    return {CLASSES: classes}


@functools.cache
def _reference(language: str) -> Reference:
    return read_reference(f"wordfreq:{language}")


@functools.lru_cache(maxsize=_CACHED_WORDS)
def _frequency_class(language: str, word: str) -> int:
    rest = _rest_class(word)
    frequency = 0.0
    if rest == 0:
        frequency_of = _reference(language).frequency
        # a token of several words is one unit: the first that is known counts, a number only if there is no other
        parts = sorted(split_words(word, language), key=lambda part: not is_telling(part))
        frequency = frequency_of(word) or next(filter(None, map(frequency_of, parts)), 0.0)
    if frequency:
        return bisect_right(_ZIPF_BOUNDS, math.log10(frequency) + 9.0)
    return rest + len(_ZIPF_BOUNDS) + 1


def _rest_class(word: str) -> int:
    """Return the row of a word's class in `_REST`; 0, "unknown", for one with letters."""
    if not any(map(str.isalnum, word)) and not split_words(word):
        return 2
    return 1 if _is_number(word) else 0


def _is_number(word: str) -> bool:
    """Tell whether a word has digits and no letters; Chinese numerals are words."""
    categories = {unicodedata.category(char)[0] for char in word}
    return "N" in categories and "L" not in categories


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
_CACHED_SHAPES = 1 << 17


def shape_classes() -> Annotator:
    """Return the shape of each word, as it stands in the text, as its class."""
    return Annotator((CLASSES,), SHAPES, f"shape 1 {SHAPES}", _shapes)


def _shapes(segments: Segments) -> dict[str, np.ndarray]:
    text = segments.text
    starts, stops = segments.surface_spans.T.tolist()
    shapes = map(_shape_row, [text[start:stop] for start, stop in zip(starts, stops, strict=True)])
    return {CLASSES: np.fromiter(shapes, np.int32, len(starts))[segments.words]}


def _shape_of(word: str) -> str:
    """Return the shape of a word; a single capital is Capitalised.

    >>> [_shape_of(word) for word in ("kinase", "Smith", "DNA", "mRNA", "p53", "37", ";", "%", "胞")]
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


@functools.lru_cache(maxsize=_CACHED_SHAPES)
def _shape_row(word: str) -> int:
    return _ROW[_shape_of(word)]


_HEADERS = ({"word", "class"}, {"type", "class"}, {"word", "label"}, {"word", "tag"}, {"word", "pos"})


def read_lexicon(path: str | Path) -> Annotator:
    """Read a lexicon and check every line of it; a word's class is that of its type, and words not in it have none.

    Raises:
        InputError: If it is not such a file, an entry is no single word, or a word has two classes.
    """
    path = Path(path).absolute()
    digest = read_lines(path, "class file")[1]
    classes = _parse(path)
    if not classes:
        raise InputError(f"{path} contains no words; write a word and its class in each line")
    key, names = f"lexicon {digest}", tuple(sorted(set(classes.values())))
    _keep(key, classes, names)
    return Annotator((CLASSES,), names, key, partial(_listed, str(path), key, names))


_KNOWN: dict[str, dict[str, int]] = {}
"""Of the lexicons that this process has read, by their keys: the row of each word's class."""
_MOST_KNOWN = 4


def _listed(path: str, key: str, names: tuple[str, ...], segments: Segments) -> dict[str, np.ndarray]:
    return {CLASSES: segments.types(_rows(path, key, names, segments.language))}


def _parse(path: Path, language: str | None = None) -> dict[str, str]:
    classes: dict[str, str] = {}
    first_lines: dict[str, int] = {}
    with Table(path) as table:
        rows = [] if {cell.lower() for cell in table.header} in _HEADERS else [(table.header_line, table.header)]
        for number, values in chain(rows, table.rows()):
            cells = [value.strip() for value in values]
            if not any(cells):
                continue
            if len(cells) != 2 or not all(cells):
                raise InputError(f"{path}: line {number} is not a word and its class: {shown(' '.join(cells))}")
            word = _checked_word(f"{path}: line {number}", cells[0], language)
            if classes.setdefault(word, cells[1]) != cells[1]:
                raise InputError(
                    f"{path}: lines {first_lines[word]} and {number} give {word!r} two classes, {classes[word]!r} and "
                    f"{cells[1]!r}; keep one, since a lexicon does not know the context"
                )
            first_lines.setdefault(word, number)
    return classes


def _checked_word(where: str, entry: str, language: str | None) -> str:
    """Return the type that an entry stands for, which must be one word or one punctuation character."""
    words = split_words(entry, language)
    if not words and len(entry) == 1 and char_classes(entry)[0] == PUNCT:
        return entry
    if words != types_of([entry], language):
        parts = f"the words {' '.join(words)}" if words else "no word"
        raise InputError(
            f"{where}: {entry!r} does not align with the words of a text, it is {parts}; give each word (or "
            "punctuation character) a line of its own, or annotate texts in a .jsonl with spans"
        )
    return words[0]


def _rows(path: str, key: str, names: tuple[str, ...], language: str | None) -> dict[str, int]:
    """Return the row of each word's class; a process that was not the first to read the file reads it once."""
    key = key if language is None else f"{key} {language}"
    if key not in _KNOWN:
        _keep(key, _parse(Path(path), language), names)
    return _KNOWN[key]


def _keep(key: str, classes: dict[str, str], names: tuple[str, ...]) -> None:
    row_of = {name: row for row, name in enumerate(names)}
    while len(_KNOWN) >= _MOST_KNOWN:
        del _KNOWN[next(iter(_KNOWN))]
    _KNOWN[key] = {word: row_of[name] for word, name in classes.items()}
