"""A gazetteer: phrases that are salient wherever they stand, such as the names of a domain's substances.

A phrase is found by its words, whatever their case. Between two words stands what stands there in the phrase, but one
or more spaces, a line's end and a hyphen are the same: "acetyl CoA" is found in "Acetyl-CoA", not in "acetyl, CoA".
"""

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diffmask.core.errors import InputError
from diffmask.text.annotate.lexicon import decoded_lines, read_text_file
from diffmask.text.annotate.span_labels import SALIENT, longest_first, salient_units
from diffmask.text.corpus.words import LETTER, UNSPACED, char_classes, split_words, unit_starts
from diffmask.text.segment.annotate import STARTS
from diffmask.text.segment.group import at_or_after
from diffmask.text.segment.segmenter import Segments

DEFAULT_LABEL = "phrase"
"""Of phrases without a tab and a label."""
_HYPHENS = "-\u00ad\u2010\u2011\u2012\u2013\u2212"


@dataclass(slots=True)
class _Node:
    """Where phrases that begin alike part: the next words, each behind what stands before it."""

    children: dict[str, "_Node"] = field(default_factory=dict)
    label: str | None = None


@dataclass(frozen=True)
class GazetteerSalient:
    """Phrases of a file are salient.

    Attributes:
        path: The file.
        key: Hash of its content.
        names: Its labels, sorted.
    """

    path: str
    key: str
    names: tuple[str, ...]
    columns: tuple[str, ...] = field(default=(SALIENT, STARTS), init=False)

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the label of each unit's phrase, and where phrases begin."""
        root = _phrases(self.path, self.key)
        row_of = {name: row for row, name in enumerate(self.names)}
        text = segments.text
        words = split_words(text)
        starts, stops = _word_spans(segments.classes)
        rows = np.searchsorted(segments.text_starts, starts, side="right").tolist()
        starts, stops = starts.tolist(), stops.tolist()
        assert len(words) == len(starts)
        found = []
        for first in [place for place, word in enumerate(words) if word in root.children]:
            node, last = root.children[words[first]], first
            while node is not None:
                if node.label is not None:
                    found.append((starts[first], stops[last], row_of[node.label]))
                last += 1
                if not node.children or last == len(words) or rows[last] != rows[first]:
                    break
                node = node.children.get(_plain_gap(text[stops[last - 1] : starts[last]]) + words[last])
        return salient_units(segments, longest_first(found))


def read_gazetteer(path: str | Path) -> GazetteerSalient:
    """Read a gazetteer and check every line of it: a phrase, or a phrase, a tab and its label.

    Raises:
        InputError: If it is not such a file, a line holds no word, or a phrase has two labels.
    """
    path = Path(path).absolute()
    data = read_text_file(path, "gazetteer")
    labels = _parse(path, data)
    if not labels:
        raise InputError(f"the gazetteer {path} has no phrase in it; write one in each line")
    return GazetteerSalient(
        str(path), f"gazetteer {hashlib.sha256(data).hexdigest()}", tuple(sorted(set(labels.values())))
    )


def _parse(path: Path, data: bytes) -> dict[tuple[str, ...], str]:
    """Return the label of each phrase: of its words, each behind what stands before it."""
    labels: dict[tuple[str, ...], str] = {}
    first_lines: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(decoded_lines(path, data), 1):
        if not line.strip():
            continue
        phrase, *rest = [cell.strip() for cell in line.strip().split("\t")]
        words = split_words(phrase)
        if not words or len(rest) > 1:
            reason = "more than one tab" if rest else "no word"
            raise InputError(f"{path}: line {number} has {reason}; write a phrase, or a phrase, a tab and its label")
        label = rest[0] if rest else DEFAULT_LABEL
        starts, stops = (ends.tolist() for ends in _word_spans(char_classes(phrase)))
        gaps = ["", *(_plain_gap(phrase[stop:start]) for stop, start in zip(stops, starts[1:], strict=False))]
        steps = tuple(gap + word for gap, word in zip(gaps, words, strict=True))
        if labels.setdefault(steps, label) != label:
            raise InputError(
                f"{path}: lines {first_lines[steps]} and {number} give {phrase!r} two labels, "
                f"{labels[steps]!r} and {label!r}; keep one"
            )
        first_lines.setdefault(steps, number)
    return labels


@functools.lru_cache(maxsize=4)
def _phrases(path: str, key: str) -> _Node:
    """Return the phrases of a file as a tree; read once in each process."""
    root = _Node()
    for steps, label in _parse(Path(path), read_text_file(Path(path), "gazetteer")).items():
        node = root
        for step in steps:
            node = node.children.setdefault(step, _Node())
        node.label = label
    return root


@functools.lru_cache(maxsize=1 << 12)
def _plain_gap(gap: str) -> str:
    return "".join(char for char in gap if not char.isspace() and char not in _HYPHENS) or (" " if gap else "")


def _word_spans(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last character (exclusive) of each word of `split_words`."""
    opens = unit_starts(classes)
    starts = np.flatnonzero(opens & ((classes == LETTER) | (classes == UNSPACED)))
    return starts, at_or_after(opens | (classes < UNSPACED), starts + 1)
