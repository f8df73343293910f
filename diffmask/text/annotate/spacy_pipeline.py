"""What a spaCy pipeline says about words: their part of speech as a class, and the entities that are salient.

Pipelines are those that the user has installed; of their components only the needed ones are run. spaCy is optional,
and is imported when a pipeline is asked for. Loading a package runs its code, as importing it does; loading a folder
runs none.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffmask.core.errors import InputError
from diffmask.text.annotate.span_file import CLASSES, SALIENT, LabelledSpans
from diffmask.text.segment.rows import STARTS, Annotator
from diffmask.text.segment.segmenter import Segments

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

TAGS, ENTITIES = "parts of speech", "entities"
"""What a pipeline may be wanted for."""
_MAX_CHARS = 100_000
"""Longer texts are given to a pipeline in pieces: its memory grows with the text, and it refuses above a million."""
_INSTEAD = {
    TAGS: "use classes=frequency, shape, tf-icf or file:PATH, which need no pipeline",
    ENTITIES: "use spans=rule, gazetteer:PATH or file:PATH, which need no pipeline",
}

_OTHER = "other"
"""Label of entities that a component of the user's own finds."""

_TAGGERS = ("tagger", "morphologizer", "attribute_ruler")
_FINDERS = ("ner", "beam_ner", "entity_ruler", "span_ruler")
_RULERS = ("entity_ruler", "span_ruler")
_EMBEDDERS = ("tok2vec", "transformer", "curated_transformer")
_NEVER_NEEDED = ("parser", "beam_parser", "senter", "sentencizer", "lemmatizer", "trainable_lemmatizer", "textcat")
_NEVER_NEEDED += ("textcat_multilabel", "entity_linker", "spancat", "spancat_singlelabel", "span_finder")
_KNOWN = {*_TAGGERS, *_FINDERS, *_EMBEDDERS, *_NEVER_NEEDED}


def _pipeline_key(name: str, wanted: str) -> str:
    """Return the version of spaCy and a hash of a pipeline's files.

    Args:
        name: Name of an installed package, or a folder.
        wanted: What is wanted of it, `TAGS` or `ENTITIES`.
    """
    if importlib.util.find_spec("spacy") is None:
        raise InputError(
            f"spacy:{name} needs spaCy, which is not installed; install it: pip install 'diffmask[spacy]', or "
            f"{_INSTEAD[wanted]}"
        )
    digest = hashlib.sha256()
    folder = _folder(name, wanted)
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(str(file.relative_to(folder)).encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return f"spacy {importlib.metadata.version('spacy')} {digest.hexdigest()}"


@functools.lru_cache(maxsize=2)
def _load_pipeline(name: str, wanted: str, key: str) -> "Language":
    """Load a pipeline, the components that are not needed switched off; once in each process for the same key.

    The parser counts as never needed: spaCy's English tags are a little better with it, at half the speed.
    """
    import spacy

    try:
        nlp = spacy.load(name if spacy.util.is_package(name) else Path(name))
    except (ValueError, ImportError, OSError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        remedy = f"install it again, or {_INSTEAD[wanted]}"
        raise InputError(f"the spaCy pipeline {name!r} cannot be loaded ({reason}); {remedy}") from error
    if not (_entity_labels(nlp) if wanted == ENTITIES else _gives_tags(nlp)):
        kind = "ner or an entity_ruler" if wanted == ENTITIES else "a morphologizer or an attribute_ruler"
        raise InputError(
            f"the spaCy pipeline {name!r} finds no {wanted} (its components: {', '.join(nlp.pipe_names) or 'none'}); "
            f"use one with {kind}, such as en_core_web_sm, or {_INSTEAD[wanted]}"
        )
    nlp.select_pipes(disable=_needless_components(nlp, wanted))
    return nlp


def _needless_components(nlp: "Language", wanted: str) -> list[str]:
    """Return the components that cannot change what is wanted.

    A component that is not one of spaCy's own may need any other, so all are run beside it. Rules for entities may ask
    for parts of speech or lemmas, so all are run beside them, too.
    """
    from spacy.pipeline import Tok2Vec

    factories = _factories(nlp)
    if not _KNOWN.issuperset(factories.values()):
        return []
    if wanted == ENTITIES and not set(_RULERS).isdisjoint(factories.values()):
        return []
    unwanted = {*_NEVER_NEEDED, *(_FINDERS if wanted == TAGS else _TAGGERS)}
    needless = {name for name, factory in factories.items() if factory in unwanted}
    shared = {name: nlp.get_pipe(name) for name, factory in factories.items() if factory == "tok2vec"}
    for name, component in shared.items():
        if isinstance(component, Tok2Vec) and needless.issuperset(component.listening_components):
            needless.add(name)
    return [name for name in factories if name in needless]


def _entity_labels(nlp: "Language") -> tuple[str, ...]:
    """Return the labels of the entities that a pipeline can find; `_OTHER` stands for those of unknown components."""
    labels: set[str] = set()
    is_open = False
    for name, factory in _factories(nlp).items():
        if factory in _FINDERS or "doc.ents" in nlp.get_pipe_meta(name).assigns:
            labels.update(nlp.pipe_labels.get(name, []))
        is_open |= factory not in _KNOWN
    return (*sorted(labels - {_OTHER}), *([_OTHER] if is_open or _OTHER in labels else []))


def _pipe_texts(nlp: "Language", segments: Segments) -> Iterator[tuple[int, "Doc"]]:
    """Run texts through a pipeline in batches; yield the first character of each document, and the document."""
    pieces = [
        (text[begin:end], start + begin)
        for text, start in zip(segments.texts, segments.text_starts.tolist(), strict=False)
        for begin, end in _pieces(text)
    ]
    for doc, start in nlp.pipe(pieces, as_tuples=True):
        yield start, doc


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Cut a long text at the last line's end, sentence's end or space before `_MAX_CHARS`."""
    begin = 0
    while len(text) - begin > _MAX_CHARS:
        window = text[begin : begin + _MAX_CHARS]
        cut = max(window.rfind("\n"), window.rfind(". ")) + 1
        cut = cut if cut > _MAX_CHARS // 2 else window.rfind(" ") + 1
        end = begin + (cut or _MAX_CHARS)
        yield begin, end
        begin = end
    if begin < len(text):
        yield begin, len(text)


def _folder(name: str, wanted: str) -> Path:
    import spacy

    path = Path(name)
    if spacy.util.is_package(name):
        return spacy.util.get_package_path(name)
    if (path / "config.cfg").is_file():
        return path
    if path.exists():
        raise InputError(
            f"{name} is not a spaCy pipeline, it has no config.cfg; give the folder that nlp.to_disk wrote, the name "
            f"of an installed pipeline, or {_INSTEAD[wanted]}"
        )
    remedy = f"install it: python -m spacy download {name}" if re.fullmatch(r"\w+", name) else "check the path"
    raise InputError(f"the spaCy pipeline {name!r} is not installed; {remedy}, or {_INSTEAD[wanted]}")


def _factories(nlp: "Language") -> dict[str, str]:
    return {name: nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}


def _gives_tags(nlp: "Language") -> bool:
    factories = _factories(nlp)
    return any(
        factory in ("morphologizer", "attribute_ruler") or "token.pos" in nlp.get_pipe_meta(name).assigns
        for name, factory in factories.items()
    )


UPOS = ("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ")
UPOS += ("SYM", "VERB", "X")
"""The 17 universal parts of speech (Universal Dependencies 2), the classes of the paper (Yang et al. 2023)."""
_OLD_NAMES = {"CONJ": "CCONJ"}


def spacy_annotator(pipeline: str, column: str) -> Annotator:
    """Return what a pipeline says of words; it is loaded to see that it says what is wanted.

    Args:
        pipeline: Name of an installed pipeline, or its folder.
        column: `classes` takes the universal part of speech of each word as its class, `salient` the entities as spans
            that are masked as wholes.

    Raises:
        InputError: If spaCy or the pipeline is not installed, or the pipeline gives no tags or finds no entities.
    """
    wanted = TAGS if column == CLASSES else ENTITIES
    key = _pipeline_key(pipeline, wanted)
    nlp = _load_pipeline(pipeline, wanted, key)
    if column == CLASSES:
        return Annotator((CLASSES,), UPOS, key, partial(_tags, pipeline, key))
    names = _entity_labels(nlp)
    return Annotator((SALIENT, STARTS), names, key, partial(_entities, pipeline, key, names))


def _tags(pipeline: str, key: str, segments: Segments) -> dict[str, np.ndarray]:
    """Return the tag of the spaCy token in which each word begins; the paper's code takes that of its first piece."""
    from spacy.parts_of_speech import IDS

    rows = np.full(max(IDS.values()) + 1, -1, dtype=np.int32)
    for name, number in IDS.items():
        name = _OLD_NAMES.get(name, name)
        rows[number] = UPOS.index(name) if name in UPOS else -1
    tokens = [np.zeros((0, 3), dtype=np.int64)]
    for start, doc in _pipe_texts(_load_pipeline(pipeline, TAGS, key), segments):
        tokens.append(doc.to_array(["IDX", "LENGTH", "POS"]).astype(np.int64).reshape(-1, 3))
        tokens[-1][:, 0] += start
    starts, lengths, tags = np.concatenate(tokens).T
    return LabelledSpans(starts, starts + lengths, rows[tags]).classes(segments)


def _entities(pipeline: str, key: str, names: tuple[str, ...], segments: Segments) -> dict[str, np.ndarray]:
    row_of = {name: row for row, name in enumerate(names)}
    spans = []
    for start, doc in _pipe_texts(_load_pipeline(pipeline, ENTITIES, key), segments):
        for entity in doc.ents:
            label = entity.label_ if entity.label_ in row_of else _OTHER
            spans.append((start + entity.start_char, start + entity.end_char, row_of[label]))
    return LabelledSpans.longest(spans).salient_units(segments)
