"""Go through the whole method once, small and offline, in minutes."""

import argparse
import sys
from pathlib import Path

DESCRIPTION = """\
Go through the whole method once, small and offline, with real text (the docstrings of the installed scikit-learn, SciPy
and PyTorch), real weights (MiniLM, from the extra `demo`) and a comparison at the end.

  1  collect the text, and hold out a part of it
  2  find the words that make it different from general English (anchors)
  3  show what random and difference masking would hide (preview)
  4  continue pretraining with random masks, three seeds
  5  continue pretraining with difference masks, everything else the same
  6  ask each model which subpackage a held-out text documents (by probe), and compare

Each step prints the command that does it on your own data. At the end there are tables of the held-out losses and of
the task, with intervals, and an HTML page. It takes a few minutes on two cores. You can run it again at any time; it
starts over.

With --video it does the same with clips: handwritten digits that move over moving clutter, rendered and encoded here,
a small VideoMAE that was pretrained on other such clips, random tubes, random patches and difference masking.

With --video-text it does the same with clips and captions ("a two moves left, a seven moves up"), rendered here too: a
small model of video and text, whose words and patches are masked in the same step. At its end captions and clips find
each other, and a probe answers questions such as "which digit moves left?"."""

EPILOG = """\
examples:
  diffmask quickstart
  diffmask quickstart --video
  diffmask quickstart --video-text
  diffmask quickstart -o demo --steps 400 --seed 1"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add(
        "-o",
        "--output",
        type=Path,
        default=Path("quickstart"),
        metavar="FOLDER",
        help="folder for everything that is written (default: quickstart)",
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--video", action="store_true", help="use clips, rendered here, instead of text")
    kinds.add_argument("--video-text", action="store_true", help="use clips with captions, rendered here")
    steps = "training steps of each run (default: 30; --video 150; --video-text 220)"
    add("--steps", type=int, metavar="N", help=steps)
    add("--seeds", type=int, metavar="N", help="runs of each policy, which differ in their seed (default: 3)")
    add("--seed", type=int, default=0, help="first seed of masks, order and dropout (default: 0)")
    add("--overwrite", action="store_true", help="write into a folder that holds something else")


def run(args: argparse.Namespace) -> int:
    """Run the quickstart; 130 if it was interrupted."""
    import transformers
    from rich.console import Console

    from diffmask.config.limits import SEED, STEPS, AtMost, at_least, check_value
    from diffmask.core.errors import InputError
    from diffmask.quickstart.run import run_quickstart
    from diffmask.quickstart.text import TextQuickstart
    from diffmask.quickstart.video import VideoQuickstart
    from diffmask.quickstart.video_text import VideoTextQuickstart

    kind = VideoTextQuickstart if args.video_text else VideoQuickstart if args.video else TextQuickstart
    if args.steps is not None and args.steps < 1:
        raise InputError(f"--steps {args.steps} is below 1; the default is {kind.steps}")
    check_value("--steps", args.steps or 1, STEPS)
    check_value("--seeds", 1 if args.seeds is None else args.seeds, at_least(1, "3 is the default"), AtMost(1000))
    check_value("--seed", args.seed, at_least(0), SEED)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    quickstart = kind(args.output, seed=args.seed, steps=args.steps or kind.steps, seeds=args.seeds or kind.seeds)
    page = run_quickstart(quickstart, Console(), overwrite=args.overwrite, progress=sys.stderr.isatty())
    return 130 if page is None else 0
