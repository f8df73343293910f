"""Run an experiment: arms x seeds x tasks, to one table."""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffmask.reproduce.runner import Job

DESCRIPTION = """\
Run an experiment from end to end, or continue it: arms x seeds x tasks with equal budgets, and at the end one table
that says which differ.

EXPERIMENT is a YAML file, or the name of one that comes with diffmask (--list). For each task it makes the anchors (and
the scorer of selective masking), then for each seed trains the head that the model lacks, continues the model with each
arm, and evaluates it. All arms of a seed start from the same weights and see the same text in the same order; they
differ in what is masked. Arms that mask more or less on average are refused.

Every step is a diffmask command of its own, whose output is in logs/. It can be stopped at any point, by Ctrl-C or by
force; the same command continues, and gives the table that an uninterrupted one gives.

Data sets are looked for in --data, or $DIFFMASK_DATA, or ./data; tools/fetch_data prepares the public ones."""

EPILOG = """\
examples:
  diffmask reproduce --list
  diffmask reproduce difference-masking-text --data data/
  diffmask reproduce difference-masking-text seeds=3 pretrain.training.steps=200 -o runs/quick
  diffmask reproduce my-experiment.yaml --num-processes 8
  docker run -v data:/data diffmask reproduce difference-masking-text"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("experiment", nargs="?", metavar="EXPERIMENT", help="a YAML file, or the name of one that comes with diffmask")
    add("overrides", nargs="*", metavar="key=value", help="settings that replace those of the file")
    add("--data", metavar="FOLDER", help="folder of the data sets (default: $DIFFMASK_DATA, or data)")
    add("-o", "--output", type=Path, metavar="FOLDER", help="folder of the experiment (default: reproduced/NAME)")
    add("--num-processes", type=int, metavar="N", help="steps at a time (default: one for each GPU, or 1)")
    add("--plan", action="store_true", help="list the steps, done and to do, and stop")
    add("--list", action="store_true", help="list the experiments that come with diffmask, and stop")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from diffmask.config.experiment import read_experiment
    from diffmask.core.errors import InputError
    from diffmask.reproduce.plan import data_folder, plan
    from diffmask.reproduce.run import find_experiment, reproduce, shipped
    from diffmask.reproduce.runner import JobError

    if args.list:
        for name, path in shipped().items():
            print(f"{name:26} {' '.join(read_experiment(path).about.split())}")
        return 0
    if args.experiment is None:
        raise InputError("no experiment was given; write `diffmask reproduce EXPERIMENT` (names: reproduce --list)")
    config = read_experiment(find_experiment(args.experiment), args.overrides)
    data, output = data_folder(args.data), args.output or Path("reproduced") / config.name
    if args.plan:
        for job in plan(config, data.absolute(), output.absolute()):
            print(f"{'done' if job.is_done else 'to do':6} {job.name}")
        return 0

    import torch

    num_processes = args.num_processes if args.num_processes is not None else max(1, torch.cuda.device_count())
    progress = _Progress()
    # containers and batch jobs are stopped by SIGTERM: take it as Ctrl-C, so that jobs write their checkpoints
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        path = reproduce(config, data, output, num_processes, progress)
    except JobError as error:
        progress.close()
        print(f"diffmask: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.close()
        print(f"stopped; the same command continues ({output})", file=sys.stderr)
        return 130
    progress.close()
    print(path.read_text(encoding="utf-8"))
    print(f"table: {path}")
    return 0


class _Progress:
    """A bar over all steps in a terminal, else a line for each step."""

    def __init__(self):
        self._bar = None
        self._began: dict[str, float] = {}

    def __call__(self, jobs: "list[Job]", job: "Job", what: str) -> None:
        """Show that a step has started or ended."""
        from tqdm import tqdm

        if self._bar is None:
            done = sum(each.is_done for each in jobs)
            self._bar = tqdm(total=len(jobs), initial=done, unit="step", disable=not sys.stderr.isatty())
        if what == "started":
            self._began[job.name] = time.monotonic()
        elif what == "done":
            seconds = time.monotonic() - self._began.pop(job.name)
            number = sum(each.is_done for each in jobs)
            line = f"[{number}/{len(jobs)}] {job.name}: {seconds:.0f} s"
            self._bar.update()
            if self._bar.disable:
                print(line, flush=True)
            else:
                self._bar.write(line)
        self._bar.set_postfix_str(", ".join(self._began))

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
