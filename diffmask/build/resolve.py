"""What the names in a masking's settings come to, and whether they fit together."""

from diffmask.build.choose import choose
from diffmask.build.policies import COMPOSED, POLICIES, Recipe, base_of, components_of
from diffmask.config import MaskingConfig
from diffmask.core.errors import InputError

GRANULARITIES = {"word": "word", "token": "token", "span": "span", "pmi": "group", "salient": "group"}
"""What `masking.units` may be, and what the adapter calls it."""

UNIT_SETTINGS = {"pmi": ("ngrams",), "salient": ("spans",)}
"""Settings that units read."""

DIRECTIONS = {"hide": True, "show": False}


def recipes_of(config: MaskingConfig) -> list[Recipe]:
    """Return the policy that a config names, and those that it is made of.

    Raises:
        InputError: If a name is unknown, or a setting is given that none of them reads.
    """
    names = [config.policy]
    choose(POLICIES, config.policy, "policy")
    if config.policy == "loss-weighted":
        names.append(base_of(config))
    if config.policy == "mixture":
        names += components_of(config)
    recipes = [POLICIES[name] for name in names]
    _check_settings(config, recipes)
    return recipes


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


def _check_settings(config: MaskingConfig, recipes: list[Recipe]) -> None:
    """Refuse a setting that cannot take effect."""
    read = {name for recipe in recipes for name in recipe.settings} | set(UNIT_SETTINGS.get(units_of(config), ()))
    optional = {name: recipe for recipe in POLICIES.values() for name in recipe.settings} | {"ngrams": POLICIES["pmi"]}
    for name in optional.keys() - read - {"anchors"}:
        if getattr(config, name):
            users = [policy for policy, recipe in POLICIES.items() if recipe is optional[name]]
            raise InputError(
                f"masking.{name} is given, and the policy {config.policy} does not read it; leave it out, or use "
                f"masking.policy={users[0]}"
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
