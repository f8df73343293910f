"""What a spaCy pipeline says about words: their part of speech as a class, and the entities that are salient."""

from dataclasses import dataclass, field

import numpy as np

from diffmask.text.annotate.spacy_pipeline import ENTITIES, OTHER, TAGS, load_pipeline, pipe_texts, pipeline_key
from diffmask.text.annotate.span_labels import (
    CLASSES,
    SALIENT,
    LabelledSpans,
    longest_first,
    salient_units,
    span_classes,
    texts_of,
)
from diffmask.text.segment.annotate import STARTS
from diffmask.text.segment.segmenter import Segments

UPOS = ("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ")
UPOS += ("SYM", "VERB", "X")
"""The 17 universal parts of speech (Universal Dependencies 2), the classes of the paper (Yang et al. 2023)."""
_OLD_NAMES = {"CONJ": "CCONJ"}


@dataclass(frozen=True)
class SpacyTags:
    """The universal part of speech of each word.

    A word has the tag of the spaCy token in which its first character lies, as a word has that of its first piece in
    the paper's code.

    Attributes:
        pipeline: Name of an installed pipeline, or its folder.
        key: See `spacy_pipeline.pipeline_key`.
    """

    pipeline: str
    key: str
    columns: tuple[str, ...] = field(default=(CLASSES,), init=False)
    names: tuple[str, ...] = field(default=UPOS, init=False)

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the tag of each unit; -1 where the pipeline gave none."""
        from spacy.parts_of_speech import IDS

        nlp = load_pipeline(self.pipeline, TAGS, self.key).nlp
        rows = np.full(max(IDS.values()) + 1, -1, dtype=np.int32)
        for name, number in IDS.items():
            name = _OLD_NAMES.get(name, name)
            rows[number] = UPOS.index(name) if name in UPOS else -1
        tokens = [np.zeros((0, 3), dtype=np.int64)]
        for start, doc in pipe_texts(nlp, texts_of(segments), segments.text_starts[:-1].tolist()):
            tokens.append(doc.to_array(["IDX", "LENGTH", "POS"]).astype(np.int64).reshape(-1, 3))
            tokens[-1][:, 0] += start
        starts, lengths, tags = np.concatenate(tokens).T
        return span_classes(segments, LabelledSpans(starts, starts + lengths, rows[tags]))


@dataclass(frozen=True)
class SpacySalient:
    """The entities that a pipeline finds are masked as wholes.

    Attributes:
        pipeline: Name of an installed pipeline, or its folder.
        key: See `spacy_pipeline.pipeline_key`.
        names: Labels of the entities.
    """

    pipeline: str
    key: str
    names: tuple[str, ...]
    columns: tuple[str, ...] = field(default=(SALIENT, STARTS), init=False)

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the label of each unit's entity, and where entities begin."""
        row_of = {name: row for row, name in enumerate(self.names)}
        found = []
        nlp = load_pipeline(self.pipeline, ENTITIES, self.key).nlp
        for start, doc in pipe_texts(nlp, texts_of(segments), segments.text_starts[:-1].tolist()):
            for entity in doc.ents:
                label = entity.label_ if entity.label_ in row_of else OTHER
                found.append((start + entity.start_char, start + entity.end_char, row_of[label]))
        return salient_units(segments, longest_first(found))


def spacy_tags(pipeline: str) -> SpacyTags:
    """Return the tags of a pipeline, which is loaded to see that it has some.

    Raises:
        InputError: See `spacy_pipeline.pipeline_key` and `load_pipeline`.
    """
    key = pipeline_key(pipeline, TAGS)
    load_pipeline(pipeline, TAGS, key)
    return SpacyTags(pipeline, key)


def spacy_salient(pipeline: str) -> SpacySalient:
    """Return the entities of a pipeline, which is loaded to see that it finds some.

    Raises:
        InputError: See `spacy_pipeline.pipeline_key` and `load_pipeline`.
    """
    key = pipeline_key(pipeline, ENTITIES)
    return SpacySalient(pipeline, key, load_pipeline(pipeline, ENTITIES, key).labels)
