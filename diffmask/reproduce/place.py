"""One task of an experiment: where its files are, and what a modality makes of its arms."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from diffmask.config.experiment import START, Arm, ExperimentConfig, ExperimentTask
from diffmask.core.errors import InputError
from diffmask.reproduce.runner import Job

DATA_VARIABLE = "DIFFMASK_DATA"


@dataclass(frozen=True)
class Place:
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

    def results_after(self, arm: str, step: int) -> Path:
        """Return the folder of an arm's results after some of its steps."""
        return self.folder / "steps" / arm / f"step-{step}"

    def inputs(self, arm: str, inputs: str) -> Path:
        """Return the folder of results of an arm that was shown only some of each question."""
        return self.folder / "inputs" / f"{arm}-{inputs}"

    def named(self, files: Sequence[str]) -> list[str]:
        """Return the paths of files of the data sets."""
        return [str(self.data / file) for file in files]

    def check(self, files: Sequence[str]) -> None:
        """Refuse files that are missing.

        Raises:
            InputError: For the first of them.
        """
        for file in files:
            pattern = file and not Path(file).is_absolute()
            if not file or (not (self.data / file).exists() and not (pattern and any(self.data.glob(file)))):
                raise InputError(
                    f"the data set {file!r} is not in {self.data}; prepare it with `python tools/fetch_data`, or say "
                    f"with --data (or {DATA_VARIABLE}) in which folder it is"
                )


class Runs(ABC):
    """What an experiment makes of its arms: the runs of one modality."""

    kind: ClassVar[type]
    """Class of the settings of a run."""
    own: ClassVar[Mapping[str, Sequence[str]]]
    """Settings that the experiment fills in, by group; nobody may give them."""

    @abstractmethod
    def check(self, place: Place, arms: Mapping[str, Arm]) -> None:
        """Refuse a task that lacks what its arms need."""

    @abstractmethod
    def prepare(self, place: Place, arms: Mapping[str, Arm]) -> Iterator[Job]:
        """Yield the jobs that all seeds need: anchors, scorers."""

    @abstractmethod
    def start(self, place: Place, seed: int) -> dict[str, Any]:
        """Return the settings of the run that all arms of a seed start from."""

    @abstractmethod
    def arm(self, place: Place, arm: Arm, seed: int) -> dict[str, Any]:
        """Return the settings of an arm's run, but for its output and seed."""

    @abstractmethod
    def needs(self, place: Place, arm: Arm | None) -> list[str]:
        """Return the names of the prepared jobs that an arm needs; None stands for the start."""

    @abstractmethod
    def ratios(self, config: Any) -> dict[str, float]:
        """Return how much a run masks on average, by what it is a share of."""

    def evaluation(self, place: Place) -> dict[str, Any]:
        """Return further settings of the evaluations of a task."""
        return {}


def section(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the settings under a name; none if it is missing or empty."""
    given = settings.get(name) or {}
    if not isinstance(given, Mapping):
        raise InputError(f"`pretrain.{name}` is {given!r}; it must be a group of settings")
    return dict(given)


def check_names(where: str, given: Mapping[str, Any], kind: type, own: set[str]) -> None:
    """Refuse settings that a dataclass does not have, or that the experiment fills in."""
    known = {each.name for each in fields(kind)} - own
    for name in given:
        if name not in known:
            raise InputError(f"unknown setting `{where}.{name}`; known here: {', '.join(sorted(known))}")


def options(given: Mapping[str, Any]) -> list[str]:
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


def folder_of_anchors(place: Place, given: Mapping[str, Any]) -> Path:
    """Return the folder of the anchors that are made with some settings."""
    words = "_".join(f"{name}-{value}" for name, value in sorted(given.items()))
    name = "".join(char if char.isalnum() or char in "-_." else "-" for char in words)
    if name != words:  # different values may have become the same name
        name += "-" + hashlib.sha256(words.encode()).hexdigest()[:8]
    return place.folder / "anchors" / (name or "default")
