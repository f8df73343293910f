"""Jobs and their runner: a job is one command of diffmask; several run at a time, each in its own process."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from diffmask.core.errors import InputError
from diffmask.core.processes import end_with, num_cores
from diffmask.files.folders import write_text
from diffmask.files.json_object import read_object
from diffmask.files.lock import locked as locked

RECORDS_FILE = "jobs.json"


@dataclass(frozen=True)
class Job:
    """One step of an experiment.

    Attributes:
        name: Its name, such as chemprot/pretrain/difference/seed-0.
        command: Arguments of diffmask.
        done: The file or folder that exists once the job is done, and not before.
        needs: Names of the jobs that must be done first.
        file: A file that the command reads, written before it starts: its path and its text.
    """

    name: str
    command: tuple[str, ...]
    done: Path
    needs: tuple[str, ...] = ()
    file: tuple[Path, str] | None = None

    @property
    def is_done(self) -> bool:
        """Whether its result exists."""
        return self.done.exists()

    @property
    def record(self) -> str:
        """A hash of what it does, which tells whether an existing result was made by the same job."""
        text = None if self.file is None else self.file[1]
        return hashlib.sha256(json.dumps([self.command, text]).encode()).hexdigest()

    def begin(self, folder: Path) -> None:
        """Note in the experiment's folder what the job does, and write the file that it reads."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / RECORDS_FILE, json.dumps(_read_records(folder) | {self.name: self.record}, indent=1) + "\n")
        if self.file is not None:
            self.file[0].parent.mkdir(parents=True, exist_ok=True)
            write_text(*self.file)
        self.done.parent.parent.mkdir(parents=True, exist_ok=True)


def _read_records(folder: Path) -> dict[str, str]:
    path = folder / RECORDS_FILE
    remedy = "give another folder with -o, and the experiment begins anew"
    return read_object(path, dict[str, str], remedy) if path.exists() else {}


POLL_SECONDS = 0.1
GRACE_SECONDS = 60.0
"""Time that a job gets after Ctrl-C to write a checkpoint."""
LOGS = "logs"


class JobError(RuntimeError):
    """A job ended with an error; the message says which, and where its output is."""


class Runner:
    """Runs the jobs that are not done, as soon as what they need is done.

    Attributes:
        jobs: All jobs of the experiment.
        folder: Folder of the experiment; what jobs print goes to its logs/.
        num_processes: Number of jobs that run at the same time; if there are GPUs, each job gets its own.
        tell: Called with a job and `started` or `done`.
    """

    def __init__(self, jobs: Sequence[Job], folder: Path, num_processes: int, tell: Callable[[Job, str], None]):
        self.jobs, self.folder, self.num_processes, self.tell = jobs, folder, num_processes, tell
        self.running: dict[int, tuple[Job, subprocess.Popen]] = {}

    def check(self) -> None:
        """Refuse results that were made by other commands or settings than these jobs'.

        Raises:
            InputError: If a job that is done did something else than it would do now.
        """
        known = _read_records(self.folder)
        for job in self.jobs:
            if job.is_done and known.get(job.name) != job.record:
                raise InputError(
                    f"{job.name} in {self.folder} was made with other settings; give another folder with -o, or the "
                    "settings that the experiment was begun with (see experiment.yaml there)"
                )

    def run(self) -> None:
        """Run the jobs.

        Raises:
            InputError: If a job was refused; its own message follows.
            JobError: If a job failed.
            KeyboardInterrupt: At Ctrl-C, once every job has stopped.
        """
        waiting = [job for job in self.jobs if not job.is_done]
        done = {job.name for job in self.jobs if job.is_done}
        try:
            while waiting or self.running:
                for job in [job for job in waiting if done.issuperset(job.needs)]:
                    if len(self.running) == self.num_processes:
                        break
                    waiting.remove(job)
                    self._start(job)
                done |= self._finished()
        except BaseException:
            self._stop()
            raise

    def _start(self, job: Job) -> None:
        slot = next(slot for slot in range(self.num_processes) if slot not in self.running)
        job.begin(self.folder)
        self._log(job).parent.mkdir(exist_ok=True)
        with self._log(job).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "diffmask", *job.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | _share_of_machine(slot, self.num_processes),
                start_new_session=True,  # Ctrl-C reaches it only through _stop
                preexec_fn=partial(_prepare, os.getpid()),
            )
        self.running[slot] = job, process
        self.tell(job, "started")

    def _finished(self) -> set[str]:
        """Wait a little, and return the names of the jobs that have succeeded since the last call."""
        time.sleep(POLL_SECONDS)
        ended = {slot: pair for slot, pair in self.running.items() if pair[1].poll() is not None}
        for slot, (job, process) in ended.items():
            del self.running[slot]
            if process.returncode or not job.is_done:
                raise self._failure(job, process.returncode)
            self.tell(job, "done")
        return {job.name for job, _ in ended.values()}

    def _failure(self, job: Job, status: int) -> Exception:
        lines = self._log(job).read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
        last = lines[-1] if lines else "no output"
        if status == 2 and last.startswith("diffmask: "):
            return InputError(f"{job.name} was refused: {last.removeprefix('diffmask: ')}")
        return JobError(f"{job.name} failed (exit status {status}: {last}); its output is in {self._log(job)}")

    def _log(self, job: Job) -> Path:
        return self.folder / LOGS / f"{job.name.replace('/', '-')}.log"

    def _stop(self) -> None:
        """Ask running jobs to write a checkpoint and end; kill those that take too long."""
        for _, process in self.running.values():
            process.send_signal(signal.SIGINT)
        until = time.monotonic() + GRACE_SECONDS
        for _, process in self.running.values():
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # the leader of a session: its workers too
                process.wait()
        self.running.clear()


def _share_of_machine(slot: int, num_processes: int) -> dict[str, str]:
    """Return the environment that gives a job its GPU, or its share of the cores."""
    num_gpus = torch.cuda.device_count()
    if num_gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(num_gpus)]
        return {"CUDA_VISIBLE_DEVICES": names[slot % len(names)]}
    cores = num_cores()
    if os.environ.get("OMP_NUM_THREADS", str(cores)) != str(cores):
        return {}  # the user's own number; the command line sets that of the cores
    return {"OMP_NUM_THREADS": str(max(1, cores // num_processes))}


def _prepare(parent: int) -> None:
    """Make a job end with its parent, even if that is killed: otherwise a second run would start the job again."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # also where the parent was told to ignore it, as by nohup
    end_with(parent)
