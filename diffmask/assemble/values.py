"""What gives the units of a run their values: annotators while its text is tokenised, scorers after it."""

from typing import TYPE_CHECKING, NamedTuple

from diffmask.assemble.annotators import class_annotator, salient_annotator
from diffmask.assemble.resolve import features_of, units_of
from diffmask.config import MaskingConfig
from diffmask.core.errors import InputError
from diffmask.text.ngrams.annotator import ngram_annotator
from diffmask.text.score.attention import load_attention
from diffmask.text.score.gain_scorer import load_gain
from diffmask.text.score.position_scores import PositionScorer
from diffmask.text.segment.annotate import STARTS, Annotator, Selected

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from diffmask.text.anchors.find import AnchorSet


class Values(NamedTuple):
    """What gives units their values.

    Attributes:
        annotators: While the text is tokenised.
        scorers: Once it is.
    """

    annotators: tuple[Annotator, ...] = ()
    scorers: tuple[PositionScorer, ...] = ()

    @property
    def keys(self) -> list[str]:
        """What the values depend on."""
        return [each.key for each in (*self.annotators, *self.scorers)]


def build_annotators(config: MaskingConfig, anchors: "AnchorSet | None") -> tuple[Annotator, ...]:
    """Return what annotates the text of a run: its units, where they are larger than words, and what policies read.

    Raises:
        InputError: If something that the config names cannot be used.
    """
    units, features = units_of(config), features_of(config)
    found: list[Annotator] = []
    if units == "pmi":
        if config.ngrams is None:
            raise InputError(
                "the units `pmi` need n-grams; make them with `diffmask pmi DATA -o pmi/` and set masking.ngrams=pmi/"
            )
        found.append(ngram_annotator(config.ngrams))
    if units == "salient" or "salient" in features:
        columns = {STARTS: units == "salient", "salient": "salient" in features}
        used = tuple(name for name, is_used in columns.items() if is_used)
        found.append(Selected(salient_annotator(config.spans or "rule"), used))
    if "classes" in features:
        found.append(class_annotator(config.classes or "frequency", anchors))
    return tuple(found)


def class_names(config: MaskingConfig, anchors: "AnchorSet | None") -> tuple[str, ...]:
    """Return the names of the classes of words, where a policy weighs them."""
    if "classes" not in features_of(config):
        return ()
    return class_annotator(config.classes or "frequency", anchors).names


def build_scorers(
    config: MaskingConfig, tokenizer: "PreTrainedTokenizerBase", device: str = "auto"
) -> tuple[PositionScorer, ...]:
    """Return what scores the tokens of a run's text once they are there: models, loaded here.

    Args:
        config: The masking's settings.
        tokenizer: Tokenizer of the model that is trained.
        device: Where the models run.

    Raises:
        InputError: If a model cannot be used.
    """
    features = features_of(config)
    scorers: list[PositionScorer] = []
    if "attention" in features:
        scorers.append(load_attention(config.teacher, tokenizer, config.attention or "cls", device=device))
    if "gain" in features:
        scorers.append(load_gain(config.scorer, tokenizer, device=device))
    return tuple(scorers)
