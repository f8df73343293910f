"""Schedules, those of a run and the presets: charts in the terminal, and figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffmask.assemble.schedules import PRESETS, SCHEDULES
from diffmask.core.schedule import Random, mean
from diffmask.report.figures.figures import ACCENT, FILL, INK, SOFT, dress, new_figure, percent, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUM_PLACES = 10_000
"""Steps of a long run that are read, evenly spread."""
NUM_DRAWN = 1000
"""Values that stand for all that can be drawn."""
NUM_ROWS = 8
"""Rows of a chart in the terminal."""
_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Course:
    """The values of a schedule over a run.

    Attributes:
        name: What is scheduled.
        values: Its value at evenly spread steps, the first and the last among them.
        mean: Over all steps.
        least: Smallest value.
        greatest: Largest value.
        num_steps: Steps of the run; None where that is not known, and only progress is.
        drawn: Whether each row draws its value anew between `least` and `greatest`; `values` are then the mean.
    """

    name: str
    values: tuple[float, ...]
    mean: float
    least: float
    greatest: float
    num_steps: int | None
    drawn: bool = False

    @classmethod
    def of(cls, name: str, schedule: Callable[[float], float], num_steps: int | None) -> Self:
        """Follow a schedule through a run; step s of T is at progress s / T, so that the last one is just below 1."""
        num_places = NUM_PLACES if num_steps is None else min(num_steps, NUM_PLACES)
        last = 1.0 if num_steps is None else (num_steps - 1) / num_steps
        values = tuple(schedule(last * place / max(num_places - 1, 1)) for place in range(num_places))
        if num_places == num_steps:
            mean = sum(values) / num_places
        else:  # in a sample, each end represents half as many steps as a place in between
            mean = (sum(values) - (values[0] + values[-1]) / 2) / (num_places - 1)
        if isinstance(schedule, Random):
            return cls(name, values, mean, schedule.low, schedule.high, num_steps, drawn=True)
        return cls(name, values, mean, min(values), max(values), num_steps)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Values as rows have them: those of the steps, or what is drawn, evenly spread."""
        if not self.drawn:
            return self.values
        width = (self.greatest - self.least) / NUM_DRAWN
        return tuple(self.least + width * (place + 0.5) for place in range(NUM_DRAWN))

    @property
    def is_constant(self) -> bool:
        """Whether it never changes."""
        return self.least == self.greatest

    @property
    def in_words(self) -> str:
        """Mean, least and greatest value.

        >>> from diffmask.core.schedule import Linear
        >>> Course.of("mask ratio", Linear(0.3, 0.0), None).in_words
        'mask ratio: mean 15.0 %, from 0.0 % to 30.0 %'
        """
        if self.is_constant:
            return f"{self.name}: {100 * self.mean:.4g} % throughout"
        ends = f"from {100 * self.least:.1f} % to {100 * self.greatest:.1f} %"
        return f"{self.name}: mean {100 * self.mean:.1f} %, {'drawn at random ' * self.drawn}{ends}"

    def at(self, progress: float) -> float:
        """Return the value at a share of the run."""
        return self.values[round(min(1.0, max(0.0, progress)) * (len(self.values) - 1))]

    def print(self, console: Console) -> None:
        """Print a chart over the steps, as wide as the console."""
        console.print(Text(self.in_words, "bold"))
        if self.is_constant:
            return
        top = _rounded_up(self.greatest)
        labels = [f"{100 * top:.4g} %", f"{50 * top:.4g} %", "0"]
        margin = max(map(len, labels)) + 1
        width = max(10, min(console.width, 100) - margin - 1)
        heights = [self.at((column + 0.5) / width) / top for column in range(width)]
        named = {0: labels[0], NUM_ROWS // 2: labels[1]}
        is_unicode = console.encoding.lower().startswith("utf")
        for row in range(NUM_ROWS):
            cells = "".join(_cell(height * NUM_ROWS - (NUM_ROWS - 1 - row), is_unicode) for height in heights)
            line = Text(f"{named.get(row, ''):>{margin}}", "dim").append("│" if is_unicode else "|", "dim")
            console.print(line.append(cells, FILL), no_wrap=True, overflow="crop")
        corner, rule = ("└", "─") if is_unicode else ("+", "-")
        console.print(Text(f"{labels[2]:>{margin}}{corner}{rule * width}", "dim"), no_wrap=True, overflow="crop")
        end = "1" if self.num_steps is None else f"{self.num_steps:,}"
        what = "progress" if self.num_steps is None else "steps"
        gap = max(1, width - len(end) - 1)
        axis = " " * (margin + 1) + "0" + f"{what:^{gap}.{gap}}" + end
        console.print(Text(axis, "dim"), no_wrap=True, overflow="crop")


def _sparkline(values: Sequence[float], top: float) -> str:
    """Return values as one row of blocks, with `top` a full one.

    >>> _sparkline([0.0, 0.15, 0.3], 0.3)
    ' ▄█'
    """
    return "".join(_cell(value / top, True) for value in values)


def _cell(filled: float, is_unicode: bool) -> str:
    """Return the block of a cell that is filled from below to a share."""
    eighths = round(8 * min(1.0, max(0.0, filled)))
    return _EIGHTHS[eighths] if is_unicode else "#" if eighths > 3 else " "


def _rounded_up(value: float) -> float:
    """Return the next value that reads well at the top of an axis.

    >>> [_rounded_up(value) for value in (0.32, 0.15, 0.98, 0.005)]
    [0.35, 0.15, 1.0, 0.01]
    """
    size = 0.05 if value > 0.1 else 0.01
    return min(1.0, round(size * -(-round(value / size, 9) // 1), 12))


def draw_courses(courses: Sequence[Course], title: str, notes: Sequence[str], path: Path) -> None:
    """Write the figure of a run's schedules.

    Args:
        courses: One panel each.
        title: Above the panels.
        notes: Below the panels.
        path: File to write.
    """
    figure = new_figure(7.5, 0.9 + 2.1 * len(courses) + 0.18 * len(notes))
    panels = figure.subplots(len(courses), 1, sharex=True, squeeze=False)[:, 0]
    for axes, each in zip(panels, courses, strict=True):
        _draw_course(axes, each)
    panels[-1].set_xlabel("progress" if courses[0].num_steps is None else "optimiser step", color=SOFT, fontsize=9)
    figure.suptitle(title, x=0.02, ha="left", fontsize=12, fontweight="bold", color=INK)
    if notes:
        figure.supxlabel("\n".join(notes), x=0.02, ha="left", fontsize=8.5, color=SOFT, linespacing=1.5)
    save_figure(figure, path)


def _draw_course(axes: "Axes", given: Course, title: str | None = None, top: float | None = None) -> None:
    """Draw a schedule, with its mean as a dashed line.

    Args:
        axes: Where to.
        given: The schedule.
        title: Shown instead of its name and its numbers.
        top: Upper end of the axis; by default as its values need it.
    """
    dress(axes, given.in_words if title is None else title)
    end = 1.0 if given.num_steps is None else float(given.num_steps)
    xs = [end * place / max(len(given.values) - 1, 1) for place in range(len(given.values))]
    if given.drawn:
        axes.fill_between(xs, given.least, given.greatest, color=FILL, alpha=0.35, lw=0)
    else:
        axes.fill_between(xs, given.values, color=FILL, alpha=0.35, lw=0)
    axes.plot(xs, given.values, color=ACCENT, lw=1.8, solid_capstyle="butt")
    if not given.is_constant:
        axes.axhline(given.mean, color=INK, lw=0.9, ls=(0, (4, 3)))
    axes.set_xlim(0.0, end)
    axes.set_ylim(0.0, 1.08 * (top or given.greatest or 1.0))
    axes.yaxis.set_major_formatter(percent)
    if given.num_steps is not None:
        axes.xaxis.set_major_formatter("{x:,.0f}")


_WIDTH = 14
_NUM_COLUMNS = 5


def print_schedules(console: Console) -> None:
    """Print each schedule with its settings, then each preset with its course, its mean and its formula, and papers."""
    shapes = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("schedule", "needs", "takes"):
        shapes.add_column(name)
    for name, shape in SCHEDULES.items():
        shapes.add_row(name, ", ".join(shape.needs), ", ".join(shape.takes))
    console.print(shapes)
    console.print()
    is_unicode = console.encoding.lower().startswith("utf")
    presets = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("preset", *(["over training"] if is_unicode else []), "mean", "values (p = 0.15, t = 0 to 1)"):
        presets.add_column(name, justify="right" if name == "mean" else "left")
    papers: dict[str, list[str]] = {}
    for name, each in PRESETS.items():
        papers.setdefault(each.source, []).append(name)
        values = [each.schedule((place + 0.5) / _WIDTH) for place in range(_WIDTH)]
        line = [Text(_sparkline(values, _highest()), FILL)] if is_unicode else []
        presets.add_row(name, *line, f"{100 * mean(each.schedule):.1f} %", each.formula)
    console.print(presets)
    console.print()
    for source, names in papers.items():
        console.print(f"{source}: {', '.join(names)}", style="dim")


def _highest() -> float:
    """Return the greatest value of any preset."""
    return max(each.schedule(place / 100) for each in PRESETS.values() for place in range(101))


def draw_presets(path: Path) -> None:
    """Write a figure with one small panel for each preset, all on the same axes."""
    num_rows = -(-len(PRESETS) // _NUM_COLUMNS)
    figure = new_figure(2.3 * _NUM_COLUMNS, 0.5 + 2.1 * num_rows)
    panels = figure.subplots(num_rows, _NUM_COLUMNS, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    for axes, (name, each) in zip(panels, PRESETS.items(), strict=False):
        _draw_course(axes, Course.of(name, each.schedule, None), title=name, top=_highest())
        axes.set_xticks([0.0, 0.5, 1.0], ["0", "T/2", "T"])
        axes.set_title(name, loc="left", fontsize=10, fontweight="bold", color=INK, pad=17)
        text = f"mean {100 * mean(each.schedule):.1f} %"
        axes.text(0.0, 1.04, text, transform=axes.transAxes, fontsize=8.5, color=SOFT)
    for axes in panels[len(PRESETS) :]:
        axes.set_visible(False)
    figure.suptitle("Presets of the mask ratio, before the floor", x=0.01, ha="left", fontsize=12, color=INK)
    save_figure(figure, path)
