"""One experiment: plan it, run or continue it, and write its table of results.

reproduce(config, data, output, 1, tell) -> output/results.md, and what it took in output/made.json
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from diffmask.config import to_mapping
from diffmask.config.experiment import Arm, ExperimentConfig, arms_of, tasks_of
from diffmask.config.limits import PROCESSES, check_value
from diffmask.core.errors import InputError
from diffmask.evaluate.compare import CompareSettings, compare
from diffmask.evaluate.results import Result, read_results
from diffmask.evaluate.step_curves import compare_steps
from diffmask.files.folders import check_folder, check_writable, write_text
from diffmask.report.comparison import FILES, ComparisonReport
from diffmask.report.continuing import step_notes, step_table
from diffmask.report.markdown import markdown_table
from diffmask.reproduce.plan import plan
from diffmask.reproduce.runner import RECORDS_FILE, Job, Runner, locked
from diffmask.train.log import read_log
from diffmask.train.record import read_record, versions

RESULTS_FILE, MADE_FILE = "results.md", "made.json"
_LOSSES = ("eval_loss", "eval_loss_domain")


def _write_results(config: ExperimentConfig, output: Path) -> Path:
    """Compare the arms of every task, write the results, and return the file of the table.

    Another run of the same experiment writes the same table; time and hardware, which differ, stand in made.json.
    """
    arms = arms_of(config)
    blocks = [f"# {config.name}", config.about.strip()]
    for name, task in tasks_of(config).items():
        folder = output / name
        results = _of_seeds(config, [folder / "results" / arm for arm in arms])
        settings = CompareSettings(metric=task.metric, baseline=config.baseline)
        compared = ComparisonReport(compare(results, settings))
        compared.write(check_folder(folder / "comparison", "comparison", FILES, overwrite=True))
        blocks += [_below(compared.to_markdown())]
        if any(results[0].first.unseen) and not all(results[0].first.unseen):
            unseen = ComparisonReport(compare(results, replace(settings, texts="unseen")))
            blocks += [f"### {name}: test texts that are in no other split", *unseen.markdown_tables()]
        if config.steps:
            blocks += [f"### {name}: after fewer steps", *_steps(config, folder, settings, results)]
        if task.inputs:
            blocks += [
                f"### {name}: what the parts of a question reach",
                _inputs(config, folder),
            ]
        if losses := _losses(folder, arms, config.seeds):
            blocks += [f"### {name}: held-out text", losses]
    blocks += ["## How it was made", _facts(config)]
    write_text(output / MADE_FILE, json.dumps(_made(config, output), indent=2) + "\n")
    path = output / RESULTS_FILE
    write_text(path, "\n\n".join(block for block in blocks if block) + "\n")
    return path


def _of_seeds(config: ExperimentConfig, folders: Sequence[Path]) -> list[Result]:
    """Return results of the experiment's seeds; the folder may hold more, of an earlier and larger experiment."""
    wanted = set(range(config.seeds))
    return [
        replace(each, seeds={number: seed for number, seed in each.seeds.items() if number in wanted})
        for each in read_results(folders)
    ]


def _check_foreign(output: Path, settings: str) -> None:
    """Refuse a folder of something else, whose files the experiment would replace by its own of the same names."""
    held = [name for name in (SETTINGS_FILE, RESULTS_FILE, MADE_FILE) if (output / name).exists()]
    begun = held == [SETTINGS_FILE] and (output / SETTINGS_FILE).read_bytes() == settings.encode()
    if held and not begun and not (output / RECORDS_FILE).exists():
        raise InputError(
            f"the folder {output} is of no experiment, and its {held[0]} would be replaced; give another with -o"
        )


def _below(markdown: str) -> str:
    """Return a page with its heading moved one level down."""
    return "#" + markdown.strip()


def _inputs(config: ExperimentConfig, folder: Path) -> str:
    """Return a table of what the baseline reaches where it is shown only some of each question."""
    results = _of_seeds(config, [folder / "results" / config.baseline, folder / "inputs"])
    found = compare(results, CompareSettings(metric="accuracy", baseline=results[0].name))
    return "\n\n".join(ComparisonReport(found).markdown_tables())


def _steps(config: ExperimentConfig, folder: Path, settings: CompareSettings, results: Sequence[Result]) -> list[str]:
    """Return what arms reach after fewer steps: a table, and how soon each is where the baseline ends."""
    arms = arms_of(config)
    by_name = {each.name: each for each in results}
    original = next(by_name[name] for name, arm in arms.items() if not arm.continued)
    continued = [name for name, arm in arms.items() if arm.continued]
    at: dict[int, list[Result]] = {0: [replace(original, name=name) for name in continued]}
    for step in config.steps:
        at[step] = _of_seeds(config, [folder / "steps" / name / f"step-{step}" for name in continued])
    at[config.pretrain["training"]["steps"]] = [by_name[name] for name in continued]
    baseline = config.baseline if config.baseline in continued else continued[0]
    found = compare_steps(at, replace(settings, baseline=baseline))
    return [step_table(found), step_notes(found)]


def _losses(folder: Path, arms: Mapping[str, Arm], seeds: int) -> str:
    """Return a table of each arm's last held-out losses, under the same random masks, as means over the seeds."""
    rows = []
    for arm, settings in arms.items():
        runs = [folder / "runs" / (arm if settings.continued else "start") / f"seed-{seed}" for seed in range(seeds)]
        last = [_last_losses(run) for run in runs]
        if all(last):
            rows.append((arm, *(f"{mean(losses[name] for losses in last if losses):.3f}" for name in _LOSSES)))
    return markdown_table(("name", "loss, all words", "loss, domain words"), rows) if rows else ""


def _last_losses(run: Path) -> dict[str, float] | None:
    entries = read_log(run / "log.jsonl") if (run / "log.jsonl").exists() else []
    return next((entry for entry in reversed(entries) if all(name in entry for name in _LOSSES)), None)


def _facts(config: ExperimentConfig) -> str:
    """Return the settings that all arms share."""
    own = ("model", "seeds", "steps", "baseline")
    shown = {name: value for name, value in to_mapping(config).items() if name in own}
    groups = {"pretrain": config.pretrain, "evaluate": config.evaluate, "tasks": config.tasks, "arms": config.arms}
    return "```yaml\n" + yaml.safe_dump(shown | groups, sort_keys=False, width=100) + "```"


def _made(config: ExperimentConfig, output: Path) -> dict[str, Any]:
    """Return the hardware, the versions, and the seconds that all jobs took together."""
    seconds: dict[str, float] = {"pretrain": 0.0, "evaluate": 0.0}
    hardware: set[str] = set()
    for name in tasks_of(config):
        for path in sorted((output / name / "runs").glob("*/seed-*/run.json")):
            sessions = read_record(path)["sessions"]
            seconds["pretrain"] += sum(session["seconds"] for session in sessions)
            hardware |= {session["hardware"] for session in sessions}
        for path in sorted((output / name / "results").glob("*/seed-*.json")):
            result = json.loads(path.read_text(encoding="utf-8"))
            seconds["evaluate"] += result["seconds"]
            hardware.add(result["hardware"])
    return {"seconds": seconds, "hardware": sorted(hardware), "versions": versions()}


SETTINGS_FILE = "experiment.yaml"


def shipped() -> dict[str, Path]:
    """Return the experiments that come with diffmask, by name."""
    folder = Path(str(resources.files("diffmask.reproduce"))) / "experiments"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_experiment(name: str) -> Path:
    """Return the file of an experiment, given its path or the name of one that comes with diffmask.

    Raises:
        InputError: If there is no such experiment.
    """
    known = shipped()
    if name in known:
        return known[name]
    if not Path(name).is_file():
        raise InputError(f"no experiment {name!r}; give a YAML file, or one of: {', '.join(known)}")
    return Path(name)


def reproduce(
    config: ExperimentConfig, data: Path, output: Path, num_processes: int, tell: Callable[[list[Job], Job, str], None]
) -> Path:
    """Run an experiment, or what is left of it, and return the file of its table.

    Args:
        config: The experiment.
        data: Folder of the data sets.
        output: Folder of the experiment; jobs that are done there are not run again.
        num_processes: Number of jobs that run at the same time.
        tell: Called with all jobs, the job in question, and `started` or `done`.

    Raises:
        InputError: If the experiment cannot be run, or a job was refused.
        JobError: If a job failed.
        KeyboardInterrupt: At Ctrl-C, once every job has stopped.
    """
    if num_processes < 1:
        raise InputError(f"num_processes={num_processes} is below 1; 1 runs one job after the other")
    check_value("num_processes", num_processes, PROCESSES)
    if output.exists() and not output.is_dir():
        raise InputError(f"the output {output} is a file; give the name of a folder with -o")
    jobs = plan(config, data.absolute(), output.absolute())
    runner = Runner(jobs, output, num_processes, lambda job, what: tell(jobs, job, what))
    settings = yaml.safe_dump(to_mapping(config), sort_keys=False)
    check_writable(output / SETTINGS_FILE)
    _check_foreign(output, settings)
    with locked(output):
        runner.check()
        write_text(output / SETTINGS_FILE, settings)
        runner.run()
        return _write_results(config, output)
