"""Tell which results differ by more than chance."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Compare results of `diffmask evaluate` on one task: mean and standard deviation over seeds, and how each result differs
from a baseline, with an interval and a test that hold for other seeds and other test texts. A difference that may be
due to chance is reported as "no difference shown".

RESULT is a folder of seed-N.json, or a folder that holds such folders. All must be results on one task, evaluated with
the same settings; seeds that some of them lack are left out.

With -o FOLDER, the comparison is also written as comparison.md, .csv, .html and .json, with forest.png, and with
learning.png where results were evaluated with several shares of the labels. docs/compare.md explains how it is decided,
and what five seeds can show."""

EPILOG = """\
examples:
  diffmask compare runs/none/evaluation/chemprot-finetune runs/difference/evaluation/chemprot-finetune
  diffmask compare runs/*/evaluation/chemprot-finetune --baseline random --metric macro_f1 -o comparison/"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RESULT", help="output folder of `diffmask evaluate`")
    add("--baseline", metavar="NAME", help="result that the others are compared with (the first)")
    add("--all-pairs", action="store_true", help="compare every pair; there is more to correct for")
    add("--metric", help="micro_f1, macro_f1, accuracy (micro_f1); of retrieval, recall_at_1, _5 or _10 (recall_at_1)")
    add("--texts", default="all", help="all test texts, or those unseen in the other splits (all)")
    add("--share", type=float, help="share of the labels, such as 0.1 (the largest that all have)")
    add("--draws", type=int, default=10_000, metavar="N", help="random draws of test texts (10000)")
    add("--seed", type=int, default=0, metavar="N", help="seed of these draws (0)")
    add("-o", "--output", type=Path, metavar="FOLDER", help="folder to write")
    add("--overwrite", action="store_true", help="replace the folder if it exists")


def run(args: argparse.Namespace) -> None:
    """Read, compare, print, write."""
    from rich.console import Console

    from diffmask.evaluate.compare import CompareSettings, compare
    from diffmask.evaluate.results import read_results
    from diffmask.files.folders import check_folder
    from diffmask.report.comparison import FILES, ComparisonReport

    settings = CompareSettings(
        args.metric, args.texts, args.share, args.baseline, args.all_pairs, args.draws, args.seed
    )
    folder = args.output and check_folder(
        args.output, "comparison", FILES, overwrite=args.overwrite, reads=args.results
    )
    report = ComparisonReport(compare(read_results(args.results), settings))
    console = Console(highlight=False)
    report.print(console)
    if folder is not None:
        report.write(folder)
        console.print(f"wrote {args.output}")
