"""What an experiment consists of: for each task anchors, scorers, and for each seed a start, runs and evaluations."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from diffmask.config import ConfigError, PretrainConfig, from_mapping, to_mapping
from diffmask.config.experiment import Arm, ExperimentConfig, arms_of, tasks_of
from diffmask.reproduce.checks import check_budgets, check_data, check_evaluation
from diffmask.reproduce.jobs import Job
from diffmask.reproduce.place import Place
from diffmask.text.anchors import AnchorSettings
from diffmask.text.selective import SelectiveSettings

_OWN = {"model", "output", "task"}
"""Groups of a run that the experiment itself fills in."""


def plan(config: ExperimentConfig, data: Path, output: Path) -> list[Job]:
    """Return the jobs of an experiment, in an order in which they may run.

    Args:
        config: The experiment.
        data: Folder of the data sets.
        output: Folder of the experiment.

    Raises:
        InputError: If a data set is missing, or arms have unequal budgets.
        ConfigError: If a setting is unknown or of a wrong kind.
    """
    arms = arms_of(config)
    places = [Place(config, name, task, data, output) for name, task in tasks_of(config).items()]
    for place in places:
        check_data(place)
        check_evaluation(place)
    check_budgets({name: run_config(places[0], name, arm, 0) for name, arm in arms.items() if arm.continued})
    return [job for place in places for job in _of_task(place, arms)]


def _of_task(place: Place, arms: Mapping[str, Arm]) -> Iterator[Job]:
    once: dict[str, Job] = {}
    for arm in arms.values():
        if arm.continued:
            made = _anchors(place, arm)
            once.setdefault(made.name, made)
    if any(_needs_scorer(arm) for arm in arms.values()):
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


def _anchors(place: Place, arm: Arm) -> Job:
    """Return the job that makes the anchors of an arm; arms that ask for the same share them."""
    given = dict(arm.anchors)
    expert = given.pop("expert", False)
    known = {each.name for each in fields(AnchorSettings)} - {"data", "model"}
    for name in given:
        if name not in known:
            raise ConfigError(f"unknown setting `anchors.{name}`; known here: {', '.join(sorted(known))}, expert")
    command = [
        "anchors",
        *place.named(place.task.text),
        "--model",
        place.config.model,
        "-o",
        str(anchors_of(place, arm)),
    ]
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        command += [f"--{name.replace('_', '-')}", *map(str, values)]
    file = None
    if expert:
        if not place.task.expert_anchors:
            raise ConfigError(f"an arm asks for expert anchors, and tasks.{place.task_name}.expert_anchors is empty")
        words = place.folder / "expert-anchors.txt"
        command += ["--anchors", str(words)]
        file = (words, "\n".join(place.task.expert_anchors) + "\n")
    folder = anchors_of(place, arm)
    return Job(f"{place.task_name}/anchors/{folder.name}", tuple(command), folder / "anchors.json", file=file)


def anchors_of(place: Place, arm: Arm) -> Path:
    """Return the folder of the anchors of an arm."""
    words = [f"{name}-{value}" for name, value in sorted(arm.anchors.items())]
    name = "_".join("".join(char if char.isalnum() or char in "-_." else "-" for char in word) for word in words)
    return place.folder / "anchors" / (name or "default")


def _needs_scorer(arm: Arm) -> bool:
    masking = arm.masking
    return "selective" in (masking.get("policy"), masking.get("base"), *masking.get("mixture", ()))


def _scorer(place: Place) -> Job:
    given = place.config.selective
    known = {each.name for each in fields(SelectiveSettings)} - {"task", "model"}
    for name in given:
        if name not in known:
            raise ConfigError(f"unknown setting `selective.{name}`; known here: {', '.join(sorted(known))}")
    folder = place.folder / "scorer"
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    files = place.named(place.task.files)
    command = ("selective", *files, "--model", place.config.model, "-o", str(folder), *options)
    return Job(f"{place.task_name}/scorer", command, folder / "scorer.json")


def _start(place: Place, seed: int) -> Job:
    """Return the job that trains the head with which all arms of a seed start; the encoder stays what it was."""
    given = {**place.config.pretrain, "masking": {"policy": "whole-word", "seed": seed}}
    given["training"] = {**given.get("training", {}), "steps": 0, "epochs": None}
    return _pretrain(place, "start", seed, _config(place, place.config.model, "start", seed, given), ())


def run_config(place: Place, name: str, arm: Arm, seed: int) -> PretrainConfig:
    """Return the settings of an arm's run.

    Raises:
        ConfigError: If a setting is unknown or of a wrong kind.
    """
    common = place.config.pretrain
    masking = {**common.get("masking", {}), **arm.masking, "anchors": str(anchors_of(place, arm)), "seed": seed}
    if _needs_scorer(arm):
        masking["scorer"] = str(place.folder / "scorer")
    return _config(place, str(place.start(seed) / "model"), name, seed, {**common, "masking": masking})


def _config(place: Place, model: str, name: str, seed: int, given: Mapping[str, Any]) -> PretrainConfig:
    own = sorted(_OWN & set(given))
    if own:
        raise ConfigError(f"`pretrain.{own[0]}` is filled in by the experiment; leave it out")
    mapping = {
        **given,
        "model": model,
        "output": str(place.run(name, seed)),
        "data": {**given.get("data", {}), "train": place.named(place.task.text)},
        "training": {**given.get("training", {}), "seed": seed},
    }
    return from_mapping(PretrainConfig, mapping)


def _run(place: Place, name: str, arm: Arm, seed: int, start: Job) -> Job:
    needs = [start.name, _anchors(place, arm).name]
    if _needs_scorer(arm):
        needs.append(_scorer(place).name)
    return _pretrain(place, name, seed, run_config(place, name, arm, seed), tuple(needs))


def _pretrain(place: Place, name: str, seed: int, config: PretrainConfig, needs: tuple[str, ...]) -> Job:
    path = place.folder / "configs" / f"{name}-seed-{seed}.yaml"
    return Job(
        f"{place.task_name}/pretrain/{name}/seed-{seed}",
        ("pretrain", str(path), "--resume"),
        place.run(name, seed) / "model",
        needs,
        (path, yaml.safe_dump(to_mapping(config), sort_keys=False)),
    )


def _evaluation(place: Place, name: str, seed: int, needs: tuple[str, ...]) -> Job:
    # the start in the place of the model as it came: saved the same way, it lacks the same parts of a head
    model = place.start(seed) if needs == (_start(place, seed).name,) else place.run(name, seed)
    output = place.results(name)
    overrides = [
        f"{key}={json.dumps(value)}"
        for key, value in {**_flat(place.config.evaluate), "task.name": place.task_name, "first_seed": seed}.items()
    ]
    command = ["evaluate", str(model), "--task", *place.named(place.task.files), "--seeds", "1", "--name", name]
    return Job(
        f"{place.task_name}/evaluate/{name}/seed-{seed}",
        (*command, "-o", str(output), *overrides),
        output / f"seed-{seed}.json",
        needs,
    )


def _flat(settings: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{where}{name}.") if isinstance(value, dict) else {where + name: value}
    return flat
