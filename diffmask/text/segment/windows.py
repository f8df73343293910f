"""Windows: long documents cut into rows that a model can read, between words; nothing of a text is left out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class SpecialTokens:
    """What a model family puts around every row: [CLS] ... [SEP], <s> ... </s>, or nothing."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def __len__(self) -> int:
        """Return how many there are in a row."""
        return len(self.before) + len(self.after)


def special_tokens_of(backend: "Tokenizer") -> SpecialTokens:
    """Return the special tokens that a tokenizer's own post-processor puts around one text."""
    encoding = backend.encode("a", add_special_tokens=True)
    text = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
    first, last = (text[0], text[-1] + 1) if len(text) else (len(encoding), len(encoding))
    return SpecialTokens(tuple(encoding.ids[:first]), tuple(encoding.ids[last:]))


@dataclass(frozen=True, eq=False)
class Windows:
    """Where the windows of many documents begin and end; int64 (R,) each, documents in order.

    Attributes:
        starts: First token, counted over all documents.
        stops: One after the last token.
        documents: Document of each window.
        numbers: Place among the windows of its document, from 0.
        num_cut_units: Units that are longer than a window, and so were cut.
    """

    starts: np.ndarray
    stops: np.ndarray
    documents: np.ndarray
    numbers: np.ndarray
    num_cut_units: int


def cut_windows(units: np.ndarray, num_tokens: np.ndarray, size: int, overlap: int = 0) -> Windows:
    """Cut documents into windows of at most `size` tokens, which begin and end between units where possible.

    Args:
        units: Unit of each token of all documents, rising; -1 = none.
        num_tokens: Tokens of each document, int64 (N,).
        size: Most tokens in a window.
        overlap: A window repeats up to so many of the last tokens of the one before, as whole units; below `size`.
    """
    assert 0 <= overlap < size
    stops = np.cumsum(num_tokens)
    starts = stops - num_tokens
    cuts = np.ones(len(units) + 1, dtype=bool)  # may a window begin here?
    cuts[1:-1] = (units[1:] != units[:-1]) | (units[1:] < 0)
    num_cut_units = 0
    long = num_tokens > size
    short = np.flatnonzero(~long)
    pieces = [(starts[short], stops[short], short, np.zeros(len(short), dtype=np.int64))]
    for document in np.flatnonzero(long).tolist():
        first, last = int(starts[document]), int(stops[document])
        spans, num_cut = _cut_document(np.flatnonzero(cuts[first : last + 1]), last - first, size, overlap)
        num_cut_units += num_cut
        pieces.append((first + spans[:, 0], first + spans[:, 1], np.full(len(spans), document), np.arange(len(spans))))
    starts, stops, documents, numbers = (np.concatenate(part) for part in zip(*pieces, strict=True))
    order = np.argsort(documents, kind="stable")
    return Windows(starts[order], stops[order], documents[order], numbers[order], num_cut_units)


def _cut_document(places: np.ndarray, num_tokens: int, size: int, overlap: int) -> tuple[np.ndarray, int]:
    """Return first and last token (exclusive) of each window, and how many units had to be cut."""
    spans: list[tuple[int, int]] = []
    start, done, num_cut, inside = 0, 0, 0, False
    while done < num_tokens:
        stop = min(start + size, num_tokens)
        if stop < num_tokens:
            between = int(places[places.searchsorted(stop, side="right") - 1])
            if between <= done and start < done:
                start = done  # the next unit fits only without the repeated ones
                continue
            num_cut += between <= done and not inside
            inside = between <= done
            stop = stop if inside else between
        spans.append((start, stop))
        done = stop
        start = min(done, int(places[places.searchsorted(done - overlap)]))
    return np.array(spans, dtype=np.int64), num_cut
