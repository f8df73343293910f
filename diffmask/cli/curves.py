"""Compare the logs of runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

DESCRIPTION = """\
Compare runs by what they have logged: a table in the terminal, and with -o one figure with the training loss (raw and
smoothed), the held-out losses, the mask ratio that was reached beside the one that was planned, the strength, and, for
runs with loss-weighted content, the loss of each class over time.

RUN is the output folder of `diffmask pretrain`; a run that is still going, or was cut short, is shown as far as it got.

Held-out losses are measured on the same masks for every run, so they can be compared; training losses cannot, because
each is measured on the words that its own run hides."""

EPILOG = """\
examples:
  diffmask curves runs/random runs/difference
  diffmask curves runs/* -o curves.png"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="output folder of a run")
    add("-o", "--output", type=Path, metavar="FIGURE", help="figure to write (.png, .svg or .pdf)")
    add("--overwrite", action="store_true", help="replace the figure if it exists")


def run(args: argparse.Namespace) -> None:
    """Read the logs, print the table, write the figure."""
    from rich.console import Console

    from diffmask.files.folders import check_output
    from diffmask.report.figures.figures import FORMATS, is_foreign
    from diffmask.report.figures.run_logs import draw_runs, print_runs

    if args.output is not None:
        check_output(args.output, "figure", "figure.png", FORMATS, overwrite=args.overwrite, is_foreign=is_foreign)
    folders = list(dict.fromkeys(args.runs))
    runs = [_read_run(folder, name) for folder, name in zip(folders, short_names(folders), strict=True)]
    console = Console(highlight=False)
    print_runs(runs, console)
    if args.output is not None:
        draw_runs(runs, args.output)
        console.print(f"wrote {args.output}")


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return the last parts of each path, as few as tell all of them apart.

    >>> short_names([Path("a/random"), Path("b/random")])
    ['a/random', 'b/random']
    """
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return ["/".join(each) for each in parts]


def _read_run(folder: Path, name: str):
    """Return what a run has logged, with the schedules of its config."""
    from diffmask.assemble.modality import modality_of, read_config
    from diffmask.core.errors import InputError
    from diffmask.report.figures.run_logs import RunLog
    from diffmask.train.log import num_steps, read_log

    settings, log = folder / "config.yaml", folder / "log.jsonl"
    if not settings.is_file():
        raise InputError(f"{folder} is no run (it holds no config.yaml); give the output folder of `diffmask pretrain`")
    config = read_config(settings)
    masking = modality_of(config).masking(config.masking)
    entries = read_log(log) if log.is_file() else []
    if not any("loss" in entry or "eval_loss" in entry for entry in entries):
        raise InputError(
            f"the run in {folder} has logged nothing yet (it logs every {config.training.log_every} steps); wait for "
            "its first lines, or leave it out"
        )
    return RunLog(
        name,
        entries,
        num_steps(config.training.steps, config.training.epochs, entries),
        masking.planned,
        modality_of(config).words.wholes,
    )
