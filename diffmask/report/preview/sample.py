"""Which documents of a corpus a report looks at, and which of their sentences it shows: the same for one corpus."""

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from diffmask.report.preview.traits import Traits
from diffmask.text.corpus.documents import Document
from diffmask.text.corpus.words import split_words

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
    """Return a sample without regard to where documents stand, in the order of the corpus; equal texts count once.

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

    Preferred are those which hold words of the domain beside function words: a preview is to show how they compare.
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
    """Yield the sentences of readable length, and after these what becomes so by joining short ones."""
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
