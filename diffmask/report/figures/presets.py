"""All schedules and presets: in the terminal, and as one figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffmask.core.schedule import Schedule
from diffmask.core.schedule_limits import mean
from diffmask.report.figures.figures import FILL, INK, SOFT, new_figure, save_figure
from diffmask.report.figures.schedules import course, draw_course, sparkline

_WIDTH = 14
_NUM_COLUMNS = 5


class Listed(NamedTuple):
    """A preset as it is shown."""

    name: str
    formula: str
    source: str
    schedule: Schedule


def print_shapes(shapes: Mapping[str, tuple[Sequence[str], Sequence[str]]], console: Console) -> None:
    """Print each schedule with the settings that it needs and those that it takes."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("schedule", "needs", "takes"):
        table.add_column(name)
    for name, (needs, takes) in shapes.items():
        table.add_row(name, ", ".join(needs), ", ".join(takes))
    console.print(table)


def print_presets(presets: Sequence[Listed], console: Console) -> None:
    """Print each preset with its course, its mean and its formula, then the papers."""
    top = max(each.schedule(place / 100) for each in presets for place in range(101))
    is_unicode = console.encoding.lower().startswith("utf")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("preset", *(["over training"] if is_unicode else []), "mean", "values (p = 0.15, t = 0 to 1)"):
        table.add_column(name, justify="right" if name == "mean" else "left")
    papers: dict[str, list[str]] = {}
    for name, formula, source, schedule in presets:
        papers.setdefault(source, []).append(name)
        values = [schedule((place + 0.5) / _WIDTH) for place in range(_WIDTH)]
        line = [Text(sparkline(values, top), FILL)] if is_unicode else []
        table.add_row(name, *line, f"{100 * mean(schedule):.1f} %", formula)
    console.print(table)
    console.print()
    for source, names in papers.items():
        console.print(f"{source}: {', '.join(names)}", style="dim")


def draw_presets(presets: Sequence[Listed], path: Path) -> None:
    """Write a figure with one small panel for each preset, all on the same axes."""
    num_rows = -(-len(presets) // _NUM_COLUMNS)
    figure = new_figure(2.3 * _NUM_COLUMNS, 0.5 + 2.1 * num_rows)
    panels = figure.subplots(num_rows, _NUM_COLUMNS, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    top = max(each.schedule(place / 100) for each in presets for place in range(101))
    for axes, each in zip(panels, presets, strict=False):
        draw_course(axes, course(each.name, each.schedule, None), title=each.name, top=top)
        axes.set_xticks([0.0, 0.5, 1.0], ["0", "T/2", "T"])
        axes.set_title(each.name, loc="left", fontsize=10, fontweight="bold", color=INK, pad=17)
        text = f"mean {100 * mean(each.schedule):.1f} %"
        axes.text(0.0, 1.04, text, transform=axes.transAxes, fontsize=8.5, color=SOFT)
    for axes in panels[len(presets) :]:
        axes.set_visible(False)
    figure.suptitle("Presets of the mask ratio, before the floor", x=0.01, ha="left", fontsize=12, color=INK)
    save_figure(figure, path)
