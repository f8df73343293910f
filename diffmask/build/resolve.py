"""What the names in a masking's settings come to, and whether they fit together."""

from diffmask.build.choose import choose
from diffmask.build.policies import COMPOSED, POLICIES, UNIT_SETTINGS, Recipe, base_of, components_of
from diffmask.config import MaskingConfig
from diffmask.core.errors import InputError

GRANULARITIES = {"word": "word", "token": "token", "span": "span", "pmi": "group", "salient": "group"}
"""What `masking.units` may be, and what the adapter calls it."""

DIRECTIONS = {"hide": True, "show": False}


READERS = {
    "classes": "loss-weighted",
    "base": "loss-weighted",
    "momentum": "loss-weighted",
    "spans": "salient-span",
    "ngrams": "pmi",
    "teacher": "attention",
    "attention": "attention",
    "scorer": "selective",
    "mixture": "mixture",
    "mixture_share": "mixture",
}
"""Settings that only some policies read, each with one that does. (Anchors tell all which words are the domain's.)"""


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
    inner = {"loss-weighted": lambda: [base_of(config)], "mixture": lambda: [*components_of(config)]}
    return [recipe, *(POLICIES[name] for name in inner.get(config.policy, list)())]


def units_of(config: MaskingConfig) -> str:
    """Return what is masked whole, a key of `GRANULARITIES`.

    Raises:
        InputError: If the units are unknown, or not those of a policy that is made by them.
    """
    recipe = POLICIES[config.policy]
    if config.policy in COMPOSED:
        recipe = POLICIES[base_of(config) if config.policy == "loss-weighted" else components_of(config)[0]]
    if config.units is None:
        return recipe.units
    choose(GRANULARITIES, config.units, "units")
    if recipe.has_fixed_units and config.units != recipe.units:
        fitting = [name for name, each in POLICIES.items() if each.has_fixed_units and each.units == config.units]
        raise InputError(
            f"masking.policy={config.policy} masks units of its own ({recipe.units}), and masking.units is "
            f"{config.units}; leave units out, or choose {' or '.join(fitting)}"
        )
    return config.units


def features_of(config: MaskingConfig) -> tuple[str, ...]:
    """Return the features of units that a config's policies read."""
    return tuple(dict.fromkeys(feature for recipe in recipes_of(config) for feature in recipe.features))


def unread_settings(config: MaskingConfig) -> list[str]:
    """Return the settings that are given, and that neither the policy nor its units read."""
    read = {name for recipe in _named(config) for name in recipe.settings}
    read |= set(UNIT_SETTINGS.get(units_of(config), ()))
    return [name for name in READERS if name not in read and getattr(config, name) not in (None, ())]


def _check_settings(config: MaskingConfig, recipes: list[Recipe]) -> None:
    """Refuse a setting that cannot take effect."""
    for name in unread_settings(config):
        raise InputError(
            f"masking.{name} is given, and the policy {config.policy} does not read it; leave it out, or use "
            f"masking.policy={READERS[name]}"
        )
    if config.direction not in DIRECTIONS:
        raise InputError(f"unknown direction {config.direction!r}; choose from: {', '.join(DIRECTIONS)}")
    if not 0.0 <= config.hint_share < 1.0:
        raise InputError(
            f"masking.hint_share={config.hint_share:g} is outside [0, 1); 0.1 keeps the best tenth visible"
        )
    turned = config.direction != "hide" or config.hint_share > 0
    if turned and all(recipe.is_random for recipe in recipes):
        raise InputError(
            f"masking.direction and hint_share go by scores, and {config.policy} scores all units alike; leave them "
            "out, or choose another policy"
        )
    if config.direction == "show" and (config.weighting or recipes[0].weighting) == "linear":
        raise InputError(
            "masking.direction=show turns scores below zero, which linear weights clip; use softmax or rank"
        )
