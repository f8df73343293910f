"""Anchors of a corpus: count, compare with the reference, choose, embed, score every type.

    anchors = build_anchors(AnchorSettings(data=["papers/"], model="minilm"))
    anchors.save("anchors/")

`load_anchors` reads the folder.
"""

import hashlib
import importlib.metadata
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from diffmask.config.limits import LENGTH, PROCESSES, OneOf, at_least, check_limits
from diffmask.core.similarity import REDUCTIONS, anchor_similarity
from diffmask.core.types import TypeScores
from diffmask.text.anchors.anchor_set import AnchorSet, hash_tokenizer, read_anchors
from diffmask.text.anchors.encoder import Encoder
from diffmask.text.anchors.vocabulary import Vocabulary
from diffmask.text.corpus.counts import Counts, count_corpus
from diffmask.text.corpus.documents import Sources
from diffmask.text.corpus.reference import Reference, language_of, read_reference
from diffmask.text.model.load import describe_architecture, load_tokenizer
from diffmask.text.segment.type_table import TypeTable
from diffmask.version import __version__

_REDUCTION_OF = {"default": "mean", "published": "max"}
"""Presets, the ways to score types, each with its usual reduction over the anchors."""
_MIN_ANCHOR_COUNT = 10
_WORDS_PER_ANCHOR = 5_000
_PACKAGES = ("torch", "transformers", "tokenizers")


@dataclass(frozen=True)
class AnchorSettings:
    """How the anchors of a domain are found.

    Attributes:
        data: Files, folders, globs, datasets on disk: see `list_files`.
        model: The model that is continued: a folder, a hub name or `minilm`.
        reference: `wordfreq:LANGUAGE`, corpora or counts files.
        embedder: Encoder that embeds the words; None is the model itself.
        num_anchors: How many to choose (Wilf et al. 2023: 20).
        min_count: A rarer word is no anchor; None is `least_count`.
        preset: `default`, or `published` for the scorer of the paper.
        reduce: max, mean, min or nearest; None is the preset's own.
        anchors: File of anchors that people chose or edited; None chooses them.
        column: Name of the text column; None finds it.
        device: auto, cpu, cuda, ...
        num_processes: How many processes count.
        context_words: Number of words of the data to read in context; of longer data every n-th block is read.

    Raises:
        InputError: If a value is not allowed.
    """

    data: Sources
    model: str
    reference: str | Sequence[str] = "wordfreq:en"
    embedder: str | None = None
    num_anchors: Annotated[int, at_least(1, "the published method takes 20"), LENGTH] = 20
    min_count: Annotated[int | None, at_least(1, "1 lets every word be an anchor")] = None
    preset: Annotated[str, OneOf(tuple(_REDUCTION_OF))] = "default"
    reduce: Annotated[str | None, OneOf(tuple(REDUCTIONS))] = None
    anchors: str | Path | None = None
    column: str | None = None
    device: str = "auto"
    num_processes: Annotated[int, at_least(1), PROCESSES] = 1
    context_words: Annotated[int, at_least(1, "give some thousands at least")] = 250_000

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        check_limits(self)

    @property
    def reduction(self) -> str:
        """The reduction over the anchors."""
        return self.reduce or _REDUCTION_OF[self.preset]


def least_count(num_words: int) -> int:
    """Return how often a word has to occur to be an anchor, by default: ten times, and once in 5,000 words.

    The frequency of a rare word is chance, and a word that the domain hardly uses does not stand for it.
    """
    return max(_MIN_ANCHOR_COUNT, -(-num_words // _WORDS_PER_ANCHOR))


def build_anchors(settings: AnchorSettings, command: str = "") -> AnchorSet:
    """Find the anchors of a domain, and score every type of it.

    Args:
        settings: What to read and how.
        command: What the user typed, for the record.

    Raises:
        InputError: If the corpus, the reference, the model, the file of anchors or a setting cannot be used.
    """
    # what may be refused comes before what takes long
    language = language_of(settings.reference)
    anchors = None if settings.anchors is None else read_anchors(settings.anchors, language)
    model_tokenizer = load_tokenizer(settings.model)
    encoder = Encoder.load(settings.embedder or settings.model, settings.device, pooler=settings.preset == "published")
    reference = read_reference(settings.reference)
    counted = count_corpus(settings.data, settings.column, settings.num_processes, language)
    vocabulary = Vocabulary.compare(counted, reference)
    words = vocabulary.words
    min_count = settings.min_count or least_count(counted.num_words)
    if anchors is None:
        anchors = vocabulary.choose(settings.num_anchors, min_count)

    # anchors that people give need not occur in the data
    row_of = {word: row for row, word in enumerate(dict.fromkeys([*words, *anchors]))}
    telling = [*vocabulary.tf_icf[: len(words)].tolist(), *repeat(math.inf, len(row_of) - len(words))]
    embeddings = _embed(encoder, settings, TypeTable(list(row_of), language, telling), counted.num_words)
    anchor_embeddings = embeddings[[row_of[anchor] for anchor in anchors]]
    scores = _score(settings, vocabulary, embeddings[: len(words)], anchor_embeddings)
    return AnchorSet(
        anchors=anchors,
        types=vocabulary.types,
        counts=vocabulary.counts,
        tf_icf=vocabulary.tf_icf,
        scores=vocabulary.with_parts(scores),
        embeddings=anchor_embeddings,
        metadata=_record(settings, encoder, hash_tokenizer(model_tokenizer), counted, reference)
        | {"min_count": min_count, "command": command},
    )


def _embed(encoder: Encoder, settings: AnchorSettings, words: Sequence[str], num_words: int) -> Tensor:
    if settings.preset == "published":
        return encoder.pool_words(words)
    stride = -(-num_words // settings.context_words)
    return encoder.embed_in_context(settings.data, words, stride, settings.column)


def _score(settings: AnchorSettings, vocabulary: Vocabulary, embeddings: Tensor, anchors: Tensor) -> TypeScores:
    if settings.preset == "published":
        return anchor_similarity(embeddings, anchors, settings.reduction)
    return vocabulary.score(embeddings, anchors, settings.reduction)


def _record(
    settings: AnchorSettings, encoder: Encoder, model_tokenizer: str, counted: Counts, reference: Reference
) -> dict[str, Any]:
    """Return how the anchors were made; the same work has the same record, so there is no date in it."""
    return {
        "version": __version__,
        "preset": settings.preset,
        "reduce": settings.reduction,
        "num_anchors": settings.num_anchors,
        "anchors_file": describe_given(settings.anchors),
        "model": {
            "name": settings.model,
            "tokenizer": model_tokenizer,
            "architecture": describe_architecture(settings.model),
        },
        "embedder": {
            "name": encoder.name,
            "tokenizer": hash_tokenizer(encoder.tokenizer),
            "architecture": describe_architecture(encoder.name),
            "layer": encoder.layer,
            "device": encoder.model.device.type,
        },
        "sources": counted.sources,
        "num_documents": counted.num_documents,
        "num_words": counted.num_words,
        "reference": reference.describe(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def describe_given(anchors: str | Path | None) -> dict[str, str] | None:
    """Return what identifies a file of anchors that people gave, for the record; None if there is none."""
    if anchors is None:
        return None
    return {"path": str(anchors), "sha256": hashlib.sha256(Path(anchors).read_bytes()).hexdigest()}
