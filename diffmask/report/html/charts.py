"""Figures inside a page: charts of lines, any figure of matplotlib as SVG, and tables coloured as heat maps are.

All of them take their colours and their font from the page around them.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from diffmask.report.figures.figures import COLOURS, INK, LINE, PAGE, SOFT, level, percent
from diffmask.report.html.page import macros
from diffmask.train.log import Log, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KINDS = {
    "line": {"lw": 1.9},
    "faint": {"lw": 0.8, "alpha": 0.5},
    "dashed": {"lw": 1.3, "ls": (0, (4, 3))},
}
_COLOURS = {"first": "#000011", "second": "#000012", "third": "#000013", "ink": "#000014"}
_WIDER = 0.7
"""How much wider a line is than the next one, which lies on it: equal lines are both seen."""
_SOFT, _LINE = "#000001", "#000002"
_SIZE = (4.2, 2.5)  # inches at 72 dpi: about the width of a phone, so that the text is never scaled down
_SMALL = 0.01
_STEPS = [1, 2, 2.5, 5, 10]
_MOST_MARKED = 12
"""Points of a line that are marked one by one."""

_ON_A_PAGE = {
    **dict(zip(COLOURS, ("first", "second", "third"), strict=False)),
    INK: "ink",
    SOFT: "soft",
    LINE: "line",
    PAGE: "card",
}
"""Colours of figures that are files, and what a page calls its own."""


def embed(figure: "Figure", key: str, told: str) -> Markup:
    """Return a figure of matplotlib as SVG for a page, at most as wide as it was drawn.

    The same figure gives the same text, to the last character.

    Args:
        figure: Drawn in the colours of `report.figures.figures`, which become those of the page, light or dark.
        key: Begins the ids inside it; different for each figure of a page.
        told: What it shows, in words, for those who do not see it.
    """
    start = Markup('<svg role="img" aria-label="{}" style="max-width:{:g}px"').format(told, 96 * figure.get_figwidth())
    return start + Markup(_drawing(figure, key, _ON_A_PAGE))


def _drawing(figure: "Figure", key: str, colours: Mapping[str, str]) -> str:
    """Return what follows `<svg`; a colour becomes what the page calls it."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = _tidy(text.getvalue(), key)
    for colour, name in colours.items():
        drawing = drawing.replace(colour, f"var(--{name})")
    return drawing


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: In the legend; empty for one without an entry of its own.
        xs: Places.
        ys: Values.
        colour: first, second, third or ink: colours of the page.
        kind: line, faint or dashed.
        spread: Half the height of a band around it, for each value.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: str = "second"
    kind: str = "line"
    spread: Sequence[float] = ()


class Axis(NamedTuple):
    """What a chart is drawn on.

    Attributes:
        xlabel: Of the places.
        is_share: Whether values are shares, to be written as percentages.
        from_zero: Whether the axis of the values begins at 0.
        ticks: Places to label instead of round ones.
    """

    xlabel: str = "optimiser step"
    is_share: bool = False
    from_zero: bool = False
    ticks: Sequence[float] = ()


_STEPS_AXIS = Axis()


def chart(key: str, title: str, lines: Sequence[Line], axis: Axis = _STEPS_AXIS) -> Markup:
    """Return a figure with its title, its legend and its first and last values in words, for those who do not see it.

    Args:
        key: Begins the ids inside it; different for each figure of a page.
        title: Above it.
        lines: What is drawn.
        axis: What they are drawn on.
    """
    lines = [line for line in map(_finite, lines) if line.xs]
    stand_ins = {_SOFT: "soft", _LINE: "line"} | {stand_in: name for name, stand_in in _COLOURS.items()}
    drawing = _drawing(_draw(lines, axis), key, stand_ins)
    named = [line for line in lines if line.name]
    told = f"{title}: {'; '.join(_in_words(line, axis.is_share) for line in named)}"
    # one line alone is what the title says
    return macros("parts.html").figure(title, told, named if len(named) > 1 else [], Markup(drawing))


def chart_of_runs(logs: Mapping[str, Log], key: str, title: str) -> Markup:
    """Return a chart of a logged value over the steps of several runs, a line each."""
    colours = list(_COLOURS)
    lines = [
        Line(name, *points(log, key), colours[place % len(colours)]) for place, (name, log) in enumerate(logs.items())
    ]
    return chart(key, title, lines)


def _in_words(line: Line, is_share: bool) -> str:
    def say(value: float) -> str:
        return percent(round(value, 4)) if is_share else f"{value:,.4g}"

    return f"{line.name} from {say(line.ys[0])} at {line.xs[0]:,.4g} to {say(line.ys[-1])} at {line.xs[-1]:,.4g}"


def _finite(line: Line) -> Line:
    """Leave out what is not finite, such as the loss of a run that diverged."""
    spread = line.spread or [0.0] * len(line.xs)
    kept = [each for each in zip(line.xs, line.ys, spread, strict=True) if math.isfinite(each[1])]
    xs, ys, spreads = ([each[place] for each in kept] for place in range(3))
    return replace(line, xs=xs, ys=ys, spread=spreads if line.spread else ())


def _draw(lines: Sequence[Line], axis: Axis) -> "Figure":
    """Draw with matplotlib, without its global state; colours are stand-ins."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    solid = [line for line in lines if line.kind == "line"]
    for line in lines:
        _add(axes, line, _WIDER * (len(solid) - 1 - solid.index(line)) if line in solid else 0.0)
    _dress(axes, axis.xlabel)
    top = max((max(line.ys) for line in lines), default=1.0) or 1.0
    if axis.is_share:
        axes.yaxis.set_major_formatter(percent)
    elif top < _SMALL:
        axes.yaxis.set_major_formatter(_power)
    if axis.from_zero:
        axes.set_ylim(0.0, 1.06 * top)
    if axis.ticks:
        axes.set_xticks(list(axis.ticks))
    return figure


def _power(value: float, _place: float = 0.0) -> str:
    """Return a small number as the label of a tick.

    >>> _power(0.00012), _power(0.0)
    ('1.2e-4', '0')
    """
    digits, _, exponent = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}" if value else "0"


def _add(axes: "Axes", line: Line, wider: float) -> None:
    colour, look = _COLOURS[line.colour], dict(_KINDS[line.kind])
    look["lw"] += wider
    if len(line.spread):
        pairs = list(zip(line.ys, line.spread, strict=True))
        low, high = [y - each for y, each in pairs], [y + each for y, each in pairs]
        axes.fill_between(line.xs, low, high, color=colour, alpha=0.16, lw=0)
    marker = "o" if line.kind == "line" and len(line.xs) <= _MOST_MARKED else ""
    axes.plot(line.xs, line.ys, color=colour, marker=marker, ms=4, solid_capstyle="butt", **look)


def _dress(axes: "Axes", xlabel: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(xlabel, color=_SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=_STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=_STEPS))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color=_LINE, lw=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_SOFT, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)


def _tidy(svg: str, key: str) -> str:
    """Return what follows `<svg`, without what a page does not need, and with names that no other figure has."""
    svg = svg[svg.index("<svg") + len("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->", "", svg, flags=re.DOTALL)
    head, end, rest = svg.partition(">")
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|version|width|height)="[^"]*"', "", head) + end + rest
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{key}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", svg)
    return re.sub(r"font-family: [^;\"]+", "font-family: inherit", svg)


def heat_table(
    corner: str,
    rows: Sequence[str],
    columns: Sequence[str],
    shares: Sequence[Sequence[float | None]],
    *,
    titles: Sequence[Sequence[str]] | None = None,
    highest: float = 1.0,
) -> Markup:
    """Return a table in a card that scrolls on its own.

    Args:
        corner: Says what the rows are.
        rows: Names of the rows.
        columns: Names of the columns, written upwards where they are long.
        shares: Of each cell, from 0 to `highest`; None where there is none.
        titles: Shown for a cell when the pointer rests on it.
        highest: Value of the hottest colour.
    """

    def cell(share: float | None, title: str) -> tuple[int, str, str] | None:
        if share is None:
            return None
        step = level(share, highest)
        return step, f"{100 * share:.0f}" if step else "0", title

    cells = [
        [cell(share, titles[place][column] if titles else "") for column, share in enumerate(each)]
        for place, each in enumerate(shares)
    ]
    return macros("parts.html").heat_table(corner, rows, columns, cells)
