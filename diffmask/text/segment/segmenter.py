"""Segment: the tokens of texts grouped into words, for any fast tokenizer.

Where a word begins is read off the text (`corpus.words`), through the character offsets of the tokens: a token
opens a unit if a word, a character of a script without spaces, or a punctuation character begins where it begins. A
tokenizer's own `word_ids` are not asked, because they answer another question: they cut at digits and contractions for
RoBERTa and ModernBERT ("covid", "19"), nowhere but at spaces for XLM-R, ALBERT, T5, DeBERTa-v2 and BigBird
("(vitro)."), and offsets hold the leading space for some and not for others. The text gives the same words to all, and
the same types that are counted. `docs/words.md` shows them.

A boundary never falls inside a character: tokens that share one (bytes of an emoji, pieces of a ligature) belong
together. A token of white space alone ("▁") belongs to the word that follows it.

Group: which tokens make a word, from where they stand in the text; arrays in, arrays out.

The ids of special tokens; needs neither torch nor transformers.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import TYPE_CHECKING, cast

import numpy as np

from diffmask.core.errors import InputError
from diffmask.text.corpus.words import PUNCT, SPACE, char_classes, continuations, split_words, unit_starts

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerBase


def _group(
    text: str,
    classes: np.ndarray,
    spans: np.ndarray,
    token_rows: np.ndarray,
    *,
    ordinary: np.ndarray,
    blank: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Group tokens into words, in time linear in tokens and characters.

    Args:
        text: The texts, one a line.
        classes: `char_classes(text)`.
        spans: First and last character (exclusive) of each token in `text`, int64 (T, 2).
        token_rows: Text of each token, rising.
        ordinary: Which tokens are neither special nor unknown.
        blank: Which tokens stand for white space, whatever their span says.

    Returns:
        Word of each token, -1 = none; and first and last character (exclusive) of each word, int64 (W, 2).
    """
    num_tokens = len(spans)
    starts, stops = _strip(spans, classes != SPACE)
    solid = (starts < stops) & ~blank
    # white space alone: it stands where the next solid token of its text does
    blanks = np.flatnonzero(~solid)
    following = at_or_after(solid, blanks)
    attached = following < num_tokens
    attached[attached] = token_rows[following[attached]] == token_rows[blanks[attached]]
    starts[blanks[attached]] = starts[following[attached]]
    stops[blanks] = starts[blanks] + attached
    placed = solid.copy()
    placed[blanks] = attached

    # a token opens a unit if nothing of the word that it begins in was covered before
    opens = np.append(unit_starts(classes) & ~continuations(text, classes), False)
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
    starts[leading] = np.minimum(at_or_after(visible, starts[leading]), stops[leading])
    trailing = np.flatnonzero(~visible[stops - 1] & (starts < stops))
    stops[trailing] = _end_before(visible, stops[trailing])
    return starts, stops


def _number(
    begins: np.ndarray, counted: np.ndarray, ordinary: np.ndarray, starts: np.ndarray, stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Number the groups that hold something to predict; return them by token, and their spans."""
    firsts = np.flatnonzero(begins)
    if not len(firsts):
        return np.full(0, -1), np.zeros((0, 2), dtype=np.int64)
    groups = np.cumsum(begins) - 1
    present = np.logical_or.reduceat(counted, firsts)
    numbers = np.where(present, np.cumsum(present) - 1, -1)
    starts = np.minimum.reduceat(np.where(counted, starts, np.iinfo(np.int64).max), firsts)
    stops = np.maximum.reduceat(np.where(counted, stops, -1), firsts)
    return np.where(ordinary, numbers[groups], -1), np.stack((starts, stops), axis=1)[present]


def at_or_after(flags: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the first true place at or after each place; the length where there is none."""
    true = np.flatnonzero(flags) if len(places) else places
    return np.append(true, len(flags))[true.searchsorted(places)]


def _end_before(flags: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return one more than the last true place before each place; 0 where there is none."""
    true = np.flatnonzero(flags) if len(places) else places
    return np.append(true, -1)[true.searchsorted(places) - 1] + 1


def mask_token(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the id of the mask token.

    Raises:
        InputError: If there is none.
    """
    mask_id = special_id(tokenizer.mask_token_id)
    if mask_id is None:
        raise InputError(
            f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} has no mask token; "
            "use the tokenizer of a masked language model (BERT, RoBERTa, DeBERTa, ModernBERT, ...)"
        )
    return mask_id


def special_id(value: object) -> int | None:
    """Return the id of a special token as transformers gives it, or None; its declared type says much more."""
    assert value is None or isinstance(value, int)
    return value


def pad_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the id of the token that fills short rows: 0 without one, which the attention mask leaves out anyway."""
    return special_id(tokenizer.pad_token_id) or 0


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return the ids of all special tokens, in order: the named ones, and those that were added as special."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sorted(added | set(tokenizer.all_special_ids))


UNITS = ("word", "token")
PIECE_CHARS = 1 << 12
"""Longer texts reach the tokenizer in pieces, cut before spaces: its time and memory grow faster than the text."""
UNBROKEN_CHARS = 1 << 16
"""Where there is no space for so long, as in a genome, a piece is cut anywhere."""
LONG_UNIT = 32
"""No word of a language has more tokens."""

_BETWEEN_WORDS = re.compile(r"(?<=\S) (?=\S)")


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

    @property
    def num_tokens(self) -> np.ndarray:
        """Tokens of each text, int64 (N,)."""
        return np.bincount(self.token_rows, minlength=len(self.text_starts) - 1)

    @cached_property
    def word_surfaces(self) -> list[str]:
        """Type of each word: its text in lower case, without punctuation at its edges unless it is all it has."""
        text, (starts, stops) = self.text, self.surface_spans.T
        if text.isascii():
            text = text.lower()
            return [text[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        # one by one: lower case may be longer, and a final sigma is final in its word
        return [text[a:b].lower() for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]

    @cached_property
    def surface_spans(self) -> np.ndarray:
        """First and last character (exclusive) of each word's surface, int64 (W, 2); its case is in `text`."""
        starts, stops = self.spans[:, 0].copy(), self.spans[:, 1].copy()
        spoken = self.classes > PUNCT
        edges = np.flatnonzero(~(spoken[starts] & spoken[stops - 1]))
        first, last = at_or_after(spoken, starts[edges]), _end_before(spoken, stops[edges])
        spoken_edges = first < last
        starts[edges], stops[edges] = np.where(spoken_edges, (first, last), (starts[edges], stops[edges]))
        # a normalizer may have dropped the word's last mark, and a piece of it may be unknown
        opens = unit_starts(self.classes)
        inside = np.flatnonzero(~opens[starts])
        starts[inside] = _end_before(opens, starts[inside]) - 1
        goes_on = np.append(spoken & ~opens, False)
        short = np.flatnonzero(goes_on[stops] & spoken[stops - 1])
        stops[short] = at_or_after(~goes_on, stops[short])
        return np.stack((starts, stops), axis=1)

    @property
    def surfaces(self) -> list[str]:
        """Type of each unit; a unit that is a token has the type of its word."""
        return [self.word_surfaces[word] for word in self.words.tolist()]

    def types(self, row_of: dict[str, int]) -> np.ndarray:
        """Return the row of each unit's type in a table, int32 (U,); -1 where it is not in it.

        A token of several words (SentencePiece has such of Chinese characters) has the type of the first known one.
        """
        surfaces = self.word_surfaces
        found = np.fromiter(map(row_of.get, surfaces, repeat(-1)), np.int32, len(surfaces))
        for word in np.flatnonzero(found < 0).tolist():
            if surfaces[word][0].isalnum():
                found[word] = next((row_of[part] for part in split_words(surfaces[word]) if part in row_of), -1)
        return found[self.words]

    def collapsed(self) -> np.ndarray:
        """Return for which texts the words failed, bool (N,): most tokens are in endless ones, or most are missing."""
        num_texts = len(self.text_starts) - 1
        inside = self.units >= 0
        word_of = self.words[self.units[inside]]
        lengths = np.bincount(word_of, minlength=len(self.spans))
        rows = np.searchsorted(self.text_starts, self.spans[:, 0], side="right") - 1
        num_long = np.bincount(rows, lengths * (lengths > LONG_UNIT), num_texts)
        spoken = self.classes > PUNCT
        spoken[1:] &= ~spoken[:-1]
        num_before = np.append(0, np.cumsum(spoken))[np.minimum(self.text_starts, len(spoken))]
        num_unknown = np.bincount(self.token_rows[~inside], minlength=num_texts)
        return (2 * num_long > self.num_tokens) | (
            np.diff(num_before) - num_unknown > 2 * np.bincount(rows, minlength=num_texts)
        )


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Cut texts into tokens and units; needs no transformers, so that a worker starts quickly.

    Attributes:
        backend: The tokenizer, without truncation and padding.
        special_ids: Tokens that are never part of a unit, the unknown token among them; int64.
        blank_ids: Tokens that only stand for a space ("▁"), wherever the tokenizer says that they stand; int64.
        units: `word`, or `token` for units of one token each, with the type of their word.
    """

    backend: "Tokenizer"
    special_ids: np.ndarray
    blank_ids: np.ndarray
    units: str = "word"

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
        word_of, word_spans = _group(text, classes, spans, token_rows, ordinary=ordinary, blank=blank)
        if self.units == "word":
            words = np.arange(len(word_spans))
            return Segments(ids, word_of, token_rows, spans, words, word_spans, text, classes, text_starts)
        member = word_of >= 0
        tokens = np.where(member, np.cumsum(member) - 1, -1)
        return Segments(ids, tokens, token_rows, spans, word_of[member], word_spans, text, classes, text_starts)


def segmenter_for(tokenizer: "PreTrainedTokenizerBase", units: str = "word") -> Segmenter:
    """Return the segmenter for a tokenizer, which is not changed.

    Raises:
        InputError: If the units are unknown, or the tokenizer is a slow one.
    """
    if units not in UNITS:
        raise InputError(f"unknown units {units!r}; choose from: {', '.join(UNITS)}")
    if not tokenizer.is_fast:
        raise InputError(
            f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} is a slow one, which does not tell "
            "where its tokens stand in the text; use a model that has a tokenizer.json"
        )
    backend = copy.deepcopy(cast("Tokenizer", tokenizer.backend_tokenizer))
    backend.no_padding()
    backend.no_truncation()
    blanks = [backend.token_to_id("▁" * width) for width in range(1, 17)]
    blank_ids = [blank for blank in blanks if blank is not None]
    return Segmenter(
        backend, np.array(special_ids(tokenizer), dtype=np.int64), np.array(blank_ids, dtype=np.int64), units
    )


def _token_arrays(encodings: "Sequence[Encoding]", num_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, num_tokens)
    pairs = chain.from_iterable(encoding.offsets for encoding in encodings)
    return ids, np.fromiter(chain.from_iterable(pairs), np.int64, 2 * num_tokens).reshape(-1, 2)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Cut a long text before spaces."""
    start = 0
    while len(text) - start > PIECE_CHARS:
        near = start + PIECE_CHARS
        stop = text.rfind(" ", start + 1, near)
        if stop < 0 or text[stop - 1].isspace() or text[stop + 1].isspace():
            # not in white space, which some tokenizers read as one
            match = _BETWEEN_WORDS.search(text, near, start + UNBROKEN_CHARS)
            stop = match.start() if match else min(start + UNBROKEN_CHARS, len(text))
        yield start, stop
        start = stop
    yield start, len(text)
