"""The plan of an experiment: which jobs it consists of.

    plan(config, data, output) -> jobs, in an order in which they may run

For each task: anchors, where an arm needs one a scorer, and for each seed one start, then a run and an evaluation of
every arm. An experiment without its data, with unknown settings, or whose arms mask unequal shares is refused.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from diffmask.assemble.text import TextMasking
from diffmask.assemble.training import check_training
from diffmask.config import TextConfig, from_mapping, to_mapping
from diffmask.config.evaluation import EvaluateSettings
from diffmask.config.experiment import START, Arm, ExperimentConfig, ExperimentTask, arms_of, tasks_of
from diffmask.config.limits import check_limits
from diffmask.config.read import flat
from diffmask.core.errors import InputError
from diffmask.core.schedule import mean
from diffmask.reproduce.runner import Job
from diffmask.selective.make import SelectiveSettings
from diffmask.text.anchors.find import AnchorSettings

DATA_VARIABLE = "DIFFMASK_DATA"

OWN = {
    "pretrain": ("model", "output", "task", "data.train", "training.seed", "masking.seed", "masking.anchors",
                 "masking.scorer"),
    "arms": ("masking.seed", "masking.anchors", "masking.scorer"),
    "evaluate": ("model", "task", "output", "name", "seeds", "first_seed", "metric"),
}  # fmt: skip
"""Settings that the experiment fills in; nobody may give them."""
_OF_HEAD = ("ratio", "mask_share", "random_share", "eval_ratio", "eval_units", "domain_threshold")
"""Settings of masking with which the head is trained too; all others belong to the arms."""


@dataclass(frozen=True)
class _Place:
    """One task of an experiment, and where its files are."""

    config: ExperimentConfig
    task_name: str
    task: ExperimentTask
    data: Path
    output: Path

    @property
    def folder(self) -> Path:
        """Where everything about the task is written."""
        return self.output / self.task_name

    def run(self, arm: str, seed: int) -> Path:
        """Return the folder of a run."""
        return self.folder / "runs" / arm / f"seed-{seed}"

    def start(self, seed: int) -> Path:
        """Return the folder of the run that trains the head with which all arms of a seed start."""
        return self.run(START, seed)

    def results(self, arm: str) -> Path:
        """Return the folder of an arm's results."""
        return self.folder / "results" / arm

    def named(self, files: Sequence[str]) -> list[str]:
        """Return the paths of files of the data sets."""
        return [str(self.data / file) for file in files]


def data_folder(given: str | None) -> Path:
    """Return the folder of the data sets: the given one, $DIFFMASK_DATA, or ./data."""
    return Path(given or os.environ.get(DATA_VARIABLE) or "data")


def plan(config: ExperimentConfig, data: Path, output: Path) -> list[Job]:
    """Return the jobs of an experiment, in an order in which they may run.

    Args:
        config: The experiment.
        data: Folder of the data sets.
        output: Folder of the experiment.

    Raises:
        InputError: If a data set is missing, a setting cannot be used, or arms mask unequal shares.
    """
    _check_own(config, OWN)
    arms = arms_of(config)
    places = [_Place(config, name, task, data, output) for name, task in tasks_of(config).items()]
    for place in places:
        _check_data(place)
        _check_evaluation(place)
    runs = {name: _run_config(places[0], name, arm, 0) for name, arm in arms.items() if arm.continued}
    _check_runs(runs)
    _check_budgets(runs)
    return [job for place in places for job in _of_task(place, arms)]


def _of_task(place: _Place, arms: Mapping[str, Arm]) -> Iterator[Job]:
    once: dict[str, Job] = {}
    for arm in (Arm(), *arms.values()):
        if arm.continued:
            made = _anchors(place, arm)
            once.setdefault(made.name, made)
    if any(_needs_scorer(place, arm) for arm in arms.values()):
        scorer = _scorer(place)
        once[scorer.name] = scorer
    yield from once.values()
    for seed in range(place.config.seeds):
        start = _start(place, seed)
        yield start
        for name, arm in arms.items():
            needs = (start.name,)
            if arm.continued:
                run = _run(place, name, arm, seed, start)
                yield run
                needs = (run.name,)
            yield _evaluation(place, name, seed, needs)


def _anchors(place: _Place, arm: Arm) -> Job:
    """Return the job that makes the anchors of an arm; arms with the same settings share one."""
    given = dict(arm.anchors)
    expert = given.pop("expert", False)
    data = place.named(place.task.text)
    _check_names("anchors", given, AnchorSettings, {"data", "model", "anchors", "device"})
    AnchorSettings(data=data, model=place.config.model, **given)  # refuses settings that cannot be used
    folder = _anchors_of(place, arm)
    command = ["anchors", *data, "--model", place.config.model, "-o", str(folder), *_options(given)]
    file = None
    if expert:
        if not place.task.expert_anchors:
            raise InputError(f"an arm asks for expert anchors, and tasks.{place.task_name}.expert_anchors is empty")
        words = place.folder / "expert-anchors.txt"
        command += ["--anchors", str(words)]
        file = (words, "\n".join(place.task.expert_anchors) + "\n")
    return Job(f"{place.task_name}/anchors/{folder.name}", tuple(command), folder / "anchors.json", file=file)


def _anchors_of(place: _Place, arm: Arm) -> Path:
    """Return the folder of the anchors of an arm."""
    words = "_".join(f"{name}-{value}" for name, value in sorted(arm.anchors.items()))
    name = "".join(char if char.isalnum() or char in "-_." else "-" for char in words)
    if name != words:  # different values may have become the same name
        name += "-" + hashlib.sha256(words.encode()).hexdigest()[:8]
    return place.folder / "anchors" / (name or "default")


def _options(given: Mapping[str, Any]) -> list[str]:
    """Return settings as options of a command.

    Raises:
        InputError: If a list holds what the command would take for another option.
    """
    words = []
    for name, value in given.items():
        option, values = f"--{name.replace('_', '-')}", [str(each) for each in value] if isinstance(value, list) else []
        wrong = next((each for each in values if each.startswith("-")), None)
        if wrong is not None:
            raise InputError(f"`{name}` holds {wrong!r}, which begins with -; give ./{wrong} if it is a file")
        words += [option, *values] if values else [f"{option}={value}"]
    return words


def _scorer(place: _Place) -> Job:
    given, files = place.config.selective, place.named(place.task.files)
    _check_names("selective", given, SelectiveSettings, {"task", "model", "device"})
    SelectiveSettings(task=files, model=place.config.model, **given)  # refuses settings that cannot be used
    folder = place.folder / "scorer"
    command = ("selective", *files, "--model", place.config.model, "-o", str(folder), *_options(given))
    return Job(f"{place.task_name}/scorer", command, folder / "scorer.json")


def _needs_scorer(place: _Place, arm: Arm) -> bool:
    masking = {**_section(place.config.pretrain, "masking"), **arm.masking}
    mixture = masking.get("mixture") or ()
    return arm.continued and "selective" in (masking.get("policy"), masking.get("base"), *mixture)


def _start(place: _Place, seed: int) -> Job:
    """Return the job that trains the head with which all arms of a seed start; the encoder does not change."""
    common = _section(place.config.pretrain, "masking")
    masking = {name: common[name] for name in _OF_HEAD if name in common}
    masking |= {"policy": "whole-word", "anchors": str(_anchors_of(place, Arm())), "seed": seed}
    training = {**_section(place.config.pretrain, "training"), "steps": 0, "epochs": None}
    given = {**place.config.pretrain, "masking": masking, "training": training}
    needs = (_anchors(place, Arm()).name,)
    return _pretrain(place, START, seed, _config(place, place.config.model, START, seed, given), needs)


def _run(place: _Place, name: str, arm: Arm, seed: int, start: Job) -> Job:
    needs = [start.name, _anchors(place, arm).name]
    if _needs_scorer(place, arm):
        needs.append(_scorer(place).name)
    return _pretrain(place, name, seed, _run_config(place, name, arm, seed), tuple(needs))


def _run_config(place: _Place, name: str, arm: Arm, seed: int) -> TextConfig:
    """Return the settings of an arm's run."""
    common = place.config.pretrain
    masking = {**_section(common, "masking"), **arm.masking, "anchors": str(_anchors_of(place, arm)), "seed": seed}
    if _needs_scorer(place, arm):
        masking["scorer"] = str(place.folder / "scorer")
    return _config(place, str(place.start(seed) / "model"), name, seed, {**common, "masking": masking})


def _config(place: _Place, model: str, name: str, seed: int, given: Mapping[str, Any]) -> TextConfig:
    mapping = {
        **given,
        "model": model,
        "output": str(place.run(name, seed)),
        "data": {**_section(given, "data"), "train": place.named(place.task.text)},
        "training": {**_section(given, "training"), "seed": seed},
    }
    return from_mapping(TextConfig, mapping)


def _pretrain(place: _Place, name: str, seed: int, config: TextConfig, needs: tuple[str, ...]) -> Job:
    path = place.folder / "configs" / f"{name}-seed-{seed}.yaml"
    return Job(
        f"{place.task_name}/pretrain/{name}/seed-{seed}",
        ("pretrain", str(path), "--resume"),
        place.run(name, seed) / "model",
        needs,
        (path, yaml.safe_dump(to_mapping(config), sort_keys=False)),
    )


def _evaluation(place: _Place, name: str, seed: int, needs: tuple[str, ...]) -> Job:
    # "not continued" is the start, not the original model: all arms are then saved in the same way
    model = place.start(seed) if needs == (_start(place, seed).name,) else place.run(name, seed)
    output = place.results(name)
    fixed = {"task.name": place.task_name, "metric": place.task.metric, "first_seed": seed}
    settings = {**flat(place.config.evaluate), **flat(place.task.task, "task."), **fixed}
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    command = ["evaluate", str(model), "--task", *place.named(place.task.files), "--seeds", "1", "--name", name]
    return Job(
        f"{place.task_name}/evaluate/{name}/seed-{seed}",
        (*command, "-o", str(output), *overrides),
        output / f"seed-{seed}.json",
        needs,
    )


def _section(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the settings under a name; none if it is missing or empty."""
    given = settings.get(name) or {}
    if not isinstance(given, Mapping):
        raise InputError(f"`pretrain.{name}` is {given!r}; it must be a group of settings")
    return dict(given)


def _check_own(config: ExperimentConfig, own: Mapping[str, Sequence[str]]) -> None:
    """Refuse settings that the experiment itself fills in."""
    groups = {"pretrain": config.pretrain, "evaluate": config.evaluate}
    groups |= {f"arms.{name}": {"masking": arm.masking} for name, arm in arms_of(config).items()}
    for where, settings in groups.items():
        given = {*settings, *flat(settings)}
        for name in own[where.partition(".")[0]]:
            if name in given:
                raise InputError(f"`{where}.{name}` is filled in by the experiment; leave it out")


def _check_names(where: str, given: Mapping[str, Any], kind: type, own: set[str]) -> None:
    """Refuse settings that a dataclass does not have, or that the experiment fills in."""
    known = {each.name for each in fields(kind)} - own
    for name in given:
        if name not in known:
            raise InputError(f"unknown setting `{where}.{name}`; known here: {', '.join(sorted(known))}")


def _check_data(place: _Place) -> None:
    """Refuse a task whose files are missing."""
    for file in (*place.task.files, *place.task.text):
        pattern = file and not Path(file).is_absolute()
        if not file or (not (place.data / file).exists() and not (pattern and any(place.data.glob(file)))):
            raise InputError(
                f"the data set {file!r} is not in {place.data}; prepare it with `python tools/fetch_data`, or say with "
                f"--data (or {DATA_VARIABLE}) in which folder it is"
            )


def _check_evaluation(place: _Place) -> None:
    """Refuse settings of the evaluation that cannot be used."""
    given = {**place.config.evaluate, "metric": place.task.metric, "model": place.config.model}
    given["task"] = {**place.task.task, "files": place.named(place.task.files)}
    from_mapping(EvaluateSettings, given, "evaluate.")  # it refuses what cannot be used


def _check_runs(configs: Mapping[str, TextConfig]) -> None:
    """Refuse now what a run would refuse later, as far as that is known without reading a file."""
    for config in configs.values():
        check_limits(config.training, "training.")
        check_training(config.training)
        TextMasking.resolve(config.masking).schedule("strength")


def _check_budgets(configs: Mapping[str, TextConfig]) -> None:
    """Refuse arms with unequal mean mask ratios: arms may differ in what is masked, never in how much."""
    ratios = {name: mean(TextMasking(config.masking).schedule("ratio")) for name, config in configs.items()}
    first = next(iter(ratios), None)
    for name, ratio in ratios.items():
        assert first is not None
        if abs(ratio - ratios[first]) > 0.01 * ratios[first]:
            raise InputError(
                f"the arms {first} and {name} mask {100 * ratios[first]:.1f} % and {100 * ratio:.1f} % of the tokens "
                "on average, so they cannot be compared; give the schedule {..., normalise: mean, mean: ...}"
            )
