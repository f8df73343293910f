"""How figures look and are written to files, and the colours of heat maps, for light and for dark.

The steps of a heat map go from plain to hot, and text is readable on each of them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmask.files.folders import draft

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_LEVELS = 11
"""Level 0 is the page itself."""


def _ramp(*stops: str) -> tuple[str, ...]:
    """Return evenly spaced colours between stops, straight through RGB."""
    points = [tuple(int(stop[i : i + 2], 16) for i in (1, 3, 5)) for stop in stops]
    colours = []
    for level in range(NUM_LEVELS):
        place = level / (NUM_LEVELS - 1) * (len(points) - 1)
        left = min(int(place), len(points) - 2)
        pairs = zip(points[left], points[left + 1], strict=True)
        colours.append("#" + "".join(f"{round(a + (b - a) * (place - left)):02x}" for a, b in pairs))
    return tuple(colours)


LIGHT = _ramp("#ffffff", "#ffeccc", "#ffd08a", "#ffac4d", "#f98a2b")
LIGHT_INK = "#1f1b17"
DARK = _ramp("#1c1a18", "#3a2716", "#643813", "#904811", "#b04e0f")
DARK_INK = "#f6efe7"


def level(probability: float, highest: float) -> int:
    """Return the step of a probability on a scale that ends at `highest`; everything above the page is at least 1.

    >>> [level(p, 0.5) for p in (0.0, 0.01, 0.25, 0.5)]
    [0, 1, 5, 10]
    """
    if probability <= 0:
        return 0
    return min(NUM_LEVELS - 1, max(1, round(probability / highest * (NUM_LEVELS - 1))))


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
"""Colours of the lines of several runs, distinct on white."""
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
"""Where there are more lines than colours, the next ones are dashed, then dotted."""


def line_style(place: int) -> dict[str, Any]:
    """Return colour and dashes of the line at a place."""
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": _DASHES[place // len(COLOURS) % len(_DASHES)]}


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, its size in inches, without the global state of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(width, height), layout=layout, facecolor=PAGE)
    FigureCanvasAgg(figure)
    return figure


def percent(share: float, _place: float = 0.0) -> str:
    """Return a share as the label of a tick."""
    return f"{100 * share:.4g} %"


def dress(axes: "Axes", title: str, xlabel: str = "") -> None:
    """Give axes the look of all figures: a title on the left, lines across, no frame."""
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
    with draft(path) as new:
        figure.savefig(new, format=path.suffix[1:], dpi=160, facecolor=PAGE)


def is_foreign(path: Path) -> bool:
    """Tell whether a file is a drawing or a document that was not made here; of pictures that cannot be told."""
    content = path.read_bytes() if path.suffix in (".svg", ".pdf") else b""
    return content.lstrip().startswith((b"<", b"%PDF")) and b"Matplotlib" not in content
