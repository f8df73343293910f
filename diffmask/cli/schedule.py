"""See mask ratio and strength over the steps of a run."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffmask.assemble.modality import Words
    from diffmask.pretrain.budget import Budget
    from diffmask.report.figures.schedules import Course

DESCRIPTION = """\
Show the mask ratio and the strength of a run over its steps, before it starts: in the terminal, and as a figure
with -o. It gives mean, minimum and maximum, and the number of tokens that will be masked.

For that number the config's text is tokenised as in the run, into the same cache. With --no-data, and for
data.streaming=true, nothing is read, and the number is the most that it can be: every row as long as data.max_length.
If WORLD_SIZE is set, it counts the rows of that many ranks.

--list shows every schedule with its settings, and the presets of papers with their constants."""

EPILOG = """\
a ratio or a strength is
  a number                                           the same throughout
  a word                                             a preset: mrd-cosine, 30-15, 30-15-5, ...
  {schedule: linear, start: 0.3, end: 0.15}          a schedule with its settings
  {schedule: steps, at: [0, 0.5], values: [0.3, 0.1]}
  {schedule: random, low: 0.15, high: 0.9}           a ratio that each row draws anew (R2MAE)
and every schedule, presets too, takes
  floor: 0.02              never less than this (the default of the ratio)
  normalise: mean          scale it to the same mean as others, mean: 0.15 or another
  bucket: 0.05             multiples of this only, for models with static shapes

examples:
  diffmask schedule chemistry.yaml
  diffmask schedule chemistry.yaml masking.ratio=mrd-cosine -o schedule.png
  diffmask schedule chemistry.yaml masking.strength='{schedule: linear, start: 0, end: 1}' --no-data
  diffmask schedule --list -o presets.png"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("config", nargs="?", type=Path, metavar="CONFIG", help="a YAML file, as for diffmask pretrain")
    add("overrides", nargs="*", metavar="key=value", help="settings that replace those of the file")
    add("-o", "--output", type=Path, metavar="FIGURE", help="figure to write (.png, .svg or .pdf)")
    add("--no-data", action="store_true", help="read no text and no clips; say the most that is masked")
    add("--list", action="store_true", help="show all schedules and presets, and stop")
    add("--overwrite", action="store_true", help="replace the figure if it exists")


def run(args: argparse.Namespace) -> None:
    """Print the schedules, and write the figure."""
    from diffmask.assemble.modality import read_config
    from diffmask.core.errors import InputError
    from diffmask.files.folders import check_output
    from diffmask.report.figures.figures import FORMATS, is_foreign

    if args.output is not None:
        check_output(args.output, "figure", "figure.png", FORMATS, overwrite=args.overwrite, is_foreign=is_foreign)
    if args.list and (args.config is not None or args.no_data):
        raise InputError("--list shows what there is, and reads no config; give --list or CONFIG, one of the two")
    if args.list:
        _list(args.output)
        return
    if args.config is None:
        raise InputError("no config was given; write `diffmask schedule CONFIG.yaml` (see `diffmask schedule --help`)")
    config = read_config(args.config, args.overrides)

    import transformers
    from rich.console import Console

    from diffmask.assemble.modality import modality_of, resolve
    from diffmask.pretrain.budget import run_budget
    from diffmask.report.figures.schedules import Course, draw_courses

    modality, masking = modality_of(config), resolve(config)
    transformers.logging.disable_progress_bar()
    budget = run_budget(config, masking, read_data=not args.no_data)
    courses = [Course.of(name, schedule, budget.num_steps) for name, schedule in masking.shown_schedules.items()]
    ratios = [each for each in courses if each.name.startswith("mask ratio")]
    notes = _notes(budget, ratios, modality.words)
    console = Console(highlight=False)
    for each in courses:
        each.print(console)
        console.print()
    for note in notes:
        console.print(note)
    if args.output is not None:
        draw_courses(courses, args.config.stem, notes, args.output)
        console.print(f"wrote {args.output}")


def _notes(budget: "Budget", ratios: "Sequence[Course]", words: "Words") -> list[str]:
    """Return the size of the run in words; how much it masks, where one ratio says so."""
    (ratio, *others), rows = ratios, budget.rows_per_step
    masked = budget.masked_per_step(ratio.ratios)
    length, varies = budget.tokens_per_step / rows, len(budget.lengths) > 1
    each = f"at most {length:,.0f}" if budget.is_bound else f"{length:,.1f}" if varies else f"{length:,.0f}"
    bound = " (data.max_length)" if budget.is_bound else ""
    per_step = f"{rows:,} rows a step, {each} {words.parts} each{bound}"
    if others:  # of each side its own share is masked
        return [per_step if budget.num_steps is None else f"{budget.num_steps:,} steps, {per_step}"]
    if budget.num_steps is None:
        return [
            per_step,
            f"masked: {'at most ' * budget.is_bound}{masked:,.0f} {words.parts} a step on average; how many steps "
            f"training.epochs makes is known only from the {words.samples}",
        ]
    steps = f"{budget.num_steps:,} {'step' if budget.num_steps == 1 else 'steps'}, {per_step}"
    about = "at most" if budget.is_bound else "about"
    notes = [steps, f"masked over the run: {about} {budget.num_steps * masked:,.0f} {words.parts}"]
    reached = masked / budget.tokens_per_step
    if reached > ratio.mean + 0.001:
        notes.append(
            f"at least one unit of every row is masked, and many rows are short: the mean ratio will be about "
            f"{100 * reached:.1f} %"
        )
    return notes


def _list(output: Path | None) -> None:
    from rich.console import Console

    from diffmask.report.figures.schedules import draw_presets, print_schedules

    console = Console(highlight=False)
    print_schedules(console)
    if output is not None:
        draw_presets(output)
        console.print(f"\nwrote {output}")
