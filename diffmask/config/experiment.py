"""The settings of an experiment: arms x seeds x tasks, at equal budgets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from diffmask.config.limits import STEPS, AtMost, Name, at_least, check_limits
from diffmask.config.read import from_mapping, read_mapping, read_settings
from diffmask.core.errors import InputError

START = "start"
"""Name of the run that trains the head which all arms of a seed start with."""
NONE = "none"
"""Arm that is not continued, of an experiment that names no such arm."""
_RESERVED = {"tasks": ("logs", "experiment.yaml", "jobs.json", "results.md", "made.json"), "arms": ()}
"""Names beside the folders of tasks, and of arms."""


@dataclass(frozen=True)
class ExperimentTask:
    """A labelled task, and the text that the model is continued on for it."""

    files: tuple[str, ...]
    """A folder, or files, named train, dev and test; looked for in the folder of data sets."""
    text: tuple[str, ...]
    """What the model is continued on: files or folders; looked for in the folder of data sets."""
    held_out: tuple[str, ...] = ()
    """Text that no arm is continued on, and whose loss tells what each has learned of the domain: files or folders in
    the folder of data sets. By default a share of `text`."""
    metric: str = "micro_f1"
    """What is compared: micro_f1, macro_f1 or accuracy."""
    task: dict = field(default_factory=dict)
    """How its files are read, as `task` of an evaluation: kind, text, pair, label, separator."""
    expert_anchors: tuple[str, ...] = ()
    """Words that people chose, for arms with `anchors: {expert: true}`."""
    clips: tuple[str, ...] = ()
    """For clips with texts: indexes, folders or globs of the clips that `files` and `text` name."""
    subtitles: tuple[str, ...] = ()
    """For clips with texts: subtitles that the evaluation shows beside the questions."""
    boxes: str | None = None
    """For clips with texts: a table of boxes, for arms whose patches are chosen by it."""
    reference: tuple[str, ...] = ()
    """For clips with texts: other clips, for arms with `anchors: {automatic: true}`."""
    inputs: bool = False
    """For questions about clips: evaluate the baseline also by the answers alone, without the clip, and so on."""


@dataclass(frozen=True)
class Arm:
    """One way to continue the model; arms differ in what is masked or read, and in nothing else."""

    continued: bool = True
    """false: the model as it was."""
    text: tuple[str, ...] = ()
    """What this arm is continued on, in the place of the task's text: other text, such as general one, at the same
    budget. Its anchors are those of the task's text."""
    masking: dict = field(default_factory=dict)
    """Settings of `masking`, as of a run."""
    anchors: dict = field(default_factory=dict)
    """How the anchors are made: num_anchors, reduce, preset, embedder, reference, ..., or expert: true."""


@dataclass(frozen=True)
class ExperimentConfig:
    """One experiment."""

    name: Annotated[str, Name()]
    """What it is called."""
    model: str
    """The model that every arm starts from: a folder, a hub name or `minilm`."""
    tasks: dict
    """By name: files, text, metric."""
    arms: dict
    """By name: masking and anchors."""
    baseline: str
    """Arm that the others are compared with."""
    modality: str = "text"
    """text, or video-text."""
    steps: Annotated[tuple[int, ...], at_least(1), STEPS] = ()
    """Steps of pretraining after which each arm is evaluated too, beside its end: a curve that tells how soon it helps,
    such as [50, 100, 200]."""
    seeds: Annotated[int, at_least(1, "5 is what a comparison needs"), AtMost(1000)] = 5
    """Seeds of head, order, masks, dropout and evaluation."""
    about: str = ""
    """What is asked, in a sentence or two."""
    pretrain: dict = field(default_factory=dict)
    """Settings of every run: data, masking, head, training."""
    evaluate: dict = field(default_factory=dict)
    """Settings of every evaluation: method, finetune, probe, ..."""
    selective: dict = field(default_factory=dict)
    """Settings of the scorer of selective masking."""


def read_experiment(path: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment, and apply `key.key=value` overrides.

    Raises:
        InputError: For an unknown key, a value of the wrong kind, or what is missing.
    """
    config: ExperimentConfig = read_settings(ExperimentConfig, read_mapping(path), overrides)
    for what, group in (("tasks", config.tasks), ("arms", config.arms)):
        if not group:
            raise InputError(f"`{what}` of {path} is empty; name at least one")
        for name in group:
            refused = Name(_RESERVED[what], plain=True).refusal(what, str(name))
            if refused is not None:
                raise InputError(refused)
    check_limits(config)
    if START in config.arms:
        raise InputError(f"an arm cannot be called {START!r}, as the run that all arms start from is; rename it")
    if config.baseline not in config.arms:
        raise InputError(f"`baseline: {config.baseline}` is no arm; choose from: {', '.join(map(str, config.arms))}")
    return config


def tasks_of(config: ExperimentConfig) -> dict[str, ExperimentTask]:
    """Return the tasks of an experiment, checked."""
    return {str(name): from_mapping(ExperimentTask, given, f"tasks.{name}.") for name, given in config.tasks.items()}


def arms_of(config: ExperimentConfig) -> dict[str, Arm]:
    """Return the arms of an experiment, checked."""
    groups = {str(name): {} if given is None else given for name, given in config.arms.items()}
    arms = {name: from_mapping(Arm, given, f"arms.{name}.") for name, given in groups.items()}
    if not all(arm.continued for arm in arms.values()):
        return arms
    if NONE in arms:
        raise InputError(f"the arm {NONE!r} is continued; rename it, or let it say `continued: false`")
    # whether to continue at all is the first thing that an experiment answers
    return {NONE: Arm(continued=False), **arms}
