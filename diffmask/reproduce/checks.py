"""What an experiment may not be: without its data, with unknown settings, or with unequal budgets."""

from collections.abc import Mapping

from diffmask.build import RATIO_FLOOR, build_schedule
from diffmask.config import PretrainConfig, from_mapping
from diffmask.core.errors import InputError
from diffmask.evaluate.checks import check_settings
from diffmask.evaluate.settings import EvaluateSettings
from diffmask.reproduce.place import DATA_VARIABLE, Place


def check_data(place: Place) -> None:
    """Refuse a task whose files are not there.

    Raises:
        InputError: For the first that is missing.
    """
    for file in (*place.task.files, *place.task.text):
        if not (place.data / file).exists() and not any(place.data.glob(file)):
            raise InputError(
                f"the data set {file} is not in {place.data}; prepare it with `python tools/fetch_data`, or say with "
                f"--data (or {DATA_VARIABLE}) in which folder it is"
            )


def check_evaluation(place: Place) -> None:
    """Refuse settings of the evaluation that cannot be used.

    Raises:
        ConfigError, InputError: For the first of them.
    """
    given = {**place.config.evaluate, "metric": place.task.metric, "model": place.config.model}
    given["task"] = {"files": place.named(place.task.files)}
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
