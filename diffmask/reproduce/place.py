"""One task of an experiment, and where its parts lie."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffmask.config.experiment import START, ExperimentConfig, ExperimentTask

DATA_VARIABLE = "DIFFMASK_DATA"


@dataclass(frozen=True)
class Place:
    """One task of an experiment, with the folders where its parts lie."""

    config: ExperimentConfig
    task_name: str
    task: ExperimentTask
    data: Path
    output: Path

    @property
    def folder(self) -> Path:
        """Where everything of the task lies."""
        return self.output / self.task_name

    def run(self, arm: str, seed: int) -> Path:
        """Return the folder of a run."""
        return self.folder / "runs" / arm / f"seed-{seed}"

    def start(self, seed: int) -> Path:
        """Return the folder of the run that trains the head which all arms of a seed start with."""
        return self.run(START, seed)

    def results(self, arm: str) -> Path:
        """Return the folder of an arm's results."""
        return self.folder / "results" / arm

    def named(self, files: Sequence[str]) -> list[str]:
        """Return files of a data set with their folder."""
        return [str(self.data / file) for file in files]


def data_folder(given: str | None) -> Path:
    """Return the folder of the data sets: as given, as the environment says, or ./data."""
    return Path(given or os.environ.get(DATA_VARIABLE) or "data")
