"""Learning curves: scores by the share of the training texts, with their intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import escape

from diffmask.report.compare.figures import ticks
from diffmask.report.figures.figures import SOFT, dress, line_style, new_figure, save_figure

_COLOURS = ("first", "second", "third", "ink")
_DASHES = {"solid": "", "dashed": "stroke-dasharray:7 4", "dotted": "stroke-dasharray:2 4"}
_HEIGHT, _TOP, _BOTTOM = 250, 8, 40  # pixels: of the figure, above and below its axes
_LEFT, _RIGHT = 13.0, 3.0  # per cent beside its axes
_APART = 2.2  # per cent between the intervals of neighbours


@dataclass(frozen=True)
class Scored:
    """A score with a share of the training texts.

    Attributes:
        name: What was scored; one line each.
        share: Of the training texts.
        num_train: Training texts.
        mean: The score.
        low: Lower end of its interval.
        high: Upper end.
    """

    name: str
    share: float
    num_train: int
    mean: float
    low: float
    high: float


def learning_curves(points: Sequence[Scored], title: str) -> str:
    """Return the figure for a page: shares stand evenly beside each other, as wide as there is room."""
    names, shares = _parts(points)
    low, high = min(point.low for point in points), max(point.high for point in points)
    room = 0.05 * (high - low) or 0.01
    low, high = low - room, high + room

    def x(share: float, place: int) -> float:
        middle = _LEFT + (100 - _LEFT - _RIGHT) * (shares.index(share) + 0.5) / len(shares)
        return middle + _APART * (place - (len(names) - 1) / 2) / max(1, len(names) / 4)

    def y(score: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - score) / (high - low)

    parts = list(_axes(points, y, [100 * each for each in (low, high)]))
    for place, name in enumerate(names):
        look = f"stroke:var(--{_COLOURS[place % len(_COLOURS)]});stroke-width:2"
        dash = list(_DASHES.values())[place // len(_COLOURS) % len(_DASHES)]
        line = [(x(each.share, place), each) for each in points if each.name == name]
        for (left, one), (right, other) in zip(line, line[1:], strict=False):
            parts.append(_line(left, y(one.mean), right, y(other.mean), f"{look};{dash}"))
        for at, each in line:
            parts.append(_line(at, y(each.low), at, y(each.high), f"{look};stroke-opacity:0.45"))
            parts.append(f'<circle cx="{at:.2f}%" cy="{y(each.mean):.1f}" r="4" style="{look};fill:var(--card)"/>')
    told = "; ".join(f"{each.name} with {100 * each.share:g} %: {100 * each.mean:.2f}" for each in points)
    svg = f'<svg role="img" aria-label="{escape(told)}" width="100%" style="height:{_HEIGHT}px">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{_legend(names)}{svg}</figure>"


def _parts(points: Sequence[Scored]) -> tuple[list[str], list[float]]:
    return list(dict.fromkeys(point.name for point in points)), sorted({point.share for point in points})


def _axes(points: Sequence[Scored], y, ends: Sequence[float]) -> Iterator[str]:
    for tick in ticks(ends[0], ends[1], 4):
        height = y(tick / 100)
        yield _line(_LEFT, height, 100 - _RIGHT, height, "stroke:var(--line)")
        yield _text(_LEFT - 2, height + 4, f"{tick:g}", "end")
    _, shares = _parts(points)
    texts = {point.share: point.num_train for point in points}
    for place, share in enumerate(shares):
        at = _LEFT + (100 - _LEFT - _RIGHT) * (place + 0.5) / len(shares)
        yield _text(at, _HEIGHT - _BOTTOM + 18, f"{100 * share:g} %", "middle")
        yield _text(at, _HEIGHT - _BOTTOM + 34, f"{texts[share]:,} texts", "middle")


def _legend(names: Sequence[str]) -> str:
    keys = (
        f'<div><span class="key" style="border-color:var(--{_COLOURS[place % len(_COLOURS)]});'
        f'border-top-style:{list(_DASHES)[place // len(_COLOURS) % len(_DASHES)]}"></span><span>{escape(name)}</span>'
        "</div>"
        for place, name in enumerate(names)
    )
    return f'<div class="scale">{"".join(keys)}</div>'


def _line(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    return f'<line x1="{x1:.2f}%" y1="{y1:.1f}" x2="{x2:.2f}%" y2="{y2:.1f}" style="{look.rstrip(";")}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    look = "fill:var(--soft);font-size:13px"
    return f'<text x="{x:.2f}%" y="{y:.1f}" text-anchor="{anchor}" style="{look}">{escape(text)}</text>'


def draw_learning(points: Sequence[Scored], title: str, path: Path) -> None:
    """Write the figure as a file."""
    names, shares = _parts(points)
    figure = new_figure(7.5, 3.4)
    axes = figure.subplots()
    dress(axes, title.replace("$", r"\$"), "training texts")
    for place, name in enumerate(names):
        line = [point for point in points if point.name == name]
        xs = [shares.index(point.share) + 0.03 * (place - (len(names) - 1) / 2) for point in line]
        means = [100 * point.mean for point in line]
        ends = [[100 * (each.mean - each.low) for each in line], [100 * (each.high - each.mean) for each in line]]
        # a mean at the end of what is possible may lie beyond its interval by rounding
        ends = [[max(0.0, each) for each in side] for side in ends]
        label = name.replace("$", r"\$")
        axes.errorbar(xs, means, ends, marker="o", ms=4, lw=1.6, elinewidth=1.0, label=label, **line_style(place))
    numbers = {point.share: point.num_train for point in points}
    axes.set_xticks(range(len(shares)), [f"{100 * share:g} %\n{numbers[share]:,}" for share in shares])
    if len(names) > 1:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelcolor=SOFT)
    save_figure(figure, path)
