"""What gives the units of a run their values: annotators while the text is tokenised, scorers after it."""

from typing import TYPE_CHECKING

from diffmask.build.resolve import features_of, units_of
from diffmask.config import MaskingConfig
from diffmask.core.errors import InputError
from diffmask.text.annotate import STARTS, Annotator, Selected

if TYPE_CHECKING:
    from diffmask.text.anchors import AnchorSet


def build_annotators(config: MaskingConfig, anchors: "AnchorSet | None") -> tuple[Annotator, ...]:
    """Return what annotates the text of a run: its units, where they are larger than words, and what policies read."""
    units, features = units_of(config), features_of(config)
    found: list[Annotator] = []
    if units == "pmi":
        found.append(_ngrams(config))
    if units == "salient" or "salient" in features:
        columns = tuple(
            name for name, used in ((STARTS, units == "salient"), ("salient", "salient" in features)) if used
        )
        found.append(Selected(_salient(config), columns))
    if "classes" in features:
        found.append(_classes(config, anchors))
    return tuple(found)


def class_names(config: MaskingConfig, anchors: "AnchorSet | None") -> tuple[str, ...]:
    """Return the names of the classes of words."""
    return _classes(config, anchors).names


def _ngrams(config: MaskingConfig) -> Annotator:
    from diffmask.text.ngram_groups import ngram_annotator

    if config.ngrams is None:
        raise InputError(
            "the units `pmi` need n-grams; make them with `diffmask pmi DATA -o pmi/` and set masking.ngrams=pmi/"
        )
    return ngram_annotator(config.ngrams)


def _salient(config: MaskingConfig) -> Annotator:
    from diffmask.text.salient import salient_annotator

    return salient_annotator(config.spans or "rule")


def _classes(config: MaskingConfig, anchors: "AnchorSet | None"):
    from diffmask.text.classes import class_annotator

    return class_annotator(config.classes or "frequency", anchors)
