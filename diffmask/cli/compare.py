"""The command `diffmask compare RESULT RESULT ...`."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Compare results of `diffmask evaluate` on one task: mean and standard deviation over seeds, and how each result differs
from a baseline, with an interval and a test that hold for other seeds and other test texts. A difference that may be
chance is called "no difference shown".

RESULT is a folder of seed-N.json, or a folder that holds such folders. All must be of one task, evaluated with the same
settings; only seeds that all have are used.

With -o FOLDER also comparison.md, .csv, .html and .json, forest.png, and learning.png where results were evaluated with
several shares of the labels. docs/compare.md says how it is decided, and what five seeds can show."""

EPILOG = """\
examples:
  diffmask compare runs/none/evaluation/chemprot-finetune runs/difference/evaluation/chemprot-finetune
  diffmask compare runs/*/evaluation/chemprot-finetune --baseline random --metric macro_f1 -o comparison/"""


def add_parser(commands: argparse._SubParsersAction, formatter: type[argparse.HelpFormatter]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="tell which results differ by more than chance",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=formatter,
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="output folder of `diffmask evaluate`")
    parser.add_argument("--baseline", metavar="NAME", help="result that the others are held against (first)")
    parser.add_argument("--all-pairs", action="store_true", help="compare each with each; more to correct for")
    parser.add_argument("--metric", default="micro_f1", help="micro_f1, macro_f1 or accuracy (micro_f1)")
    parser.add_argument("--texts", default="all", help="all test texts, or those unseen in the other splits (all)")
    parser.add_argument("--share", type=float, help="share of the labels, such as 0.1 (the largest that all have)")
    parser.add_argument("--draws", type=int, default=10_000, metavar="N", help="random draws of test texts (10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of these draws (0)")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, compare, print, write."""
    from rich.console import Console

    from diffmask.evaluate.compare import CompareSettings, compare
    from diffmask.evaluate.results import read_results
    from diffmask.files.folders import check_folder
    from diffmask.report.comparison import FILES, print_comparison, write_comparison

    settings = CompareSettings(
        args.metric, args.texts, args.share, args.baseline, args.all_pairs, args.draws, args.seed
    )
    folder = args.output and check_folder(args.output, "comparison", FILES, overwrite=args.overwrite)
    found = compare(read_results(args.results), settings)
    console = Console(highlight=False)
    print_comparison(found, console)
    if folder is not None:
        write_comparison(found, folder)
        console.print(f"wrote {args.output}")
