"""The masking of a run: its policy, its units, its masker.

What the names in a masking's settings come to, and whether they fit together.

What gives the units of a run their values: annotators while its text is tokenised, scorers after it.
"""

from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

from transformers import PreTrainedTokenizerBase

from diffmask.assemble.annotators import class_annotator, salient_annotator
from diffmask.assemble.recipe import DIRECTIONS, UNIT_SETTINGS, Recipe, check_scoring, choose
from diffmask.assemble.schedules import RATIO_FLOOR, build_schedule
from diffmask.assemble.text_policies import COMPOSED, POLICIES, Ingredients, base_of, components_of, weighting_of
from diffmask.config import MaskingConfig, PretrainConfig, ScheduleConfig
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import TextAdapter, text_adapter
from diffmask.text.ngrams.annotator import ngram_annotator
from diffmask.text.score.attention import load_attention
from diffmask.text.score.gain_scorer import load_gain
from diffmask.text.score.position_scores import PositionScorer
from diffmask.text.segment.rows import STARTS, Annotator, Selected
from diffmask.train.masking import Masking
from diffmask.train.meter import DomainTypes

if TYPE_CHECKING:
    from diffmask.text.anchors.anchor_set import AnchorSet

GRANULARITIES = {"word": "word", "token": "token", "span": "span", "pmi": "group", "salient": "group"}
"""What `masking.units` may be, and what the adapter calls it."""

DEFAULTS = {each.name: each.default for each in fields(MaskingConfig)}

READERS = {
    setting: name
    for name, recipe in reversed(POLICIES.items())
    for setting in recipe.all_settings
    if setting != "anchors"  # which tell all policies the words of the domain
}
"""Settings that only some policies read, each with one that does.

Weighting, temperature and strength say nothing to random masking, and are accepted: runs differ in one line.
"""


def recipes_of(config: MaskingConfig) -> list[Recipe]:
    """Return the policy that a config names, and those that it is made of.

    Raises:
        InputError: If a name is unknown, or a setting is given that cannot take effect.
    """
    recipes = _named(config)
    _check_settings(config, recipes)
    return recipes


def _named(config: MaskingConfig) -> list[Recipe]:
    recipe = choose(POLICIES, config.policy, "policy")
    return [recipe, *(POLICIES[name] for name in _inner_names(config))]


def _inner_names(config: MaskingConfig) -> tuple[str, ...]:
    """Return the policies that the policy is made of."""
    if config.policy == "loss-weighted":
        return (base_of(config),)
    return components_of(config) if config.policy == "mixture" else ()


def units_of(config: MaskingConfig) -> str:
    """Return what is masked whole, a key of `GRANULARITIES`.

    Raises:
        InputError: If a name is unknown, or the units are not those of a policy that is made by them.
    """
    recipe = choose(POLICIES, config.policy, "policy")
    if config.units is not None:
        choose(GRANULARITIES, config.units, "units")
    # the default base is random masking of whatever the units are
    names = (config.policy,) if config.policy not in COMPOSED else _inner_names(config) if _is_explicit(config) else ()
    fixed = {POLICIES[name].units: name for name in names if POLICIES[name].has_fixed_units}
    if len(fixed) > 1:
        (units, name), (others, other) = list(fixed.items())[:2]
        raise InputError(
            f"masking.mixture names {name}, which masks units of its own ({units}), and {other}, which masks others "
            f"({others}); mix policies that leave the units open, such as difference, or two of the same units"
        )
    own = next(iter(fixed), None)
    if config.units is not None and own is not None and config.units != own:
        raise InputError(_misfit(config, own, fixed[own]))
    return config.units or own or (POLICIES[names[0]] if names else recipe).units


def _is_explicit(config: MaskingConfig) -> bool:
    return config.policy == "mixture" or config.base is not None


def _misfit(config: MaskingConfig, own: str, name: str) -> str:
    """Return the sentence for units that are not those of a policy."""
    where = {"loss-weighted": "masking.base", "mixture": "masking.mixture"}.get(config.policy, "masking.policy")
    fitting = [each for each, recipe in POLICIES.items() if recipe.has_fixed_units and recipe.units == config.units]
    return (
        f"{where} names {name}, which masks units of its own ({own}), and masking.units is {config.units}; leave "
        f"units out, or choose {' or '.join(fitting)} in {where}"
    )


def _is_random(config: MaskingConfig) -> bool:
    """Return whether all units of a row score the same."""
    return all(recipe.is_random for recipe in _named(config))


def _features_of(config: MaskingConfig) -> tuple[str, ...]:
    """Return the features of units that a config's policies read."""
    return tuple(dict.fromkeys(feature for recipe in recipes_of(config) for feature in recipe.features))


def _unread_settings(config: MaskingConfig) -> list[str]:
    """Return the settings that are given, and that neither the policy nor its units read."""
    read = {name for recipe in _named(config) for name in recipe.settings}
    read |= set(UNIT_SETTINGS.get(units_of(config), ()))
    return [name for name in READERS if name not in read and getattr(config, name) != DEFAULTS[name]]


def silent_settings(config: MaskingConfig) -> list[str]:
    """Return the settings that are given and say nothing to the policy, those of its scores included.

    Raises:
        InputError: If a value is none that the setting can have.
    """
    check_scoring(config)
    recipes = _named(config)
    silent = _unread_settings(config)
    if _is_random(config):
        silent += ["direction", "hint_share"]
    # random masking may be given a temperature, so that it differs from other runs in one line
    inner = recipes[1:] or recipes
    if not _is_random(config) and all((config.weighting or each.weighting) != "softmax" for each in inner):
        silent.append("temperature")
    return [name for name in silent if getattr(config, name) != DEFAULTS[name]]


def _check_settings(config: MaskingConfig, recipes: list[Recipe]) -> None:
    """Refuse a setting that cannot take effect."""
    for name in silent_settings(config):
        if name in READERS:
            raise InputError(
                f"masking.{name} is given, and the policy {config.policy} does not read it; leave it out, or use "
                f"masking.policy={READERS[name]}"
            )
        if name == "temperature":
            raise InputError(
                f"masking.temperature={config.temperature:g} is that of softmax, by which {config.policy} does not "
                "weigh; use masking.weighting=softmax, or leave the temperature out"
            )
        raise InputError(
            f"masking.direction and hint_share go by scores, and {config.policy} scores all units alike; leave them "
            "out, or choose another policy"
        )
    if config.policy == "mixture" and all(recipe.is_random for recipe in recipes[1:]):
        raise InputError(
            f"masking.mixture names {' and '.join(config.mixture)}, which both mask at random; name one that scores"
        )
    if config.direction == "show" and (config.weighting or recipes[0].weighting) == "linear":
        raise InputError(
            "masking.direction=show turns scores below zero, which linear weights clip; use softmax or rank"
        )


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
    units, features = units_of(config), _features_of(config)
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
    if "classes" not in _features_of(config):
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
    features = _features_of(config)
    scorers: list[PositionScorer] = []
    if "attention" in features:
        scorers.append(load_attention(config.teacher, tokenizer, config.attention or "cls", device=device))
    if "gain" in features:
        scorers.append(load_gain(config.scorer, tokenizer, device=device))
    return tuple(scorers)


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
        features=_features_of(config),
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
