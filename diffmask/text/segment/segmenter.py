"""Segment: the tokens of texts, and the words that they make, for any fast tokenizer.

Where a word begins is read off the text (`corpus.words`), through the character offsets of the tokens: a token
opens a unit if a word, a character of a script without spaces, or a punctuation character begins where it begins. A
tokenizer's own `word_ids` are not asked, because they answer another question: they cut at digits and contractions for
RoBERTa and ModernBERT ("covid", "19"), nowhere but at spaces for XLM-R, ALBERT, T5, DeBERTa-v2 and BigBird
("(vitro)."), and offsets hold the leading space for some and not for others. The text gives the same words to all, and
the same types that are counted. `docs/words.md` shows them.

A boundary never falls inside a character: tokens that share one (bytes of an emoji, pieces of a ligature) belong
together. A token of white space alone ("▁") belongs to the word that follows it.

Worker processes import this file, so it needs neither torch nor transformers.
"""

import copy
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, repeat
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from diffmask.core.errors import InputError
from diffmask.text.corpus.words import PUNCT, SPACE, char_classes, code_points, types_of, unit_starts
from diffmask.text.segment.type_table import row_of_term

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerBase

UNITS = ("word", "token")
_PIECE_CHARS = 1 << 12
"""Longer texts reach the tokenizer in pieces, cut before spaces: its time and memory grow faster than the text."""
_UNBROKEN_CHARS = 1 << 16
"""In a text without a space for this long, such as a genome, a piece is cut anywhere."""
_LONG_UNIT = 32
"""No word of a language has more tokens."""
_BETWEEN_WORDS = re.compile(r"(?<=\S) (?=\S)")
_JOINER = 0x200D
_FIRST_MARK = 0x300  # below: no mark, no emoji
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_TAGS = range(0xE0020, 0xE0080)  # they spell the flag of a region
_FLAG_LETTERS = (0x1F1E6, 0x1F1FF)  # two of them are a flag


def _words_of_tokens(
    text: str,
    classes: np.ndarray,
    spans: np.ndarray,
    token_rows: np.ndarray,
    *,
    ordinary: np.ndarray,
    blank: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the word of each token, in time linear in tokens and characters.

    Args:
        text: The texts, one a line.
        classes: `char_classes(text)`.
        spans: First and last character (exclusive) of each token in `text`, int64 (T, 2).
        token_rows: Text of each token, rising.
        ordinary: Which tokens are neither special nor unknown.
        blank: Which tokens stand for white space, even if their span says otherwise.

    Returns:
        Word of each token, -1 = none; and first and last character (exclusive) of each word, int64 (W, 2).
    """
    num_tokens = len(spans)
    # tokenizers differ in whether a token's span holds the space before it
    starts, stops = _strip(spans, classes != SPACE)
    solid = (starts < stops) & ~blank
    # a token of white space alone goes with the word after it, so it is moved to where the next solid token stands;
    # one at the end of a text has no such word
    blanks = np.flatnonzero(~solid)
    following = _at_or_after(solid, blanks)
    attached = following < num_tokens
    attached[attached] = token_rows[following[attached]] == token_rows[blanks[attached]]
    starts[blanks[attached]] = starts[following[attached]]
    stops[blanks] = starts[blanks] + attached
    placed = solid.copy()
    placed[blanks] = attached

    # a token opens a unit if no token before it covers a part of the word that it begins in. A token that begins
    # inside a word (a piece of it, a byte of a character) is referred to where that word opens.
    opens = np.append(unit_starts(classes) & ~_continuations(text, classes), False)
    openings = starts.copy()
    inside = np.flatnonzero(~opens[starts])
    openings[inside] = _end_before(opens, starts[inside]) - 1
    covered = np.maximum.accumulate(np.append(0, stops))[:-1]
    begins = placed & (openings >= covered)
    begins[:1] = True
    begins[1:] |= token_rows[1:] != token_rows[:-1]
    return _number(begins, solid & ordinary, ordinary, starts, stops)


def _strip(spans: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last character (exclusive) of each token without the white space at its ends."""
    starts, stops = spans[:, 0].copy(), spans[:, 1].copy()
    visible = np.append(visible, False)
    leading = np.flatnonzero(~visible[starts])
    starts[leading] = np.minimum(_at_or_after(visible, starts[leading]), stops[leading])
    trailing = np.flatnonzero(~visible[stops - 1] & (starts < stops))
    stops[trailing] = _end_before(visible, stops[trailing])
    return starts, stops


def _number(
    begins: np.ndarray, counted: np.ndarray, ordinary: np.ndarray, starts: np.ndarray, stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Number the words that hold something to predict; return the number of each token, and the words' spans."""
    firsts = np.flatnonzero(begins)
    if not len(firsts):
        return np.full(0, -1), np.zeros((0, 2), dtype=np.int64)
    words = np.cumsum(begins) - 1
    # reduceat works on the tokens from each first to the next; tokens that do not count must not widen a span
    present = np.logical_or.reduceat(counted, firsts)
    numbers = np.where(present, np.cumsum(present) - 1, -1)
    starts = np.minimum.reduceat(np.where(counted, starts, np.iinfo(np.int64).max), firsts)
    stops = np.maximum.reduceat(np.where(counted, stops, -1), firsts)
    return np.where(ordinary, numbers[words], -1), np.stack((starts, stops), axis=1)[present]


def _at_or_after(wanted: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the first wanted place at or after each place, or the length if nothing wanted follows."""
    known = np.flatnonzero(wanted) if len(places) else places
    return np.append(known, len(wanted))[known.searchsorted(places)]


def _end_before(wanted: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return one more than the last wanted place before each place, or 0 if nothing wanted comes before."""
    known = np.flatnonzero(wanted) if len(places) else places
    return np.append(known, -1)[known.searchsorted(places) - 1] + 1


def _continuations(text: str, classes: np.ndarray) -> np.ndarray:
    """Return which characters belong to the punctuation or symbol before them, bool, one per code point.

    People see one emoji where there are several code points: a variation selector on a heart, a skin tone, a family
    held together by joiners, the two letters of a flag. Marks on letters have the class of their letter already.
    """
    continues = np.zeros(len(classes), dtype=bool)
    if text.isascii():
        return continues
    points = code_points(text)
    symbols = np.flatnonzero((classes == PUNCT) & (points >= _FIRST_MARK))
    symbols = symbols[symbols > 0]
    symbols = symbols[classes[symbols - 1] != SPACE]
    # few code points are looked up, however often they occur
    known, inverse = np.unique(points[symbols], return_inverse=True)
    extends = np.array([_extends(point) for point in known.tolist()], dtype=bool)
    continues[symbols] = extends[inverse] | (points[symbols - 1] == _JOINER)
    continues |= _second_letters(points)
    return continues


@lru_cache(maxsize=1 << 14)
def _extends(point: int) -> bool:
    return point == _JOINER or point in _SKIN_TONES or point in _TAGS or unicodedata.category(chr(point))[0] == "M"


def _second_letters(points: np.ndarray) -> np.ndarray:
    """Return every second flag letter of those that follow one another: it ends the flag that the one before begins."""
    letters = (points >= _FLAG_LETTERS[0]) & (points <= _FLAG_LETTERS[1])
    places = np.arange(len(points))
    first_letters = np.maximum.accumulate(np.where(letters, -1, places)) + 1
    return letters & ((places - first_letters) % 2 == 1)


def mask_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the id of the mask token.

    Raises:
        InputError: If the tokenizer has no mask token.
    """
    found = tokenizer.mask_token_id
    if found is None:
        raise InputError(
            f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} has no mask token; "
            "use the tokenizer of a masked language model (BERT, RoBERTa, DeBERTa, ModernBERT, ...)"
        )
    assert isinstance(found, int)  # what transformers declares is much wider
    return found


def pad_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the id of the token that fills short rows: 0 without one, which the attention mask hides anyway."""
    found = tokenizer.pad_token_id or 0
    assert isinstance(found, int)
    return found


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return the ids of all special tokens, in order: the named ones, and those that were added as special."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sorted(added | set(tokenizer.all_special_ids))


@dataclass(frozen=True, eq=False)
class Segments:
    """Texts cut into tokens and units; the tokens of all texts stand one after another, and so do their units.

    Attributes:
        input_ids: Token ids without the special tokens that a model adds, int32 (T,).
        units: Unit of each token, counted over all texts, int64 (T,); -1 for special and unknown tokens.
        token_rows: Text of each token, int64 (T,).
        token_spans: First and last character (exclusive) of each token in `text`, int64 (T, 2); with or without the
            white space before it, as the tokenizer says.
        words: Word of each unit, a row of `spans`; int64 (U,).
        spans: First and last character (exclusive) of each word in `text`, int64 (W, 2).
        text: All texts, one a line.
        classes: Class of each character of `text`.
        text_starts: First character of each text, and one past the end; int64 (N + 1,).
        language: Language whose own case and letters count for types.
    """

    input_ids: np.ndarray
    units: np.ndarray
    token_rows: np.ndarray
    token_spans: np.ndarray
    words: np.ndarray
    spans: np.ndarray
    text: str
    classes: np.ndarray
    text_starts: np.ndarray
    language: str | None = None

    @property
    def num_tokens(self) -> np.ndarray:
        """Tokens of each text, int64 (N,)."""
        return np.bincount(self.token_rows, minlength=len(self.text_starts) - 1)

    @property
    def texts(self) -> list[str]:
        """The texts that were segmented."""
        bounds = self.text_starts.tolist()
        return [self.text[start : stop - 1] for start, stop in zip(bounds, bounds[1:], strict=False)]

    @cached_property
    def word_surfaces(self) -> list[str]:
        """Type of each word: that of its text, without punctuation at its edges unless it is all it has."""
        return self.types_in(self.language)

    def types_in(self, language: str | None) -> list[str]:
        """Return the type of each word in a language."""
        text, (starts, stops) = self.text, self.surface_spans.T
        return types_of([text[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)], language)

    @cached_property
    def surface_spans(self) -> np.ndarray:
        """First and last character (exclusive) of each word's surface, int64 (W, 2); its case is in `text`."""
        starts, stops = self.spans[:, 0].copy(), self.spans[:, 1].copy()
        spoken = self.classes > PUNCT
        edges = np.flatnonzero(~(spoken[starts] & spoken[stops - 1]))
        first, last = _at_or_after(spoken, starts[edges]), _end_before(spoken, stops[edges])
        spoken_edges = first < last
        starts[edges], stops[edges] = np.where(spoken_edges, (first, last), (starts[edges], stops[edges]))
        # a normalizer may have dropped the word's last mark, and a piece of it may be unknown
        opens = unit_starts(self.classes)
        inside = np.flatnonzero(~opens[starts])
        starts[inside] = _end_before(opens, starts[inside]) - 1
        goes_on = np.append(spoken & ~opens, False)
        short = np.flatnonzero(goes_on[stops] & spoken[stops - 1])
        stops[short] = _at_or_after(~goes_on, stops[short])
        return np.stack((starts, stops), axis=1)

    @property
    def surfaces(self) -> list[str]:
        """Type of each unit; a unit that is a token has the type of its word."""
        return [self.word_surfaces[word] for word in self.words.tolist()]

    def types(self, row_of: Mapping[str, int], says: Callable[[str], float] = len) -> np.ndarray:
        """Return the row of each unit's type in a table, int32 (U,); -1 where it is not in it.

        Args:
            row_of: Row of each type.
            says: How much a type says of the domain; a token of several words has the type that says most.
        """
        surfaces = self.word_surfaces
        found = np.fromiter(map(row_of.get, surfaces, repeat(-1)), np.int32, len(surfaces))
        for word in np.flatnonzero(found < 0).tolist():
            if surfaces[word][0].isalnum():
                found[word] = row_of_term(surfaces[word], row_of, says, self.language)
        return found[self.words]

    def collapsed(self) -> np.ndarray:
        """Return for which texts the words failed, bool (N,).

        Either more than half of the tokens are in words that no language has, or there are less than half as many words
        as the text has pieces between spaces and punctuation, unknown tokens left out.
        """
        num_texts = len(self.text_starts) - 1
        inside = self.units >= 0
        word_of = self.words[self.units[inside]]
        lengths = np.bincount(word_of, minlength=len(self.spans))
        rows = np.searchsorted(self.text_starts, self.spans[:, 0], side="right") - 1
        num_long = np.bincount(rows, lengths * (lengths > _LONG_UNIT), num_texts)
        spoken = self.classes > PUNCT
        spoken[1:] &= ~spoken[:-1]
        num_before = np.append(0, np.cumsum(spoken))[np.minimum(self.text_starts, len(spoken))]
        num_unknown = np.bincount(self.token_rows[~inside], minlength=num_texts)
        return (2 * num_long > self.num_tokens) | (
            np.diff(num_before) - num_unknown > 2 * np.bincount(rows, minlength=num_texts)
        )


class _SpecialTokens(NamedTuple):
    """What a model family puts around every row: [CLS] ... [SEP], <s> ... </s>, or nothing."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        """How many there are in a row."""
        return len(self.before) + len(self.after)


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Cut texts into tokens and units; needs no transformers, so that a worker starts quickly.

    Attributes:
        backend: The tokenizer, without truncation and padding.
        special_ids: Tokens that are never part of a unit, the unknown token among them; int64.
        blank_ids: Tokens that stand for spaces only ("▁"), even if the tokenizer places them on letters; int64.
        units: `word`, or `token` for units of one token each, with the type of their word.
        language: Language whose own case and letters count for types, see `split_words`.
    """

    backend: "Tokenizer"
    special_ids: np.ndarray
    blank_ids: np.ndarray
    units: str = "word"
    language: str | None = None

    @cached_property
    def special_tokens(self) -> _SpecialTokens:
        """What the tokenizer's own post-processor puts around one text."""
        encoding = self.backend.encode("a", add_special_tokens=True)
        text = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
        first, last = (text[0], text[-1] + 1) if len(text) else (len(encoding), len(encoding))
        return _SpecialTokens(tuple(encoding.ids[:first]), tuple(encoding.ids[last:]))

    def __call__(self, texts: Sequence[str]) -> Segments:
        """Return the tokens of the texts and their units."""
        pieces = [(row, start, text[start:stop]) for row, text in enumerate(texts) for start, stop in _pieces(text)]
        encodings = self.backend.encode_batch([text for _, _, text in pieces], add_special_tokens=False)
        num_tokens = [len(encoding) for encoding in encodings]
        ids, spans = _token_arrays(encodings, sum(num_tokens))
        token_rows = np.repeat([row for row, _, _ in pieces], num_tokens).astype(np.int64)
        text_starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
        shifts = [text_starts[row] + start for row, start, _ in pieces]
        spans += np.repeat(shifts, num_tokens).astype(np.int64)[:, None]
        text = "\n".join(texts)
        classes = char_classes(text)
        ordinary, blank = ~np.isin(ids, self.special_ids), np.isin(ids, self.blank_ids)
        word_of, word_spans = _words_of_tokens(text, classes, spans, token_rows, ordinary=ordinary, blank=blank)
        if self.units == "word":
            units, words = word_of, np.arange(len(word_spans))
        else:
            member = word_of >= 0
            units, words = np.where(member, np.cumsum(member) - 1, -1), word_of[member]
        return Segments(ids, units, token_rows, spans, words, word_spans, text, classes, text_starts, self.language)


def segmenter_for(tokenizer: "PreTrainedTokenizerBase", units: str = "word", language: str | None = None) -> Segmenter:
    """Return the segmenter for a tokenizer, which is not changed.

    Raises:
        InputError: If the units are unknown, or the tokenizer is a slow one.
    """
    if units not in UNITS:
        raise InputError(f"unknown units {units!r}; choose from: {', '.join(UNITS)}")
    if not tokenizer.is_fast:
        raise InputError(
            f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} is a slow one, which does not say "
            "where its tokens are in the text; use a model that has a tokenizer.json"
        )
    backend = copy.deepcopy(cast("Tokenizer", tokenizer.backend_tokenizer))
    backend.no_padding()
    backend.no_truncation()
    blanks = [backend.token_to_id("▁" * width) for width in range(1, 17)]
    blank_ids = [blank for blank in blanks if blank is not None]
    special, blank = (np.array(ids, dtype=np.int64) for ids in (special_ids(tokenizer), blank_ids))
    return Segmenter(backend, special, blank, units, language)


def _token_arrays(encodings: "Sequence[Encoding]", num_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, num_tokens)
    pairs = chain.from_iterable(encoding.offsets for encoding in encodings)
    return ids, np.fromiter(chain.from_iterable(pairs), np.int64, 2 * num_tokens).reshape(-1, 2)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Cut a long text before spaces."""
    start = 0
    while len(text) - start > _PIECE_CHARS:
        near = start + _PIECE_CHARS
        stop = text.rfind(" ", start + 1, near)
        if stop < 0 or text[stop - 1].isspace() or text[stop + 1].isspace():
            # a cut inside white space would change tokens: some tokenizers read several spaces as one
            match = _BETWEEN_WORDS.search(text, near, start + _UNBROKEN_CHARS)
            stop = match.start() if match else min(start + _UNBROKEN_CHARS, len(text))
        yield start, stop
        start = stop
    yield start, len(text)
