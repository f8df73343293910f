"""Write a page about a run."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Write a page about a run of `diffmask pretrain`: what was run, with which data, versions and hardware; its anchors;
what it masked, as heat maps of the same held-out sentences at several of its steps; its schedules, losses and
throughput; and every evaluation in RUN/evaluation. One HTML file, for wide and narrow screens, light and dark, and
paper, that needs no network.

A run that is not finished, or was made by an older version, has a page too. It says what it lacks. Text and anchors are
read again where they were, for the heat maps. Of a run on video, some held-out clips are shown with the scores of
their patches, masks, and what the trained model makes of what is hidden; and the clips that failed are named."""

EPILOG = """\
examples:
  diffmask report runs/chemistry
  diffmask report runs/chemistry --overwrite
  diffmask report runs/chemistry -o chemistry.html"""

PAGE = "report.html"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("folder", type=Path, metavar="RUN", help="output folder of a run")
    add("-o", "--output", type=Path, metavar="PAGE", help=f"HTML page to write (default: RUN/{PAGE})")
    add("--overwrite", action="store_true", help="replace the page if it exists")


def run(args: argparse.Namespace) -> None:
    """Read the run, write the page."""
    from diffmask.core.errors import InputError
    from diffmask.files.folders import check_output
    from diffmask.report.html.page import is_foreign, write_page
    from diffmask.train.folder import SETTINGS_FILE

    if not (args.folder / SETTINGS_FILE).is_file():
        raise InputError(
            f"{args.folder} is no run (it holds no {SETTINGS_FILE}); give the output folder of `diffmask pretrain`"
        )
    path = args.output or args.folder / PAGE
    check_output(path, "page", PAGE, overwrite=args.overwrite, is_foreign=is_foreign)

    import transformers

    from diffmask.report.run.page import run_page
    from diffmask.report.run.read import read_run

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    data = read_run(args.folder)
    write_page(run_page(data), path)
    for line in data.missing:
        print(f"not on the page: {line}")
    print(f"wrote {path}")
