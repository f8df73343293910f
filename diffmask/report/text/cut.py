"""Texts cut into units as a masker sees them, each with its place; and which texts of a corpus a report shows.

The choice depends on the corpus alone.
"""

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.core.types import Types
from diffmask.files.blocks import Block
from diffmask.report.text.look import TextLook, Traits
from diffmask.text.corpus.documents import Document
from diffmask.text.corpus.words import split_words
from diffmask.text.score.position_scores import unit_scores
from diffmask.text.segment.rows import STARTS
from diffmask.text.segment.segmenter import Segments, segmenter_for
from diffmask.text.segment.tokenise import TokeniseSettings, row_maker
from diffmask.text.segment.type_table import TypeTable


class Span(NamedTuple):
    """The place of a unit in its text: first character, last (exclusive), and number of the unit."""

    start: int
    stop: int
    unit: int


@dataclass(frozen=True, eq=False)
class Cut:
    """A batch of texts cut into units.

    Attributes:
        batch: What an adapter makes units of; its types are rows of the anchors' table.
        surfaces: Every type that occurs.
        surface_rows: Row in `surfaces` of each of the smallest units, int (B, U); -1 = padding or a special token.
        spans: For each row the smallest units in the order of the text; empty where a row is not one whole text.
    """

    batch: dict[str, Tensor]
    surfaces: list[str]
    surface_rows: Types
    spans: list[list[Span]]

    @classmethod
    def of_texts(
        cls,
        excerpts: Sequence[tuple[str, str]],
        tokenizer: PreTrainedTokenizerBase,
        look: TextLook,
        types: Sequence[str],
    ) -> Self:
        """Cut short texts, each a row of its own.

        Args:
            excerpts: Sentences, each with its document, which is what annotators read.
            tokenizer: Any fast tokenizer.
            look: Says what a unit is, and what is known of it.
            types: The anchors' table of types; may be empty.
        """
        segmenter = segmenter_for(tokenizer, language=TypeTable.of(types).language)
        texts = [text for text, _ in excerpts]
        segments = segmenter(texts)
        surfaces, surface_of = _index(segments.word_surfaces)
        documents = segmenter([document for _, document in excerpts]) if look.annotators else segments
        annotated = _annotate(look, segments, documents)
        before, after = segmenter.special_tokens.before, segmenter.special_tokens.after
        rows, spans = [], []
        for number, text in enumerate(texts):
            tokens = np.flatnonzero(segments.token_rows == number)
            units = segments.units[tokens]
            first, stop = _range(units[units >= 0])
            ids = np.concatenate([before, segments.input_ids[tokens], after])
            edges = (np.full(len(before), -1), np.full(len(after), -1))
            numbers = np.concatenate([edges[0], np.where(units < 0, -1, units - first), edges[1]])
            row = {
                "input_ids": ids.astype(np.int64),
                "unit_ids": numbers.astype(np.int64),
                "types": [surface_of[surface] for surface in segments.word_surfaces[first:stop]],
                "sample_id": number,
            }
            rows.append(row | {name: values[first:stop].tolist() for name, values in annotated.items()})
            places = _places(segments, number, tokens, (first, stop), len(before) if look.shows_tokens else None)
            spans.append(_tidy(text, places))
        return cls._of_rows(rows, look, surfaces, types, spans)

    @classmethod
    def of_documents(
        cls,
        texts: Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        look: TextLook,
        types: Sequence[str],
        max_length: int,
    ) -> Self:
        """Cut documents into the rows that training makes of them.

        Args:
            texts: Documents of any length.
            tokenizer: Any fast tokenizer.
            look: Says what a unit is, and what is known of it.
            types: The anchors' table of types; may be empty.
            max_length: Most tokens of a row.
        """
        language = TypeTable.of(types).language
        surfaces, _ = _index(segmenter_for(tokenizer, language=language)(texts).word_surfaces)
        settings = TokeniseSettings(max_length, annotators=look.annotators)
        table = TypeTable(surfaces, language)
        made = row_maker(tokenizer, settings, table)(Block("sample", 1, 1.0, list(texts))).batch.to_pylist()
        rows = [row | {"sample_id": number} for number, row in enumerate(made)]
        return cls._of_rows(rows, look, surfaces, types, [[] for _ in rows])

    @classmethod
    def _of_rows(
        cls,
        rows: list[Mapping[str, Any]],
        look: TextLook,
        surfaces: list[str],
        types: Sequence[str],
        spans: list[list[Span]],
    ) -> Self:
        """Pad the rows, whose types are rows of `surfaces`, and look these up in the anchors' table."""
        batch = look.adapter.pad(rows)
        for scorer in look.scorers:
            batch[scorer.column] = unit_scores(scorer, batch).cpu()
        smallest = look.adapter.units(batch, 0).smallest
        assert smallest.types is not None
        own = smallest.types.where(smallest.eligible, -1)
        lookup = torch.tensor([*map(TypeTable.of(types).row, surfaces), -1])
        return cls(batch | {"types": lookup[batch["types"]]}, surfaces, own, spans)


def _annotate(look: TextLook, texts: Segments, documents: Segments) -> dict[str, np.ndarray]:
    """Return the values of the words of texts, from the documents that hold the texts."""
    if not look.annotators:
        return {}
    words = [_within(texts, documents, number) for number in range(len(texts.text_starts) - 1)]
    held = np.concatenate([np.zeros(0, dtype=np.int64), *words])
    found = {name: values for annotator in look.annotators for name, values in annotator(documents).items()}
    # a word that the document does not have has no value, and is a unit of its own
    return {
        name: np.where(held < 0, 1 if name == STARTS else -1, np.append(values, 0)[held])
        for name, values in found.items()
    }


def _within(texts: Segments, documents: Segments, number: int) -> np.ndarray:
    """Return for each word of a text the word of its document that it lies in, int64; -1 = none.

    White space aside the text is a part of the document; words need not be the same, because a tokenizer may cut
    otherwise at the text's ends.
    """
    part, whole = (_words(segments, number) for segments in (texts, documents))
    (text, bounds), (document, others) = (
        _packed(segments, words, number) for segments, words in ((texts, part), (documents, whole))
    )
    middles = document.index(text) + (bounds[:, 0] + bounds[:, 1] - 1) // 2
    near = np.searchsorted(others[:, 0], middles, side="right") - 1
    inside = (near >= 0) & (middles < np.append(others[:, 1], 0)[near])
    return np.where(inside, whole.start + near, -1)


def _packed(segments: Segments, words: range, number: int) -> tuple[str, np.ndarray]:
    """Return a text without white space, and the first and last (exclusive) character of each word in it."""
    start, stop = (int(place) for place in segments.text_starts[number : number + 2])
    text = segments.text[start : stop - 1]
    places = np.cumsum([0, *(not char.isspace() for char in text)])
    return "".join(text.split()), places[segments.spans[words.start : words.stop] - start]


def _words(segments: Segments, number: int) -> range:
    bounds = np.searchsorted(segments.spans[:, 0], segments.text_starts[number : number + 2])
    return range(int(bounds[0]), int(bounds[1]))


def _places(
    segments: Segments, number: int, tokens: np.ndarray, words: tuple[int, int], offset: int | None
) -> list[tuple[int, int, int]]:
    """Return the places of a text's words, or of its tokens, which stand `offset` positions into the row."""
    start = int(segments.text_starts[number])
    if offset is None:
        ends = (segments.spans[words[0] : words[1]] - start).tolist()
        return [(first, stop, unit) for unit, (first, stop) in enumerate(ends)]
    ends, units = (segments.token_spans[tokens] - start).tolist(), segments.units[tokens]
    return [(first, stop, offset + place) for place, (first, stop) in enumerate(ends) if units[place] >= 0]


def _index(surfaces: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    distinct = list(dict.fromkeys(surfaces))
    return distinct, {surface: row for row, surface in enumerate(distinct)}


def _range(units: np.ndarray) -> tuple[int, int]:
    return (int(units.min()), int(units.max()) + 1) if len(units) else (0, 0)


def _tidy(text: str, places: Sequence[tuple[int, int, int]]) -> list[Span]:
    """Drop the white space that some tokenizers include in tokens; characters of two tokens go to the first."""
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


MAX_CHARS = 1 << 26
"""Documents are sampled from the first 64 million characters of a corpus."""
LEAST_WORDS, MOST_WORDS = 14, 42
"""Of a sentence that is easy to read in a report."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")


class Excerpt(NamedTuple):
    """A sentence or two of a document, with white space made single."""

    text: str
    source: str
    number: int
    document: str


def sample_documents(documents: Iterable[Document], num_documents: int) -> list[Document]:
    """Return a sample that does not depend on the order of the corpus, in that order; equal texts count once.

    The documents with the smallest hashes of their texts are taken, so that memory holds no more than these.
    """
    kept: list[tuple[int, int, Document]] = []
    seen: set[int] = set()
    num_chars = 0
    for order, document in enumerate(documents):
        hashed = _hash(document.text)
        if hashed not in seen and (len(kept) < num_documents or hashed < -kept[0][0]):
            seen.add(hashed)
            add = heapq.heappush if len(kept) < num_documents else heapq.heappushpop
            removed = add(kept, (-hashed, order, document))
            if removed is not None:
                seen.discard(-removed[0])
        num_chars += len(document.text)
        if num_chars >= MAX_CHARS:
            break
    return [document for _, _, document in sorted(kept, key=lambda entry: entry[1])]


def choose_excerpts(documents: list[Document], traits: Traits, num_excerpts: int) -> list[Excerpt]:
    """Return excerpts of readable length from documents spread over the sample.

    Those with both words of the domain and function words are preferred: a preview shows how they compare.
    """
    found = [_excerpt(document, traits) for document in documents]
    candidates = [excerpt for excerpt in found if excerpt is not None]
    if len(candidates) < num_excerpts:
        starts = [_start(document) for document, excerpt in zip(documents, found, strict=True) if excerpt is None]
        candidates += starts[: num_excerpts - len(candidates)]
    num_excerpts = min(num_excerpts, len(candidates))
    bounds = [round(part * len(candidates) / max(num_excerpts, 1)) for part in range(num_excerpts + 1)]
    parts = [candidates[start:stop] for start, stop in zip(bounds, bounds[1:], strict=False)]
    return [min(part, key=lambda each: (not _is_telling(each.text, traits), _hash(each.text))) for part in parts]


def _excerpt(document: Document, traits: Traits) -> Excerpt | None:
    """Return the first telling excerpt of readable length, or else the first of readable length."""
    found = [Excerpt(text, document.source, document.number, document.text) for text in _readable(document.text)]
    return next((each for each in found if _is_telling(each.text, traits)), found[0] if found else None)


def _readable(text: str) -> Iterator[str]:
    """Yield the sentences of readable length, then short ones joined to readable length."""
    sentences = _SENTENCE_END.split(" ".join(text.split()))
    lengths = [len(split_words(sentence)) for sentence in sentences]
    yield from (sentence for sentence, length in zip(sentences, lengths, strict=True) if _is_readable(length))
    gathered, num_words = "", 0
    for sentence, length in zip(sentences, lengths, strict=True):
        gathered, num_words = f"{gathered} {sentence}".strip(), num_words + length
        if num_words >= LEAST_WORDS:
            if _is_readable(num_words):
                yield gathered
            gathered, num_words = "", 0


def _is_readable(num_words: int) -> bool:
    return LEAST_WORDS <= num_words <= MOST_WORDS


def _start(document: Document) -> Excerpt:
    words = document.text.split()[:MOST_WORDS]
    return Excerpt(" ".join(words)[: 8 * MOST_WORDS], document.source, document.number, document.text)


def _is_telling(text: str, traits: Traits) -> bool:
    words = split_words(text)
    return sum(map(traits.is_domain, words)) >= 2 and sum(map(traits.is_function, words)) >= 4


def _hash(text: str) -> int:
    # not a checksum: those of texts that differ in a few characters lie close together
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
