"""Merge a continued model with its original, and see what each share of the way is worth."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffmask.config.evaluation import EvaluateSettings

DESCRIPTION = """\
Merge the model of a run with the model that it was continued from: (1 - share) of the original's weights plus share of
the continued ones (WiSE-FT, Wortsman et al. 2022). Continuing learns the domain and forgets other text; a model between
the two often keeps most of both. For models of text, of clips, and of both.

For each share it measures the loss of what the run held out, under its fixed masks; with --general, the loss of other
data under the same law; and with --task, the score on the task's dev split, as `diffmask evaluate` trains on it. The
test split has no part in the choice.

The output folder holds
  frontier.html, .csv and .json   what each share is worth
  model                           the best on dev, of equal ones the nearest to the original; or that of --keep"""

EPILOG = """\
examples:
  diffmask merge runs/chemistry --general news.txt --keep 0.5 -o merged/
  diffmask merge runs/chemistry --share 0 0.2 0.4 0.6 0.8 1 --task chemprot/ --method probe --seeds 1 -o merged/
  diffmask evaluate merged/model --task chemprot/"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("run_folder", type=Path, metavar="RUN", help="folder of a complete run of `diffmask pretrain`")
    add("overrides", nargs="*", metavar="key=value", help="settings of the evaluation, such as finetune.epochs=4")
    add("--share", nargs="+", type=float, metavar="S", help="shares of the continued model (default: 0 .25 .5 .75 1)")
    add("--general", nargs="+", default=[], metavar="DATA", help="data of no domain, as data.eval takes them")
    add("--task", nargs="+", default=[], metavar="TASK", help="a folder or files named train, dev and test")
    add("--method", help="of the task: finetune, probe, ... (default: finetune)")
    add("--seeds", type=int, metavar="N", help="seeds of the task (default: 5)")
    add("--keep", type=float, metavar="S", help="share whose model is saved (default: the best on dev)")
    add("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    add("-o", "--output", required=True, type=Path, metavar="FOLDER", help="folder to write")
    add("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> None:
    """Merge, write, and print the table."""
    from rich.console import Console
    from rich.table import Table

    from diffmask.files.folders import check_folder
    from diffmask.pretrain.merge.frontier import SHARES, MergeSettings
    from diffmask.report.frontier import NAMES, merge_to, rows_of, tell_kept

    shares = SHARES if args.share is None else tuple(args.share)
    settings = MergeSettings(args.run_folder, shares, tuple(args.general), _task(args), args.keep, args.device)
    reads = [args.run_folder, *args.general, *args.task]
    output = check_folder(args.output, "merged model", NAMES, overwrite=args.overwrite, reads=reads)
    found = merge_to(settings, output, progress=sys.stderr.isatty())
    head, *rows = rows_of(found)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table)
    console.print(tell_kept(found))
    console.print(f"wrote {args.output}")


def _task(args: argparse.Namespace) -> "EvaluateSettings | None":
    """Return the evaluation that is asked for."""
    from diffmask.config import read_settings
    from diffmask.config.evaluation import EvaluateSettings
    from diffmask.core.errors import InputError

    # settings may follow the files of the task
    behind = [word for word in args.task if "=" in word and not Path(word).exists()]
    files = [word for word in args.task if word not in behind]
    given: dict[str, Any] = {name: value for name in ("method", "seeds") if (value := getattr(args, name)) is not None}
    overrides = [*args.overrides, *behind]
    if not files:
        if given or overrides:
            raise InputError(
                f"{', '.join([*(f'--{name}' for name in given), *overrides])} is for --task, which is not given"
            )
        return None
    fixed = {"model": str(args.run_folder), "task": {"files": files}, "device": args.device}
    return read_settings(EvaluateSettings, fixed | given, overrides)
