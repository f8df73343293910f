"""Curves of several runs, from their logs, as SVG that takes its colours and its font from the page around it."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.report.html.page import escape

Log = Sequence[Mapping[str, float]]

COLOURS = ("first", "second", "third", "soft")
"""Names of the page's colours, in the order of the runs."""
_SOFT, _LINE = "#000001", "#000002"
_STAND_INS = ["#000011", "#000012", "#000013", "#000014"]
_MARKERS = "osD^"
_SIZE = (4.2, 2.7)  # inches at 72 dpi: about the width of a phone, so that the text is never scaled down


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the entries of a run's log.jsonl, one dictionary a line; a last line that was cut off is left out.

    Raises:
        InputError: If a line is no log entry.
    """
    entries, lines = [], path.read_text(encoding="utf-8").rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if isinstance(entry, dict) and "step" in entry:
            entries.append(entry)
        elif number < len(lines) or not entries:
            raise InputError(f"{path}, line {number}, is no log entry ({line[:40]!r}); give the log of a diffmask run")
    return entries


def has_values(logs: Mapping[str, Log], key: str) -> bool:
    """Tell whether any run has logged a value under this key."""
    return any(key in entry for log in logs.values() for entry in log)


def points(log: Log, key: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a value was logged, and the values; a step that was logged again counts once."""
    found = {entry["step"]: entry[key] for entry in log if key in entry}
    return sorted(found), [found[step] for step in sorted(found)]


def curves(logs: Mapping[str, Log], key: str, title: str) -> str:
    """Return a figure of a logged value over steps, one line per run.

    Args:
        logs: Entries of each run, by name.
        key: What is drawn, such as `loss` or `eval_loss`.
        title: Above the figure.
    """
    svg = tidy_svg(_draw(logs, key), key)
    for stand_in, name in zip((_SOFT, _LINE, *_STAND_INS), ("soft", "line", *COLOURS), strict=True):
        svg = svg.replace(stand_in, f"var(--{name})")
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>"


def legend(names: Sequence[str]) -> str:
    """Return which colour is which run."""
    keys = "".join(
        f'<div><span class="key" style="border-color:var(--{COLOURS[place % len(COLOURS)]})"></span>'
        f"<span>{escape(name)}</span></div>"
        for place, name in enumerate(names)
    )
    return f'<div class="scale">{keys}</div>'


def _draw(logs: Mapping[str, Log], key: str) -> str:
    """Draw with matplotlib, without its global state; colours are stand-ins."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key, "font.size": 10}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for place, log in enumerate(logs.values()):
            # thinner ones on top, so that equal lines are both seen
            width = max(1.2, 3.2 - 1.2 * place)
            steps, values = points(log, key)
            marker = _MARKERS[place % len(_MARKERS)] if len(steps) <= 12 else ""
            colour = _STAND_INS[place % len(_STAND_INS)]
            axes.plot(steps, values, color=colour, marker=marker, ms=4, lw=width)
        axes.set_xlabel("optimiser step", color=_SOFT)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.grid(axis="y", color=_LINE, lw=1)
        axes.tick_params(colors=_SOFT, length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(_LINE)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return text.getvalue()


def tidy_svg(svg: str, key: str) -> str:
    """Leave out what a page does not need, and keep the names of several figures on one page apart."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->", "", svg, flags=re.DOTALL)
    head, end, rest = svg.partition(">")
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|version|width|height)="[^"]*"', "", head) + end + rest
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{key}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", svg)
    return re.sub(r"font-family: [^;\"]+", "font-family: inherit", svg)
