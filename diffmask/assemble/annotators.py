"""Names of classes and of salient spans in a config become annotators."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from diffmask.config.limits import choose
from diffmask.core.errors import InputError
from diffmask.files.tables import TABLES
from diffmask.text.annotate.salient import read_gazetteer, salient_rule
from diffmask.text.annotate.spacy_pipeline import spacy_annotator
from diffmask.text.annotate.span_file import SUFFIXES, read_span_file
from diffmask.text.annotate.word_classes import (
    frequency_classes,
    read_lexicon,
    shape_classes,
    tf_icf_classes,
)
from diffmask.text.segment.rows import Annotator

if TYPE_CHECKING:
    from diffmask.text.anchors.anchor_set import AnchorSet


def class_annotator(spec: str, anchors: "AnchorSet | None") -> Annotator:
    """Return what gives each unit its class, in the column `classes`.

    Args:
        spec: `frequency`, `frequency:LANGUAGE`, `shape`, `tf-icf`, `spacy:PIPELINE` or `file:PATH`.
        anchors: Needed by `tf-icf`.

    Raises:
        InputError: If there are no such classes, or what they need is missing; files and pipelines are read for it.
    """
    return choose(CLASSES, spec.partition(":")[0], "classes")(spec, anchors)


def salient_annotator(spec: str) -> Annotator:
    """Return what finds salient spans, in the columns `salient` (row of the label) and `starts`.

    Args:
        spec: `rule`, `spacy:PIPELINE`, `gazetteer:PATH` or `file:PATH`.

    Raises:
        InputError: If there are no such spans, or what they need is missing; files and pipelines are read for it.
    """
    return choose(SPANS, spec.partition(":")[0], "spans")(spec)


def _frequency(spec: str, anchors: "AnchorSet | None") -> Annotator:
    return frequency_classes(spec.partition(":")[2] or "en")


def _shape(spec: str, anchors: "AnchorSet | None") -> Annotator:
    _refuse_argument(spec)
    return shape_classes()


def _tf_icf(spec: str, anchors: "AnchorSet | None") -> Annotator:
    _refuse_argument(spec)
    if anchors is None:
        raise InputError(
            "the classes `tf-icf` need anchors; make them with `diffmask anchors DATA --model MODEL -o anchors/` and "
            "set masking.anchors=anchors/, or use the classes `frequency`, which need nothing"
        )
    return tf_icf_classes(anchors)


def _class_file(spec: str, anchors: "AnchorSet | None") -> Annotator:
    path = _argument(spec, "a file: words and classes in a .tsv or .csv, or annotated texts in a .jsonl")
    suffix = Path(path).suffix.lower()
    if suffix in TABLES:
        return read_lexicon(path)
    if suffix not in SUFFIXES:
        raise InputError(
            f"the class file {path} is neither a .tsv or .csv, with a word and its class in each line, nor a .jsonl, "
            "with an annotated text in each; name it for what it is"
        )
    return read_span_file(path, "classes")


def _tags(spec: str, anchors: "AnchorSet | None") -> Annotator:
    return spacy_annotator(_argument(spec, _PIPELINE), "classes")


def _rule(spec: str) -> Annotator:
    _refuse_argument(spec)
    return salient_rule()


def _entities(spec: str) -> Annotator:
    return spacy_annotator(_argument(spec, _PIPELINE), "salient")


def _gazetteer(spec: str) -> Annotator:
    return read_gazetteer(_argument(spec, "a file with a phrase in each line"))


def _span_file(spec: str) -> Annotator:
    return read_span_file(_argument(spec, "a file of annotated texts, a .jsonl"), "salient")


CLASSES: dict[str, Callable[[str, "AnchorSet | None"], Annotator]] = {
    "frequency": _frequency,
    "shape": _shape,
    "tf-icf": _tf_icf,
    "spacy": _tags,
    "file": _class_file,
}

SPANS: dict[str, Callable[[str], Annotator]] = {
    "rule": _rule,
    "spacy": _entities,
    "gazetteer": _gazetteer,
    "file": _span_file,
}

_PIPELINE = "the name or folder of a pipeline, such as en_core_web_sm"


def _argument(spec: str, what: str) -> str:
    name, _, argument = spec.partition(":")
    if not argument:
        raise InputError(f"{spec!r} lacks {what}; write it behind a colon, as in {name}:NAME")
    return argument


def _refuse_argument(spec: str) -> None:
    name, colon, _ = spec.partition(":")
    if colon:
        raise InputError(f"{spec!r} names something behind the colon, but {name!r} takes nothing; write {name}")
