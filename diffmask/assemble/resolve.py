"""What the names in a masking's settings come to, and whether they fit together."""

from dataclasses import fields

from diffmask.assemble.choose import choose
from diffmask.assemble.recipe import UNIT_SETTINGS, Recipe
from diffmask.assemble.score_checks import check_scoring
from diffmask.assemble.text import COMPOSED, POLICIES, base_of, components_of
from diffmask.config import MaskingConfig
from diffmask.core.errors import InputError

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


def is_random(config: MaskingConfig) -> bool:
    """Return whether all units of a row score the same."""
    return all(recipe.is_random for recipe in _named(config))


def features_of(config: MaskingConfig) -> tuple[str, ...]:
    """Return the features of units that a config's policies read."""
    return tuple(dict.fromkeys(feature for recipe in recipes_of(config) for feature in recipe.features))


def unread_settings(config: MaskingConfig) -> list[str]:
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
    silent = unread_settings(config)
    if is_random(config):
        silent += ["direction", "hint_share"]
    # random masking may be given a temperature, so that it differs from other runs in one line
    inner = recipes[1:] or recipes
    if not is_random(config) and all((config.weighting or each.weighting) != "softmax" for each in inner):
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
