"""What the names in a masking's settings come to: looked up once, checked once, and handed on as an object.

`TextMasking` and `VideoMasking` say what is theirs (policies, units, features); what follows from a table of policies
is said here for both, and for a third.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar, Self

from diffmask.assemble.recipe import UNIT_SETTINGS, Ingredients, Recipe
from diffmask.assemble.schedules import RATIO_FLOOR, build_schedule
from diffmask.config.limits import check_limits, choose
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import Weighting
from diffmask.core.schedule import Constant, Random, Schedule
from diffmask.policies.uniform import Uniform

_TITLES = {"ratio": "mask ratio", "strength": "strength"}
"""Schedules that are always looked at."""
EVAL_SEED = 20260
"""Seed of the evaluation's masks, the same for every run, so that their losses can be compared."""


class ResolvedMasking:
    """A masking whose names have been looked up, and whose settings have been found to take effect.

    Args:
        config: The settings, with at least the fields policy, units, ratio, strength, weighting, temperature,
            direction, hint_share and seed.

    Attributes:
        config: The settings.
        recipe: The policy that they name.
        inner: The policies that it is made of; none for most.
        units: What is masked whole.
        features: The features of units that the policies read.
        silent: The settings that are given and say nothing to the policy or its units.

    Raises:
        InputError: If a name is unknown, or a value is none that its setting can have.
    """

    policies: ClassVar[Mapping[str, Recipe]]
    read_by_all: ClassVar[tuple[str, ...]] = ("anchors",)
    """Settings that only some policies read, but that always tell which units belong to the domain."""
    naming: ClassVar[str] = ""
    """How a policy is named that is made of those of several sides, as a sentence; such a class has no table."""
    schedules: ClassVar[Mapping[str, float]] = {"ratio": RATIO_FLOOR, "strength": 0.0}
    """Settings that are schedules, each with the floor under it."""
    uniform: ClassVar[bool] = False
    """Whether every row hides the same number of positions."""

    def __init__(self, config: Any):
        check_limits(config, "masking.")
        self.config = config
        self.recipe = choose(self.policies, config.policy, "policy")
        self.inner = self._inner()
        self.units = self._units()
        self.features = tuple(dict.fromkeys(name for recipe in self._recipes for name in recipe.features))
        self.silent = self._silent()

    @classmethod
    def resolve(cls, config: Any) -> Self:
        """Return the masking that settings describe.

        Raises:
            InputError: As the class; or if a setting is given that cannot take effect.
        """
        resolved = cls(config)
        resolved._refuse_silent()
        return resolved

    @classmethod
    def for_policy(cls, config: Any, policy: str) -> Any:
        """Return the settings with another policy, without those that say nothing to it.

        Raises:
            InputError: As the class.
        """
        check_limits(config, "masking.")
        recipe, made = choose(cls.policies, policy, "policy"), replace(config, policy=policy)
        if recipe.has_fixed_units and made.units != recipe.units:
            made = replace(made, units=None)
        return replace(made, **{name: _default(config, name) for name in cls(made).silent})

    @classmethod
    def changed_by(cls, config: Any, policy: str) -> set[str]:
        """Return the settings that are given, and that another policy would not read."""
        made = cls.for_policy(config, policy)
        return {each.name for each in fields(config) if getattr(made, each.name) != getattr(config, each.name)} - {
            "policy"
        }

    def masker(self, ingredients: Ingredients) -> Masker:
        """Return the masker of a run.

        Raises:
            InputError: If the policy lacks something, or a schedule cannot be followed.
        """
        return Masker(
            policy=self.recipe.make(ingredients),
            **{name: self.schedule(name) for name in self.schedules},
            weighting=self.weighting,
            seed=self.config.seed,
            uniform=self.uniform,
            hint_share=self.config.hint_share,
            hide=self.config.direction == "hide",
        )

    def evaluation_masker(self) -> Masker:
        """Return the masker of the evaluation: random, and the same for every policy."""
        return Masker(Uniform(), Constant(self.config.eval_ratio), seed=EVAL_SEED, uniform=self.uniform)

    def schedule(self, name: str) -> Schedule:
        """Return one of the `schedules`.

        Raises:
            InputError: If it cannot be followed.
        """
        schedule = build_schedule(getattr(self.config, name), f"masking.{name}", self.schedules[name])
        if isinstance(schedule, Random) and name != "ratio":
            raise InputError(
                f"masking.{name} is random, and only masking.ratio can be drawn for each row; use another schedule, "
                "such as linear (`diffmask schedule --list`)"
            )
        return schedule

    @property
    def planned(self) -> dict[str, Schedule]:
        """The schedules of ratio and strength, by the keys under which a run logs what was reached.

        Raises:
            InputError: If one cannot be followed.
        """
        return {"mask_ratio": self.schedule("ratio"), "strength": self.schedule("strength")}

    @property
    def shown_schedules(self) -> dict[str, Schedule]:
        """The schedules that people look at, by title: ratio, strength, and others that are given."""
        usual = type(self.config)()
        titles = {name: _TITLES.get(name, name.replace("_", " ")) for name in self.schedules}
        shown = {name for name in titles if name in _TITLES or getattr(self.config, name) != getattr(usual, name)}
        return {title: self.schedule(name) for name, title in titles.items() if name in shown}

    @property
    def weighting(self) -> Weighting:
        """How scores become weights."""
        return self.recipe.weighting_for(self.config)

    @property
    def is_random(self) -> bool:
        """Whether all units of a row score the same."""
        return all(recipe.is_random for recipe in self._recipes)

    @property
    def _recipes(self) -> tuple[Recipe, ...]:
        return (self.recipe, *self.inner)

    def _inner(self) -> tuple[Recipe, ...]:
        """Return the policies that the policy is made of."""
        return ()

    def _units(self) -> str:
        """Return what is masked whole.

        Raises:
            InputError: If the units are not those of a policy that is made by them.
        """
        units, recipe = self.config.units, self.recipe
        if units is not None and recipe.has_fixed_units and units != recipe.units:
            raise InputError(self._misfit("masking.policy", self.config.policy, recipe.units))
        return units or recipe.units

    def _misfit(self, setting: str, name: str, own: str) -> str:
        """Return the sentence for units that are not those of a policy."""
        wanted = self.config.units
        fitting = [each for each, made in self.policies.items() if made.has_fixed_units and made.units == wanted]
        return (
            f"{setting} names {name}, which masks units of its own ({own}), and masking.units is {wanted}; leave "
            f"units out, or choose {' or '.join(fitting)} in {setting}"
        )

    def _silent(self) -> list[str]:
        read = {name for recipe in self._recipes for name in recipe.settings} | set(self.read_by_all)
        read |= set(UNIT_SETTINGS.get(self.units, ()))
        silent = [name for name in self._readers() if name not in read]
        if self.is_random:
            silent += ["direction", "hint_share"]
        elif all((self.config.weighting or each.weighting) != "softmax" for each in self.inner or self._recipes):
            # random masking may be given a temperature, so that it differs from other runs in one line
            silent.append("temperature")
        return [name for name in silent if getattr(self.config, name) != _default(self.config, name)]

    def _readers(self) -> dict[str, str]:
        """Return the settings that only some policies read, each with a remedy: what would read it."""
        return {
            name: f"masking.policy={policy}"
            for policy, recipe in reversed(list(self.policies.items()))
            for name in recipe.all_settings
            if name not in self.read_by_all
        }

    def _refuse_silent(self) -> None:
        """Refuse a setting that cannot take effect."""
        config, readers = self.config, self._readers()
        for name in self.silent:
            if name in readers:
                raise InputError(
                    f"masking.{name} is given, and the policy {config.policy} does not read it; leave it out, or use "
                    f"{readers[name]}"
                )
            if name == "temperature":
                raise InputError(
                    f"masking.temperature={config.temperature:g} is that of softmax, by which {config.policy} does "
                    "not weigh; use masking.weighting=softmax, or leave the temperature out"
                )
            raise InputError(
                f"masking.direction and hint_share go by scores, and {config.policy} scores all units alike; leave "
                "them out, or choose another policy"
            )
        if config.direction == "show" and (config.weighting or self.recipe.weighting) == "linear":
            raise InputError(
                "masking.direction=show turns scores below zero, which linear weights clip; use softmax or rank"
            )


def _default(config: Any, name: str) -> Any:
    return getattr(type(config)(), name)
