"""Texts as a masker meets them: cut into units, with the text of each unit and where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from diffmask.core.types import Types
from diffmask.core.units import Units
from diffmask.text.adapter import TextAdapter
from diffmask.text.blocks import Block
from diffmask.text.dataset import TokeniseSettings, row_maker
from diffmask.text.segment import segmenter_for


class Span(NamedTuple):
    """Where a unit stands in its text: first character, last (exclusive), and number of the unit."""

    start: int
    stop: int
    unit: int


@dataclass(frozen=True, eq=False)
class Cut:
    """A batch of texts cut into units.

    Attributes:
        units: What a masker is handed; its types are rows of the anchors' table.
        surfaces: Every type that occurs.
        surface_rows: Row of each unit in `surfaces`, int (B, U); -1 = padding or a special token.
        spans: For each row the units in the order of the text; empty where a row is not one whole text.
    """

    units: Units
    surfaces: list[str]
    surface_rows: Types
    spans: list[list[Span]]


def cut_texts(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, adapter: TextAdapter, types: Sequence[str]
) -> Cut:
    """Cut short texts, each a row of its own.

    Args:
        texts: Sentences.
        tokenizer: Any fast tokenizer.
        adapter: Says what a unit is.
        types: The anchors' table of types.
    """
    segments = segmenter_for(tokenizer)(texts)
    surfaces, surface_of = _index(segments.word_surfaces)
    rows, spans = [], []
    for number, (text, start) in enumerate(zip(texts, segments.text_starts.tolist(), strict=False)):
        tokens = np.flatnonzero(segments.token_rows == number)
        units = segments.units[tokens]
        first, stop = _range(units[units >= 0])
        row = {
            "input_ids": segments.input_ids[tokens],
            "unit_ids": np.where(units < 0, -1, units - first),
            "types": [surface_of[surface] for surface in segments.word_surfaces[first:stop]],
            "sample_id": number,
        }
        rows.append(row)
        if adapter.granularity == "word":
            places = [(a, b, unit) for unit, (a, b) in enumerate((segments.spans[first:stop] - start).tolist())]
        else:
            ends = (segments.token_spans[tokens] - start).tolist()
            places = [(a, b, position) for position, (a, b) in enumerate(ends) if units[position] >= 0]
        spans.append(_tidy(text, places))
    return _cut(rows, adapter, surfaces, types, spans)


def cut_documents(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    adapter: TextAdapter,
    types: Sequence[str],
    max_length: int,
) -> Cut:
    """Cut documents into the rows that training makes of them.

    Args:
        texts: Documents of any length.
        tokenizer: Any fast tokenizer.
        adapter: Says what a unit is.
        types: The anchors' table of types.
        max_length: Most tokens of a row.
    """
    surfaces, _ = _index(segmenter_for(tokenizer)(texts).word_surfaces)
    make_rows = row_maker(tokenizer, TokeniseSettings(max_length, units=adapter.granularity), surfaces)
    made = make_rows(Block("sample", 1, 1.0, list(texts))).batch.to_pylist()
    rows = [row | {"sample_id": number} for number, row in enumerate(made)]
    return _cut(rows, adapter, surfaces, types, [[] for _ in rows])


def _index(surfaces: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    distinct = list(dict.fromkeys(surfaces))
    return distinct, {surface: row for row, surface in enumerate(distinct)}


def _range(units: np.ndarray) -> tuple[int, int]:
    return (int(units.min()), int(units.max()) + 1) if len(units) else (0, 0)


def _cut(
    rows: list[Mapping[str, Any]],
    adapter: TextAdapter,
    surfaces: list[str],
    types: Sequence[str],
    spans: list[list[Span]],
) -> Cut:
    """Pad the rows, whose types are rows of `surfaces`, and look these up in the anchors' table."""
    units = adapter.units(adapter.pad(rows))
    assert units.types is not None
    own = units.types.where(units.eligible, -1)
    row_of = {word: row for row, word in enumerate(types)}
    lookup = torch.tensor([*(row_of.get(surface, -1) for surface in surfaces), -1])
    return Cut(replace(units, types=lookup[own]), surfaces, own, spans)


def _tidy(text: str, places: Sequence[tuple[int, int, int]]) -> list[Span]:
    """Drop the white space that some tokenizers count to a token, and what lies under two tokens from the second."""
    spans, done = [], 0
    for start, stop, unit in places:
        start = max(start, done)
        while start < stop and text[start].isspace():
            start += 1
        while start < stop and text[stop - 1].isspace():
            stop -= 1
        if start < stop:
            spans.append(Span(int(start), int(stop), int(unit)))
            done = stop
    return spans
