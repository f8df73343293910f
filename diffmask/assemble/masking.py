"""The masking of a run: its policy, its units, its masker."""

from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase

from diffmask.assemble.resolve import GRANULARITIES, features_of, recipes_of, units_of
from diffmask.assemble.schedules import RATIO_FLOOR, build_schedule
from diffmask.assemble.score_checks import DIRECTIONS
from diffmask.assemble.text import Ingredients, weighting_of
from diffmask.assemble.values import class_names
from diffmask.config import MaskingConfig, PretrainConfig, ScheduleConfig
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import TextAdapter, text_adapter
from diffmask.train.domain import DomainTypes
from diffmask.train.masking import Masking

if TYPE_CHECKING:
    from diffmask.text.anchors.find import AnchorSet

EVAL_SEED = 20260
"""Seed of the evaluation's masks, the same for every run, so that their losses can be compared."""


def build_masker(config: MaskingConfig, anchors: "AnchorSet | None") -> Masker:
    """Return the masker of a run.

    Raises:
        InputError: If a setting cannot be used.
    """
    recipe, *_ = recipes_of(config)
    return Masker(
        policy=recipe.make(Ingredients(config, anchors, class_names(config, anchors))),
        ratio=build_schedule(config.ratio, "masking.ratio", RATIO_FLOOR),
        strength=build_schedule(config.strength, "masking.strength", 0.0),
        weighting=weighting_of(config),
        seed=config.seed,
        hint_share=config.hint_share,
        hide=DIRECTIONS[config.direction],
    )


def build_adapter(config: MaskingConfig, tokenizer: PreTrainedTokenizerBase) -> TextAdapter:
    """Return how a run cuts and corrupts its text."""
    return text_adapter(
        tokenizer,
        GRANULARITIES[units_of(config)],
        seed=config.seed,
        mask_share=config.mask_share,
        random_share=config.random_share,
        features=features_of(config),
    )


def build_masking(config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, anchors: "AnchorSet | None") -> Masking:
    """Return how a run masks: in training, and in evaluation, where the masks are the same for every run."""
    masking = config.masking
    ratio = build_schedule(ScheduleConfig(start=masking.eval_ratio), "masking.eval_ratio", 0.0)
    if masking.eval_units not in ("word", "token"):
        raise InputError(f"unknown units {masking.eval_units!r} in `masking.eval_units`; choose from: token, word")
    if not 0.0 < config.training.layer_decay <= 1.0:
        raise InputError(
            f"training.layer_decay={config.training.layer_decay:g} is outside (0, 1]; 1 trains all layers alike"
        )
    plain = MaskingConfig(
        policy="random-token" if masking.eval_units == "token" else "whole-word",
        seed=EVAL_SEED,
    )
    return Masking(
        adapter=build_adapter(masking, tokenizer),
        masker=build_masker(masking, anchors),
        evaluation=Masker(Uniform(), ratio=ratio, seed=EVAL_SEED),
        evaluation_adapter=build_adapter(plain, tokenizer),
        domain=None if anchors is None else DomainTypes(anchors.tf_icf >= masking.domain_threshold),
        layer_decay=config.training.layer_decay,
    )
