"""The policies by name: what each masks, where it comes from, what it costs and needs.

A new policy is a file in `diffmask/policies/` and a line in `POLICIES` (docs/add-a-policy.md).
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from diffmask.assemble.recipe import Recipe, build_weighting, choose, uniform
from diffmask.config import MaskingConfig
from diffmask.core.errors import InputError
from diffmask.core.policy import Policy, Weighting, softmax_weights
from diffmask.core.similarity import standardise
from diffmask.policies.difference import Difference
from diffmask.policies.feature import Feature, Salient
from diffmask.policies.loss_weighted import MOMENTUM, LossWeighted
from diffmask.policies.mixture import Component, Mixture
from diffmask.text.anchors.vocabulary import common_types

if TYPE_CHECKING:
    from diffmask.text.anchors.anchor_set import AnchorSet


@dataclass(frozen=True)
class Ingredients:
    """What policies are made of.

    Attributes:
        config: The masking's settings.
        anchors: The domain's words, where the config names them.
        class_names: Names of the classes of words, where the policy weighs them.
    """

    config: MaskingConfig
    anchors: "AnchorSet | None" = None
    class_names: tuple[str, ...] = ()


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
    inner = _component(base_of(config), given)
    momentum = MOMENTUM if config.momentum is None else config.momentum
    return LossWeighted(given.class_names, *inner, momentum, corrected=config.corrected)


def _mixture(given: Ingredients) -> Policy:
    first, second = (_component(name, given) for name in components_of(given.config))
    share = given.config.mixture_share
    return Mixture(first, second, 0.5 if share is None else share)


def _component(name: str, given: Ingredients) -> Component:
    """Return a policy with its weighting, for a policy made of others."""
    recipe = POLICIES[name]
    return Component(recipe.make(given), build_weighting(given.config, recipe.weighting))


def weighting_of(config: MaskingConfig) -> Weighting:
    """Return how the scores of a config's policy become weights."""
    if config.policy in COMPOSED:  # what is made of others gives logarithms of weights
        return partial(softmax_weights, temperature=1.0)
    return build_weighting(config, POLICIES[config.policy].weighting)


def base_of(config: MaskingConfig) -> str:
    """Return the policy whose weights loss-weighted masking multiplies."""
    return _inner(config.base or "whole-word", "masking.base")


def components_of(config: MaskingConfig) -> tuple[str, str]:
    """Return the two policies of a mixture."""
    if len(config.mixture) != 2:
        given = ", ".join(config.mixture) or "none"
        raise InputError(
            f"masking.mixture names {given}; name two policies, such as masking.mixture='[difference, whole-word]'"
        )
    return _inner(config.mixture[0], "masking.mixture"), _inner(config.mixture[1], "masking.mixture")


def _inner(name: str, setting: str) -> str:
    choose(POLICIES, name, f"policy in `{setting}`")
    if name in COMPOSED:
        raise InputError(f"`{setting}` names {name}, which is made of other policies itself; name a simple one")
    return name


COMPOSED = ("loss-weighted", "mixture")
"""Policies made of others."""

POLICIES: dict[str, Recipe] = {
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
