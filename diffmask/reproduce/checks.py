"""What an experiment may not be: without its data, with unknown settings, or with unequal budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from diffmask.assemble import RATIO_FLOOR, build_schedule
from diffmask.assemble.resolve import recipes_of
from diffmask.assemble.training import check_training
from diffmask.config import ConfigError, PretrainConfig, from_mapping
from diffmask.config.evaluation import EvaluateSettings
from diffmask.config.experiment import ExperimentConfig, arms_of
from diffmask.config.mappings import flat
from diffmask.core.errors import InputError
from diffmask.evaluate.checks import check_settings
from diffmask.reproduce.place import DATA_VARIABLE, Place


def group(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a group of settings; one that is left out, or empty, has none.

    Raises:
        ConfigError: If it is no group.
    """
    given = settings.get(name) or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"`pretrain.{name}` is {given!r}; it must be a group of settings")
    return dict(given)


def check_own(config: ExperimentConfig, own: Mapping[str, Sequence[str]]) -> None:
    """Refuse settings that the experiment itself fills in.

    Raises:
        ConfigError: For the first of them.
    """
    groups = {"pretrain": config.pretrain, "evaluate": config.evaluate}
    groups |= {f"arms.{name}": {"masking": arm.masking} for name, arm in arms_of(config).items()}
    for where, settings in groups.items():
        given = {*settings, *flat(settings)}
        for name in own[where.partition(".")[0]]:
            if name in given:
                raise ConfigError(f"`{where}.{name}` is filled in by the experiment; leave it out")


def check_names(where: str, given: Mapping[str, Any], kind: type, own: set[str]) -> None:
    """Refuse settings that a dataclass has not, or that are not the experiment's to give.

    Raises:
        ConfigError: For the first of them.
    """
    known = {each.name for each in fields(kind)} - own
    for name in given:
        if name not in known:
            raise ConfigError(f"unknown setting `{where}.{name}`; known here: {', '.join(sorted(known))}")


def check_runs(configs: Mapping[str, PretrainConfig]) -> None:
    """Refuse what a run would refuse before it reads a file.

    Raises:
        InputError: For the first setting that cannot be used.
    """
    for config in configs.values():
        check_training(config.training)
        recipes_of(config.masking)
        build_schedule(config.masking.strength, "masking.strength", 0.0)


def check_data(place: Place) -> None:
    """Refuse a task whose files are not there.

    Raises:
        InputError: For the first that is missing.
    """
    for file in (*place.task.files, *place.task.text):
        pattern = file and not Path(file).is_absolute()
        if not file or (not (place.data / file).exists() and not (pattern and any(place.data.glob(file)))):
            raise InputError(
                f"the data set {file!r} is not in {place.data}; prepare it with `python tools/fetch_data`, or say with "
                f"--data (or {DATA_VARIABLE}) in which folder it is"
            )


def check_evaluation(place: Place) -> None:
    """Refuse settings of the evaluation that cannot be used.

    Raises:
        ConfigError, InputError: For the first of them.
    """
    given = {**place.config.evaluate, "metric": place.task.metric, "model": place.config.model}
    given["task"] = {**place.task.task, "files": place.named(place.task.files)}
    check_settings(from_mapping(EvaluateSettings, given, "evaluate."))


def check_budgets(configs: Mapping[str, PretrainConfig]) -> None:
    """Refuse arms of unequal budgets: all differ in what is masked, never in how much.

    Raises:
        InputError: If two arms have different mean mask ratios.
    """
    ratios = {name: _mean_ratio(config) for name, config in configs.items()}
    first = next(iter(ratios), None)
    for name, ratio in ratios.items():
        assert first is not None
        if abs(ratio - ratios[first]) > 0.01 * ratios[first]:
            raise InputError(
                f"the arms {first} and {name} mask {100 * ratios[first]:.1f} % and {100 * ratio:.1f} % of the tokens "
                "on average, so they cannot be compared; give the schedule {..., normalise: mean, mean: ...}"
            )


def _mean_ratio(config: PretrainConfig, points: int = 1000) -> float:
    schedule = build_schedule(config.masking.ratio, "masking.ratio", RATIO_FLOOR)
    return sum(schedule((point + 0.5) / points) for point in range(points)) / points
