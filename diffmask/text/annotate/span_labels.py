"""Labelled spans: stretches of text that carry a label, and the units that begin in them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from diffmask.text.segment.annotate import STARTS
from diffmask.text.segment.segmenter import Segments

CLASSES = "classes"
"""Column of classes: the row of each unit's class in the annotator's names, -1 = none."""
SALIENT = "salient"
"""Column of salient spans: the row of the label of the span that the unit is in, -1 = in none."""

Span = tuple[int, int, int]
"""First character, one after the last, and row of the label."""


class LabelledSpans(NamedTuple):
    """Spans that do not overlap, in order."""

    starts: np.ndarray
    """First character of each, int64 (S,)."""
    stops: np.ndarray
    """One after the last character, int64 (S,)."""
    labels: np.ndarray
    """Row of its label, int32 (S,)."""


def longest_first(spans: Iterable[Span]) -> LabelledSpans:
    """Keep the longest of spans that overlap; of equally long ones the first, and of equal ones the smaller label.

    >>> longest_first([(4, 9, 0), (0, 5, 1), (5, 6, 2), (9, 12, 3)]).starts.tolist()
    [0, 5, 9]
    >>> longest_first([(4, 9, 0), (0, 4, 1), (3, 6, 2)]).starts.tolist()
    [0, 4]
    """
    rows = np.array(sorted(set(spans)), dtype=np.int64).reshape(-1, 3)
    starts, stops = rows[:, 0], rows[:, 1]
    if (starts[1:] < stops[:-1]).any():
        rows = rows[_chosen(starts, stops)]
    return LabelledSpans(rows[:, 0], rows[:, 1], rows[:, 2].astype(np.int32))


def _chosen(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the rows of the spans that are kept; those apart from all others need no decision."""
    # groups of spans that overlap in a chain
    furthest = np.maximum.accumulate(stops)
    group = np.cumsum(np.append(True, starts[1:] >= furthest[:-1]))
    alone = np.bincount(group)[group] == 1
    kept = np.flatnonzero(alone).tolist()
    crowded = np.flatnonzero(~alone)
    taken: dict[int, list[tuple[int, int]]] = {}
    for row in crowded[np.lexsort((crowded, starts[crowded] - stops[crowded]))].tolist():
        start, stop = int(starts[row]), int(stops[row])
        others = taken.setdefault(int(group[row]), [])
        if all(stop <= first or last <= start for first, last in others):
            others.append((start, stop))
            kept.append(row)
    return np.sort(np.array(kept, dtype=np.int64))


def texts_of(segments: Segments) -> list[str]:
    """Return the texts that were segmented."""
    bounds = segments.text_starts.tolist()
    return [segments.text[start : stop - 1] for start, stop in zip(bounds, bounds[1:], strict=False)]


def span_classes(segments: Segments, spans: LabelledSpans) -> dict[str, np.ndarray]:
    """Return the label of the span in which the first character of each unit's word lies, as its class."""
    return {CLASSES: _labels(spans, _covering(segments, spans))[segments.words]}


def salient_units(segments: Segments, spans: LabelledSpans) -> dict[str, np.ndarray]:
    """Return the label of the span that each unit is in, and where the groups of units open that are one span.

    A word is in a span if its first character is, and so are hyphens and punctuation between its words. What is in no
    span is a group of its own.
    """
    of_word = _covering(segments, spans)
    of_unit = of_word[segments.words]
    first_chars = segments.surface_spans[:, 0][segments.words]
    rows = np.searchsorted(segments.text_starts, first_chars, side="right")
    opens = np.ones(len(of_unit), dtype=np.int32)
    opens[1:] = (of_unit[1:] < 0) | (of_unit[1:] != of_unit[:-1]) | (rows[1:] != rows[:-1])
    return {SALIENT: _labels(spans, of_word)[segments.words], STARTS: opens}


def _covering(segments: Segments, spans: LabelledSpans) -> np.ndarray:
    """Return the span that the first character of each word lies in, int64 (W,); -1 = none."""
    if not len(spans.starts):
        return np.full(len(segments.spans), -1)
    places = segments.surface_spans[:, 0]
    before = spans.starts.searchsorted(places, side="right") - 1
    return np.where((before >= 0) & (places < spans.stops[before]), before, -1)


def _labels(spans: LabelledSpans, rows: np.ndarray) -> np.ndarray:
    """Return the label of each span of `_covering`, int32; -1 = none."""
    return np.append(spans.labels, np.int32(-1))[rows].astype(np.int32)
