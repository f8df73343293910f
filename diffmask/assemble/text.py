"""Masking of text: the policies by name, and what the settings of a run on text come to.

A new policy is a file in `diffmask/policies/` and a line in `TEXT_POLICIES` (docs/add-a-policy.md).
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedTokenizerBase

from diffmask.assemble.annotators import class_annotator, salient_annotator
from diffmask.assemble.masking import EVAL_SEED, ResolvedMasking
from diffmask.assemble.recipe import Ingredients, Recipe, uniform
from diffmask.config import TextConfig, TextMaskingConfig
from diffmask.config.limits import choose
from diffmask.core.errors import InputError
from diffmask.core.policy import Policy, Weighting, softmax_weights
from diffmask.core.similarity import standardise
from diffmask.policies.difference import Difference
from diffmask.policies.feature import Feature, Salient
from diffmask.policies.loss_weighted import MOMENTUM, LossWeighted
from diffmask.policies.mixture import Component, Mixture
from diffmask.text.adapter import TextAdapter, text_adapter
from diffmask.text.anchors.vocabulary import common_types
from diffmask.text.ngrams.annotator import ngram_annotator
from diffmask.text.score.attention import load_attention
from diffmask.text.score.gain_scorer import load_gain
from diffmask.text.score.position_scores import PositionScorer
from diffmask.text.segment.rows import STARTS, Annotator
from diffmask.train.masking import Masking
from diffmask.train.meter import DomainTypes

if TYPE_CHECKING:
    from diffmask.text.anchors.anchor_set import AnchorSet

GRANULARITIES = {"word": "word", "token": "token", "span": "span", "pmi": "group", "salient": "group"}
"""What `masking.units` may be, and what the adapter calls it."""


def _anchors(given: Ingredients, policy: str) -> "AnchorSet":
    if given.anchors is None:
        raise InputError(
            f"the policy `{policy}` needs anchors; make them with `diffmask anchors DATA --model MODEL -o anchors/` "
            "and set masking.anchors=anchors/"
        )
    return given.anchors


def _difference(given: Ingredients) -> Policy:
    anchors = _anchors(given, "difference")
    return Difference(anchors.scores, anchors.unknown_score)


def _domain_frequency(given: Ingredients) -> Policy:
    anchors = _anchors(given, "domain-frequency")
    scores = standardise(anchors.tf_icf.log())
    common = common_types(anchors.types, anchors.reference_frequencies())
    return Difference(scores, torch.median(scores[common]).item())


def _loss_weighted(given: Ingredients) -> Policy:
    config = given.config
    momentum = MOMENTUM if config.momentum is None else config.momentum
    return LossWeighted(given.class_names, *_component(_base(config), given), momentum, corrected=config.corrected)


def _mixture(given: Ingredients) -> Policy:
    first, second = (_component(name, given) for name in given.config.mixture)
    share = given.config.mixture_share
    return Mixture(first, second, 0.5 if share is None else share)


def _component(name: str, given: Ingredients) -> Component:
    """Return a policy with its weighting, for a policy made of others."""
    recipe = TEXT_POLICIES[name]
    return Component(recipe.make(given), recipe.weighting_for(given.config))


def _base(config: TextMaskingConfig) -> str:
    """Return the policy whose weights loss-weighted masking multiplies."""
    return config.base or "whole-word"


COMPOSED = ("loss-weighted", "mixture")
"""Policies made of others."""

TEXT_POLICIES: dict[str, Recipe] = {
    "random-token": Recipe(
        uniform,
        "single tokens at random",
        "Devlin et al. 2019 (BERT)",
        units="token",
        has_fixed_units=True,
    ),
    "whole-word": Recipe(
        uniform,
        "whole words at random",
        "Devlin et al. 2019 (BERT, whole-word models)",
        has_fixed_units=True,
    ),
    "random-span": Recipe(
        uniform,
        "random spans of whole words, 10 at most, and 3.8 on average in rows with room for such",
        "Joshi et al. 2020 (SpanBERT)",
        units="span",
        has_fixed_units=True,
    ),
    "salient-span": Recipe(
        lambda given: Salient(),
        "names, dates and numbers first, each whole; then other words at random",
        "Guu et al. 2020 (REALM); Ye et al. 2021",
        cost="spans found once, while tokenising",
        needs="nothing (rule); or a spaCy pipeline, a gazetteer, a file of spans",
        units="salient",
        weighting="linear",
        settings=("spans",),
        features=("salient",),
        has_fixed_units=True,
    ),
    "pmi": Recipe(
        uniform,
        "collocations of up to five words, each whole, and other words, at random",
        "Levine et al. 2021 (PMI-Masking)",
        cost="n-grams counted once; looked up while tokenising",
        needs="`diffmask pmi`",
        units="pmi",
        has_fixed_units=True,
    ),
    "selective": Recipe(
        lambda given: Feature("gain"),
        "words that decide a labelled task",
        "Gu et al. 2020 (Selective Masking)",
        cost="a classifier and a scorer trained; one forward per row, once",
        needs="`diffmask selective`, which needs labels",
        settings=("scorer",),
        features=("gain",),
    ),
    "attention": Recipe(
        lambda given: Feature("attention"),
        "words that a teacher attends to (direction: show for the least, hint_share for hints)",
        "Kakogeorgiou et al. 2022 (AttMask)",
        cost="one forward of the teacher per row, once",
        needs="a teacher",
        settings=("teacher", "attention"),
        features=("attention",),
    ),
    "loss-weighted": Recipe(
        _loss_weighted,
        "words of the classes whose running loss is high",
        "Yang et al. 2023 (POS-tagging weighted masking)",
        cost="sums per class each step",
        needs="nothing (frequency bands, shape); or spaCy, anchors, a file of classes",
        settings=("classes", "base", "momentum", "corrected"),
        features=("classes",),
    ),
    "domain-frequency": Recipe(
        _domain_frequency,
        "words by their TF-ICF alone, without embeddings",
        "Reed et al. 2006 (TF-ICF)",
        cost="one score a word type, made once",
        needs="`diffmask anchors`",
        settings=("anchors",),
    ),
    "difference": Recipe(
        _difference,
        "words near the anchors of the domain",
        "Wilf et al. 2023 (Difference-Masking)",
        cost="one score a word type, made once",
        needs="`diffmask anchors`",
        settings=("anchors",),
    ),
    "mixture": Recipe(
        _mixture,
        "two simple policies, each with its share of the draws",
        "a mixture of distributions",
        cost="that of both",
        needs="what both need",
        settings=("mixture", "mixture_share"),
    ),
}


class TextMasking(ResolvedMasking):
    """The masking of text; as `ResolvedMasking`, whose settings are a `TextMaskingConfig`."""

    policies = TEXT_POLICIES

    def annotators(self, anchors: "AnchorSet | None") -> tuple[Annotator, ...]:
        """Return what annotates the text while it is tokenised: units larger than words, and what policies read.

        Files and pipelines are read for it, so it is called once.

        Args:
            anchors: The words of the domain, if they are known.

        Raises:
            InputError: If something that the settings name cannot be used.
        """
        config = self.config
        found: list[Annotator] = []
        if self.units == "pmi":
            if config.ngrams is None:
                raise InputError(
                    "the units `pmi` need n-grams; make them with `diffmask pmi DATA -o pmi/` and set "
                    "masking.ngrams=pmi/"
                )
            found.append(ngram_annotator(config.ngrams))
        if self.units == "salient" or "salient" in self.features:
            columns = {STARTS: self.units == "salient", "salient": "salient" in self.features}
            used = tuple(name for name, is_used in columns.items() if is_used)
            found.append(salient_annotator(config.spans or "rule").only(used))
        if "classes" in self.features:
            found.append(class_annotator(config.classes or "frequency", anchors))
        return tuple(found)

    def scorers(self, tokenizer: PreTrainedTokenizerBase, device: str = "auto") -> tuple[PositionScorer, ...]:
        """Return what scores the tokens of the text once it is tokenised: models, loaded here.

        Args:
            tokenizer: Tokenizer of the model that is trained.
            device: Where the models run.

        Raises:
            InputError: If a model cannot be used.
        """
        config = self.config
        found: list[PositionScorer] = []
        if "attention" in self.features:
            found.append(load_attention(config.teacher, tokenizer, config.attention or "cls", device=device))
        if "gain" in self.features:
            found.append(load_gain(config.scorer, tokenizer, device=device))
        return tuple(found)

    def adapter(self, tokenizer: PreTrainedTokenizerBase) -> TextAdapter:
        """Return how the text is cut and corrupted."""
        return text_adapter(
            tokenizer,
            GRANULARITIES[self.units],
            seed=self.config.seed,
            mask_share=self.config.mask_share,
            random_share=self.config.random_share,
            features=self.features,
        )

    def evaluation_adapter(self, tokenizer: PreTrainedTokenizerBase) -> TextAdapter:
        """Return how held-out text is cut and corrupted, the same for every policy."""
        return text_adapter(tokenizer, self.config.eval_units, seed=EVAL_SEED)

    @property
    def weighting(self) -> Weighting:
        """How scores become weights; what is made of other policies gives logarithms of weights."""
        return partial(softmax_weights, temperature=1.0) if self.config.policy in COMPOSED else super().weighting

    def _inner(self) -> tuple[Recipe, ...]:
        if self.config.policy == "loss-weighted":
            return (_simple(_base(self.config), "masking.base"),)
        if self.config.policy != "mixture":
            return ()
        names = self.config.mixture
        if len(names) != 2:
            raise InputError(
                f"masking.mixture names {', '.join(names) or 'none'}; name two policies, such as "
                "masking.mixture='[difference, whole-word]'"
            )
        return tuple(_simple(name, "masking.mixture") for name in names)

    def _units(self) -> str:
        if not self.inner:
            return super()._units()
        # the default base is random masking of whatever the units are
        is_mixture = self.config.policy == "mixture"
        setting = "masking.mixture" if is_mixture else "masking.base"
        names = self.config.mixture if is_mixture else (self.config.base,) if self.config.base else ()
        fixed = {TEXT_POLICIES[name].units: name for name in names if TEXT_POLICIES[name].has_fixed_units}
        if len(fixed) > 1:
            (units, name), (others, other) = list(fixed.items())[:2]
            raise InputError(
                f"masking.mixture names {name}, which masks units of its own ({units}), and {other}, which masks "
                f"others ({others}); mix policies that leave the units open, such as difference, or two of the same "
                "units"
            )
        own = next(iter(fixed), None)
        if own is not None and self.config.units not in (None, own):
            raise InputError(self._misfit(setting, fixed[own], own))
        return self.config.units or own or (self.inner[0] if names else self.recipe).units

    def _refuse_silent(self) -> None:
        super()._refuse_silent()
        if self.config.policy == "mixture" and all(recipe.is_random for recipe in self.inner):
            names = " and ".join(self.config.mixture)
            raise InputError(f"masking.mixture names {names}, which both mask at random; name one that scores")


def _simple(name: str, setting: str) -> Recipe:
    """Return a policy that is not made of others."""
    recipe = choose(TEXT_POLICIES, name, f"policy in `{setting}`")
    if name in COMPOSED:
        raise InputError(f"`{setting}` names {name}, which is made of other policies itself; name a simple one")
    return recipe


def class_names(annotators: Sequence[Annotator]) -> tuple[str, ...]:
    """Return the names of the classes of words, where something gives words classes."""
    return next((each.names for each in annotators if each.columns == ("classes",)), ())  # type: ignore[attr-defined]


def build_text_masking(
    config: TextConfig,
    masking: TextMasking,
    annotators: Sequence[Annotator],
    tokenizer: PreTrainedTokenizerBase,
    anchors: "AnchorSet | None",
) -> Masking:
    """Return how a run masks: in training, and in evaluation, where the masks are the same for every run.

    Args:
        config: The run.
        masking: Its masking.
        annotators: What `masking.annotators` returned.
        tokenizer: Tokenizer of the model.
        anchors: The words of the domain, if they are known.

    Raises:
        InputError: If the policy lacks something, or a schedule cannot be followed.
    """
    settings = config.masking
    return Masking(
        adapter=masking.adapter(tokenizer),
        masker=masking.masker(Ingredients(settings, anchors, class_names(annotators))),
        evaluation=masking.evaluation_masker(),
        evaluation_adapter=masking.evaluation_adapter(tokenizer),
        domain=None if anchors is None else DomainTypes(anchors.tf_icf >= settings.domain_threshold),
        layer_decay=config.training.layer_decay,
    )
