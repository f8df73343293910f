"""Group: which tokens make a word, from where they stand in the text; arrays in, arrays out."""

import numpy as np

from diffmask.text.corpus.characters import continuations
from diffmask.text.corpus.words import SPACE, unit_starts


def group(
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
    openings[inside] = end_before(opens, starts[inside]) - 1
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
    stops[trailing] = end_before(visible, stops[trailing])
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


def end_before(flags: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return one more than the last true place before each place; 0 where there is none."""
    true = np.flatnonzero(flags) if len(places) else places
    return np.append(true, -1)[true.searchsorted(places) - 1] + 1
