"""The plan of an experiment: which jobs it consists of.

    plan(config, data, output) -> jobs, in an order in which they may run

For each task: what its arms need, such as anchors, and for each seed one start, then a run and an evaluation of every
arm. An experiment without its data, with unknown settings, or whose arms mask unequal shares is refused.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from diffmask.assemble.training import check_training
from diffmask.config import from_mapping, to_mapping
from diffmask.config.evaluation import FULL, INPUTS, EvaluateSettings
from diffmask.config.experiment import START, Arm, ExperimentConfig, arms_of, tasks_of
from diffmask.config.limits import check_limits, choose
from diffmask.config.read import flat
from diffmask.core.errors import InputError
from diffmask.reproduce.pair_runs import PairRuns
from diffmask.reproduce.place import DATA_VARIABLE, Place, Runs, section
from diffmask.reproduce.runner import Job
from diffmask.reproduce.text_runs import TextRuns

_RUNS: dict[str, Runs] = {"text": TextRuns(), "video-text": PairRuns()}
"""What becomes of arms, by the modality of an experiment."""


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
    runs = choose(_RUNS, config.modality, "modality")
    _check_steps(config)
    _check_own(config, runs.own)
    arms = arms_of(config)
    places = [Place(config, name, task, data, output) for name, task in tasks_of(config).items()]
    for place in places:
        of_arms = [file for arm in arms.values() for file in arm.text]
        place.check([*place.task.files, *place.task.text, *place.task.held_out, *of_arms])
        runs.check(place, arms)
        _check_evaluation(place, runs)
    continued = {name: arm for name, arm in arms.items() if arm.continued}
    configs = {name: _run_config(places[0], runs, name, arm, 0) for name, arm in continued.items()}
    for each in configs.values():
        check_limits(each.training, "training.")
        check_training(each.training)
    _check_budgets({name: runs.ratios(each) for name, each in configs.items()})
    return [job for place in places for job in _of_task(place, runs, arms)]


def _of_task(place: Place, runs: Runs, arms: Mapping[str, Arm]) -> Iterator[Job]:
    """Yield the jobs of a task."""
    yield from runs.prepare(place, arms)
    for seed in range(place.config.seeds):
        start = _start(place, runs, seed)
        yield start
        for name, arm in arms.items():
            # "not continued" is the start, not the original model: all arms are then saved in the same way
            evaluated = _Evaluated(name, seed, place.start(seed), (start.name,))
            if arm.continued:
                needs = (start.name, *runs.needs(place, arm))
                run = _pretrain(place, name, seed, _run_config(place, runs, name, arm, seed), needs)
                yield run
                evaluated = _Evaluated(name, seed, place.run(name, seed), (run.name,))
                for step in place.config.steps:
                    yield _evaluation(place, runs, evaluated, step=step)
            yield _evaluation(place, runs, evaluated)
            if place.task.inputs and name == place.config.baseline:
                for inputs in INPUTS:
                    if inputs != FULL:
                        yield _evaluation(place, runs, evaluated, inputs=inputs)


def _start(place: Place, runs: Runs, seed: int) -> Job:
    """Return the job that trains the head with which all arms of a seed start; the encoder does not change."""
    config = _config(place, runs, START, seed, runs.start(place, seed))
    return _pretrain(place, START, seed, config, tuple(runs.needs(place, None)))


def _run_config(place: Place, runs: Runs, name: str, arm: Arm, seed: int) -> Any:
    """Return the settings of an arm's run."""
    given = runs.arm(place, arm, seed)
    if arm.text:
        given["data"] = {**section(given, "data"), "train": place.named(arm.text)}
    return _config(place, runs, name, seed, given)


def _config(place: Place, runs: Runs, name: str, seed: int, given: Mapping[str, Any]) -> Any:
    data = {"train": place.named(place.task.text), **section(given, "data")}
    if place.task.held_out:
        data["eval"] = place.named(place.task.held_out)
    if place.task.clips:
        data["clips"] = place.named(place.task.clips)
    snapshots = {"snapshots": place.config.steps} if name != START and place.config.steps else {}
    training = {**section(given, "training"), "seed": seed} | snapshots
    return from_mapping(runs.kind, {**given, "output": str(place.run(name, seed)), "data": data, "training": training})


def _pretrain(place: Place, name: str, seed: int, config: Any, needs: tuple[str, ...]) -> Job:
    path = place.folder / "configs" / f"{name}-seed-{seed}.yaml"
    return Job(
        f"{place.task_name}/pretrain/{name}/seed-{seed}",
        ("pretrain", str(path), "--resume"),
        place.run(name, seed) / "model",
        needs,
        (path, yaml.safe_dump(to_mapping(config), sort_keys=False)),
    )


class _Evaluated(NamedTuple):
    """What is evaluated: an arm and a seed, the folder of its run, and the names of the jobs that make it."""

    arm: str
    seed: int
    run: Path
    needs: tuple[str, ...]


def _evaluation(
    place: Place, runs: Runs, evaluated: _Evaluated, *, inputs: str | None = None, step: int | None = None
) -> Job:
    """Return the job that evaluates an arm: at its end or after a step, shown all of a question or only some of it."""
    arm, seed, run, needs = evaluated
    more, part, model, output = flat(runs.evaluation(place)), "", run, place.results(arm)
    if inputs is not None:
        more, part, output = more | {"video_text.inputs": inputs}, f"/{inputs}", place.inputs(arm, inputs)
    if step is not None:
        most = max(place.config.evaluate.get("shares") or [1.0])
        more, part, output = more | {"shares": [most]}, f"/step-{step}", place.results_after(arm, step)
        model = run / "snapshots" / f"step-{step}"
    fixed = {"task.name": place.task_name, "metric": place.task.metric, "first_seed": seed}
    settings = {**flat(place.config.evaluate), **more, **flat(place.task.task, "task."), **fixed}
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    command = ["evaluate", str(model), "--task", *place.named(place.task.files), "--seeds", "1", "--name", arm]
    return Job(
        f"{place.task_name}/evaluate/{arm}{part}/seed-{seed}",
        (*command, "-o", str(output), *overrides),
        output / f"seed-{seed}.json",
        needs,
    )


def _check_steps(config: ExperimentConfig) -> None:
    """Refuse steps after which no arm can be evaluated, since it has ended."""
    end = section(config.pretrain, "training").get("steps")
    late = [step for step in config.steps if end is None or step >= end]
    if late:
        raise InputError(
            f"steps={list(config.steps)} must be below pretrain.training.steps="
            f"{'(not given)' if end is None else end}, where each arm is evaluated anyway"
        )


def _check_own(config: ExperimentConfig, own: Mapping[str, Sequence[str]]) -> None:
    """Refuse settings that the experiment itself fills in."""
    groups = {"pretrain": config.pretrain, "evaluate": config.evaluate}
    groups |= {f"arms.{name}": {"masking": arm.masking} for name, arm in arms_of(config).items()}
    for where, settings in groups.items():
        given = {*settings, *flat(settings)}
        for name in own[where.partition(".")[0]]:
            if name in given:
                raise InputError(f"`{where}.{name}` is filled in by the experiment; leave it out")


def _check_evaluation(place: Place, runs: Runs) -> None:
    """Refuse settings of the evaluation that cannot be used."""
    given = {**place.config.evaluate, "metric": place.task.metric, "model": place.config.model}
    for name, more in runs.evaluation(place).items():
        given[name] = {**section(given, name), **more}
    given["task"] = {**place.task.task, "files": place.named(place.task.files)}
    from_mapping(EvaluateSettings, given, "evaluate.")  # it refuses what cannot be used


def _check_budgets(ratios: Mapping[str, Mapping[str, float]]) -> None:
    """Refuse arms with unequal mean mask ratios: arms may differ in what is masked, never in how much."""
    first = next(iter(ratios), None)
    for name, own in ratios.items():
        assert first is not None
        for parts in dict.fromkeys([*ratios[first], *own]):
            one, other = (ratios[each].get(parts, 0.0) for each in (first, name))
            if abs(other - one) > 0.01 * one:
                raise InputError(
                    f"the arms {first} and {name} mask {100 * one:.1f} % and {100 * other:.1f} % of the {parts} on "
                    "average, so they cannot be compared; give the schedule {..., normalise: mean, mean: ...}, or of a "
                    "random one other ends"
                )
