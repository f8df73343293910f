"""Jobs: one command of diffmask each, with what it needs and what tells that it is done."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.files.folders import write_text

_RECORDS = "jobs.json"


@dataclass(frozen=True)
class Job:
    """One step of an experiment.

    Attributes:
        name: What it is called, such as chemprot/pretrain/difference/seed-0.
        command: Arguments of diffmask.
        done: What exists when it is done, and not before.
        needs: Names of the jobs that come before it.
        file: What is written for the command to read: a path and its text.
    """

    name: str
    command: tuple[str, ...]
    done: Path
    needs: tuple[str, ...] = ()
    file: tuple[Path, str] | None = None

    @property
    def is_done(self) -> bool:
        """Whether its result is there."""
        return self.done.exists()

    @property
    def record(self) -> str:
        """What it does, for telling whether a result that is there was made by the same job."""
        text = None if self.file is None else self.file[1]
        return hashlib.sha256(json.dumps([self.command, text]).encode()).hexdigest()


def check_jobs(jobs: Sequence[Job], folder: Path) -> None:
    """Refuse to take for a job's result what another job has made.

    Raises:
        InputError: If a job that is done did something else than what it would do now.
    """
    known = _read_records(folder)
    for job in jobs:
        if job.is_done and known.get(job.name) != job.record:
            raise InputError(
                f"{job.name} in {folder} was made with other settings; give another folder with -o, or the settings "
                "that the experiment was begun with (see experiment.yaml there)"
            )


def begin_job(job: Job, folder: Path) -> None:
    """Write down what a job does, and what it reads."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _RECORDS, json.dumps(_read_records(folder) | {job.name: job.record}, indent=1) + "\n")
    if job.file is not None:
        job.file[0].parent.mkdir(parents=True, exist_ok=True)
        write_text(*job.file)
    job.done.parent.parent.mkdir(parents=True, exist_ok=True)


def _read_records(folder: Path) -> dict[str, str]:
    path = folder / _RECORDS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
