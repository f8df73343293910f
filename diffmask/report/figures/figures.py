"""Figures as files: how they look, and how they are written."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmask.core.errors import InputError
from diffmask.report.figures.palette import LIGHT, LIGHT_INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
INK, SOFT, LINE, PAGE = LIGHT_INK, "#6b625a", "#e6dfd6", LIGHT[0]
ACCENT, FILL = "#a84b08", LIGHT[4]
COLOURS = (
    "#6b7280",  # the first three are those of the pages
    "#a84b08",
    "#0f766e",
    "#2f6db5",
    "#c2252e",
    "#8150d8",
    "#7a9a01",
    "#e0a100",
    "#d6588f",
    "#22a5c9",
    "#6b3f1d",
    "#1f1b17",
)
"""Lines of several runs, told apart on white."""
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
"""Where there are more lines than colours, the next ones are dashed, then dotted."""


def line_style(place: int) -> dict[str, Any]:
    """Return colour and dashes of the line at a place."""
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place // len(COLOURS) % len(DASHES)]}


def check_figure(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that cannot be written, before the work is done.

    Raises:
        InputError: If the name has another ending, exists, or its folder is missing.
    """
    if path.is_dir():
        raise InputError(f"the output {path} is a folder; give the name of a figure such as {path / 'figure.png'}")
    if path.suffix not in FORMATS:
        raise InputError(f"the output {path} is no figure; give a name that ends with {', '.join(FORMATS)}")
    if path.exists() and not overwrite:
        raise InputError(f"the output {path} exists; use --overwrite to replace it, or give another name with -o")
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} of the output does not exist; make it first")


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of so many inches, without the global state of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(width, height), layout=layout, facecolor=PAGE)
    FigureCanvasAgg(figure)
    return figure


def percent(share: float, _place: float = 0.0) -> str:
    """Return a share as a tick of an axis says it."""
    return f"{100 * share:.4g} %"


def dress(axes: "Axes", title: str, xlabel: str = "") -> None:
    """Give axes the look of all figures: a title on the left, lines across, nothing that says nothing."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.set_xlabel(xlabel, color=SOFT, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.grid(axis="y", color=LINE, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, length=0, labelsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure, under its name only once it is whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        figure.savefig(draft, format=path.suffix[1:], dpi=160, facecolor=PAGE)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
