"""One figure from the logs of runs: losses, the ratio that was reached, the strength, the loss of each class."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffmask.core.schedule import Schedule
from diffmask.report.figures.figures import (
    COLOURS,
    INK,
    dress,
    line_style,
    new_figure,
    percent,
    save_figure,
)
from diffmask.train.log import Log, of_sides, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASS_LOSS = "class_loss/"
"""Begins the keys of the loss of each class of units."""
SMOOTHED_OVER = 1 / 15
"""Share of a run's log lines that a smooth line averages over."""

_FONT_SIZE = 8.0

_Points = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class RunLog:
    """What a run has logged, and what it was to follow.

    Attributes:
        name: What it is called in the figure.
        entries: Its log.
        num_steps: Steps of the whole run.
        planned: The mask ratio and the strength that were planned, by the keys of the log.
        wholes: What is masked, in the plural.
    """

    name: str
    entries: Log
    num_steps: int
    planned: Mapping[str, Schedule]
    wholes: str = "words"

    def points(self, key: str) -> _Points:
        """Return the steps at which a value was logged, and the values; a step that was logged again counts once."""
        steps, values = points(self.entries, key)
        return np.array(steps, float), np.array(values, float)

    @property
    def classes(self) -> list[str]:
        """Names of the classes whose losses were logged, in the order of the log."""
        keys = dict.fromkeys(key for entry in self.entries for key in entry if key.startswith(CLASS_LOSS))
        return [key.removeprefix(CLASS_LOSS) for key in keys]


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of the values around each one; the window is cut off at the ends.

    >>> smooth(np.array([0.0, 3.0, 0.0, 3.0]), 3).tolist()
    [1.5, 1.0, 2.0, 1.5]
    """
    places = np.arange(len(values))
    first, last = np.maximum(places - window // 2, 0), np.minimum(places + window // 2 + 1, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[last] - sums[first]) / (last - first)


def draw_runs(runs: Sequence[RunLog], path: Path) -> None:
    """Write the figure of several runs; a panel for which nothing was logged is left out."""
    masked = " or ".join(dict.fromkeys(run.wholes for run in runs))
    titles = {
        "loss": "training loss, each on its own masks",
        "eval_loss": f"held-out loss, all {masked}",
        "eval_loss_domain": f"held-out loss, domain {masked}",
        "mask_ratio": "mask ratio: reached, and planned (dashed)",
        "strength": "strength",
    }
    shown = {
        key: f"{title}{f', {side}' if side else ''}"
        for name, title in titles.items()
        for run in runs
        for key, side in of_sides(run.entries, name).items()
    }
    by_class = [run for run in runs if run.classes]
    num_panels = len(shown) + len(by_class)
    num_rows = -(-num_panels // 2)
    num_keys = len(runs) if len(runs) > 1 else 0
    figure = new_figure(12, 2.8 * num_rows + 0.25 * math.ceil(num_keys / 5) + 0.3)
    panels = figure.subplots(num_rows, 2, squeeze=False).ravel().tolist()
    for axes, key in zip(panels, shown, strict=False):
        _draw(axes, runs, key, shown[key])
    for axes, run in zip(panels[len(shown) :], by_class, strict=False):
        _draw_classes(axes, run)
    for axes in panels[num_panels:]:
        axes.set_visible(False)
    if num_keys:
        lines = [axes for axes in panels[0].get_lines() if axes.get_gid() == "key"]
        figure.legend(
            lines,
            [run.name for run in runs],
            loc="outside lower center",
            ncols=min(5, num_keys),
            frameon=False,
            fontsize=9,
            labelcolor=INK,
        )
    save_figure(figure, path)


def _draw(axes: "Axes", runs: Sequence[RunLog], key: str, title: str) -> None:
    """Draw a value of all runs."""
    dress(axes, title, "optimiser step")
    for place, run in enumerate(runs):
        # thinner ones on top, so that equal lines are both seen
        style, width = line_style(place), max(1.2, 2.6 - 1.4 * place / max(len(runs) - 1, 1))
        steps, values = run.points(key)
        if key == "loss":
            axes.plot(steps, values, color=style["color"], lw=0.7, alpha=0.2 if len(runs) > 3 else 0.45)
            values = smooth(values, int(len(values) * SMOOTHED_OVER) | 1)
        marker = "o" if len(steps) <= 12 else ""
        axes.plot(steps, values, marker=marker, ms=3.5, lw=width, gid="key", **style)
        if key.startswith("mask_ratio") and key in run.planned:
            progress = np.linspace(0.0, 1.0, 401)
            planned = [run.planned[key](float(each)) for each in progress]
            axes.plot(progress * run.num_steps, planned, color=INK, lw=0.8, ls=(0, (4, 3)), alpha=0.8, zorder=5)
    if key.startswith(("mask_ratio", "strength")):
        axes.yaxis.set_major_formatter(percent)
        axes.set_ylim(0.0, 1.04 * axes.get_ylim()[1])
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _draw_classes(axes: "Axes", run: RunLog) -> None:
    """Draw the loss of each class of a run over time, each with its name at its end; classes never met stay at 0."""
    points = {name: run.points(CLASS_LOSS + name) for name in run.classes}
    met = {name: (steps, values) for name, (steps, values) in points.items() if values.any()}
    unmet = len(points) - len(met)
    title = f"loss of each class: {run.name}" + (f" ({unmet} never met)" if unmet else "")
    dress(axes, title, "optimiser step")
    ends = []
    for place, (name, (steps, values)) in enumerate(met.items()):
        axes.plot(steps, values, lw=1.5, **line_style(place))
        ends.append((name, float(steps[-1]), float(values[-1]), COLOURS[place % len(COLOURS)]))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _label_ends(axes, ends)


def spread(wanted: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Return places as near to the wanted ones as may be, with at least `gap` between any two, in the same order.

    Places that are too close become a pile around the mean of what its members wanted; piles that meet are joined. A
    pile stays between `low` and `high`, if it fits there.

    >>> [round(place, 2) for place in spread([0.0, 0.1, 1.0], 0.3)]
    [-0.1, 0.2, 1.0]
    >>> [round(place, 2) for place in spread([0.0, 0.1, 1.0], 0.3, low=0.0)]
    [0.0, 0.3, 1.0]
    """

    def bottom(pile: Sequence[int]) -> float:
        height = gap * (len(pile) - 1)
        centred = sum(wanted[index] for index in pile) / len(pile) - height / 2
        return max(low, min(high - height, centred))

    piles: list[list[int]] = []
    for index in sorted(range(len(wanted)), key=lambda index: wanted[index]):
        piles.append([index])
        while len(piles) > 1 and bottom(piles[-1]) - bottom(piles[-2]) < gap * len(piles[-2]):
            last = piles.pop()
            piles[-1] += last
    places = [0.0] * len(wanted)
    for pile in piles:
        for rank, index in enumerate(pile):
            places[index] = bottom(pile) + rank * gap
    return places


def _label_ends(axes: "Axes", ends: Sequence[tuple[str, float, float, str]]) -> None:
    """Write names beside the ends of lines, in their colours.

    Args:
        axes: Where the lines are drawn already.
        ends: Name, x, y and colour of each.
    """
    if not ends:
        return
    low, high = axes.get_ylim()
    figure = axes.get_figure()
    assert figure is not None
    height = figure.get_figheight() * 0.8 / axes.get_gridspec().nrows  # type: ignore[union-attr]
    gap = (high - low) * min(_FONT_SIZE * 1.25 / 72 / height, 1.0 / len(ends))
    right = max(x for _, x, _, _ in ends)
    for (name, x, y, colour), place in zip(ends, spread([y for _, _, y, _ in ends], gap, low, high), strict=True):
        axes.annotate(
            name,
            xy=(x, y),
            xytext=(1.03, place),
            textcoords=("axes fraction", "data"),
            color=colour,
            fontsize=_FONT_SIZE,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "lw": 0.5,
                "alpha": 0.6,
                "relpos": (0.0, 0.5),
                "shrinkB": 0,
            },
        )
    axes.set_xlim(right=right)


def print_runs(runs: Sequence[RunLog], console: Console) -> None:
    """Print the outcome of each run, one line each."""
    columns = {"loss": "loss", "eval_loss": "held-out", "eval_loss_domain": "domain"}
    columns = {
        key: f"{title} {part}".rstrip()
        for name, title in columns.items()
        for run in runs
        for key, part in of_sides(run.entries, name).items()
        if name != "loss" or not part
    }
    ratios = {key: side for run in runs for key, side in of_sides(run.entries, "mask_ratio").items()} or {
        "mask_ratio": ""
    }
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run")
    planned = [title for side in ratios.values() for title in (f"mask ratio {side}".rstrip(), "planned")]
    for title in ("steps", *columns.values(), *planned):
        table.add_column(title, justify="right")
    for run in runs:
        table.add_row(
            Text(run.name), *_cells(run, list(columns)), *(cell for key in ratios for cell in _ratios(run, key))
        )
    console.print(table)


def _cells(run: RunLog, keys: Sequence[str]) -> Iterator[str]:
    """Yield the last step and the last losses (of training: smoothed)."""
    yield f"{max(entry['step'] for entry in run.entries):,}"
    for key in keys:
        values = run.points(key)[1]
        if key == "loss":
            values = values[-max(1, int(len(values) * SMOOTHED_OVER)) :].mean(keepdims=True) if len(values) else values
        yield f"{values[-1]:.3f}" if len(values) else "-"


def _ratios(run: RunLog, key: str) -> Iterator[str]:
    """Yield the mean ratio that was reached, and the one that was planned."""
    steps, reached = run.points(key)
    if not len(steps):
        yield from ("-", "-")
        return
    # a log line is the mean over the steps since the one before
    spans = np.diff(steps, prepend=0.0)
    planned = [run.planned[key](step / run.num_steps) for step in range(int(steps[-1]))]
    yield f"{100 * float((reached * spans).sum() / spans.sum()):.2f} %"
    yield f"{100 * sum(planned) / len(planned):.2f} %"
