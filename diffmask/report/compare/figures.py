"""The two figures of a comparison: differences with their intervals, and scores by share of the training texts.

Each is drawn once; a file and a page get the same one.
"""

from typing import TYPE_CHECKING

from diffmask.evaluate.compare.compare import NOT_SHOWN, Comparison, DifferenceOfMeans
from diffmask.report.compare.tables import title
from diffmask.report.figures.figures import COLOURS, INK, LINE, PAGE, SOFT, dress, line_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLE_CHARS, _NAME_CHARS = 90, 40
"""Longer ones are cut, so that room is left for what is drawn."""


def forest_figure(found: Comparison) -> "Figure":
    """Return a forest plot: a difference and its interval on each line, beside the line where there is none.

    What is more than chance is filled and in colour, the rest hollow and grey.
    """
    figure = new_figure(7.5, 1.0 + 0.36 * len(found.differences))
    axes = figure.subplots()
    against = f", against {found.against}" if found.against else ""
    dress(axes, _plain(title(found) + against, _TITLE_CHARS), "difference in points, with 95 % interval")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=LINE, lw=0.8)
    axes.axvline(0.0, color=SOFT, lw=1.0, ls=(0, (4, 3)))
    for row, each in enumerate(found.differences):
        shown, mean, ends = each.verdict != NOT_SHOWN, 100 * each.mean, [100 * each.low, 100 * each.high]
        colour = COLOURS[0] if not shown else COLOURS[2] if mean > 0 else COLOURS[1]
        axes.plot(ends, [row, row], color=colour, lw=2.2, solid_capstyle="round")
        axes.plot([mean], [row], "o", color=colour, ms=7, mew=1.8, mfc=colour if shown else PAGE)
        place = {"transform": axes.get_yaxis_transform(), "va": "center"}
        axes.text(1.02, row, say_difference(each), fontsize=8.5, color=INK, **place)
    names = [_plain(each.name if found.against else f"{each.name} - {each.other}") for each in found.differences]
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_ylim(len(names) - 0.5, -0.5)
    low = min(0.0, *(100 * each.low for each in found.differences))
    high = max(0.0, *(100 * each.high for each in found.differences))
    room = 0.04 * (high - low) or 1.0
    axes.set_xlim(low - room, high + room)
    return figure


def learning_figure(found: Comparison) -> "Figure":
    """Return learning curves: the score of each result by share of the training texts, with intervals."""
    names = list(dict.fromkeys(point.name for point in found.curve))
    num_train = dict(sorted((point.share, point.num_train) for point in found.curve))
    shares = list(num_train)
    figure = new_figure(7.5, 3.4)
    axes = figure.subplots()
    dress(axes, _plain(title(found), _TITLE_CHARS), f"training {found.examples}")
    for place, name in enumerate(names):
        line = [point for point in found.curve if point.name == name]
        # beside each other, so that no interval hides another
        xs = [shares.index(point.share) + 0.03 * (place - (len(names) - 1) / 2) for point in line]
        means = [100 * point.mean for point in line]
        # a mean at the end of what is possible may lie beyond its interval by rounding
        below = [max(0.0, 100 * (point.mean - point.low)) for point in line]
        above = [max(0.0, 100 * (point.high - point.mean)) for point in line]
        look = {"marker": "o", "ms": 4, "lw": 1.6, "elinewidth": 1.0} | line_style(place)
        axes.errorbar(xs, means, [below, above], label=_plain(name), **look)
    axes.set_xticks(range(len(shares)), [f"{100 * share:g} %\n{num_train[share]:,}" for share in shares])
    if len(names) > 1:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelcolor=SOFT)
    return figure


def say_difference(each: DifferenceOfMeans) -> str:
    """Return a difference and its interval in points, such as '+1.00 [-0.25, +2.25]'."""
    return f"{100 * each.mean:+.2f} [{100 * each.low:+.2f}, {100 * each.high:+.2f}]"


def _plain(text: str, most: int = _NAME_CHARS) -> str:
    """Return text, cut if it is long, in which a figure reads no formula."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut.replace("$", r"\$")
