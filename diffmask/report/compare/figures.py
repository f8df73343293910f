"""Forest plots: a difference and its interval on each line, beside the line where there is no difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import escape

from diffmask.report.figures.figures import COLOURS, INK, LINE, SOFT, dress, new_figure, save_figure

_ROW, _AXIS = 46, 34  # pixels: of a line, and of the axis below them
_MARGIN = 3.0  # per cent on either side, so that an end is not cut off
_NAME_CHARS = 26  # of a name that fits beside its numbers on a phone
_TICKS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Effect:
    """A difference and where it may be.

    Attributes:
        name: What differs, and from what.
        value: By how much.
        low: Lower end of its interval.
        high: Upper end.
        shown: Whether it is more than chance; drawn filled and in colour, others hollow and grey.
    """

    name: str
    value: float
    low: float
    high: float
    shown: bool

    @property
    def colour(self) -> str:
        """Its colour on a page."""
        return "soft" if not self.shown else "third" if self.value > 0 else "second"


def _say(effect: Effect) -> str:
    """Return a difference and its interval in figures.

    >>> say(Effect("a", 1.0, -0.25, 2.25, False))
    '+1.00 [-0.25, +2.25]'
    """
    return f"{effect.value:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}]"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers between two, 0 among them if it lies there.

    >>> ticks(-1.2, 2.9)
    [-1.0, 0.0, 1.0, 2.0]
    """
    least = (high - low) / most
    power = 10.0 ** _exponent(least)
    step = next(power * each for each in _TICKS if power * each >= least)
    first = int(-(-low // step))
    return [round(place * step, 10) for place in range(first, int(high // step) + 1)]


def forest(effects: Sequence[Effect], title: str, unit: str) -> str:
    """Return the figure for a page: as wide as there is room, with text of one size on a phone and on a desk.

    Args:
        effects: One line each, from above.
        title: Above the figure.
        unit: Of the differences, below the axis.
    """
    low, high = _range(effects)

    def at(value: float) -> str:
        return f"{_MARGIN + (100 - 2 * _MARGIN) * (value - low) / (high - low):.2f}%"

    bottom = _ROW * len(effects) + 6
    parts = []
    for tick in ticks(low, high):
        line = "stroke:var(--soft);stroke-dasharray:4 3" if tick == 0 else "stroke:var(--line)"
        parts.append(f'<line x1="{at(tick)}" x2="{at(tick)}" y1="0" y2="{bottom}" style="{line}"></line>')
        parts.append(_text(at(tick), bottom + 14, f"{tick:+g}" if tick else "0", "middle"))
    parts.append(_text("50%", bottom + 30, unit, "middle"))
    for place, effect in enumerate(effects):
        parts.append(_row(effect, at, _ROW * place))
    told = "; ".join(f"{effect.name}: {_say(effect)}" for effect in effects)
    return (
        f'<figure class="forest"><figcaption>{escape(title)}</figcaption>'
        f'<svg role="img" aria-label="{escape(told)}" width="100%" style="height:{bottom + _AXIS}px">'
        f"{''.join(parts)}</svg></figure>"
    )


def _row(effect: Effect, at, top: int) -> str:
    colour, middle = f"var(--{effect.colour})", top + 34
    fill = colour if effect.shown else "var(--card)"
    name = effect.name if len(effect.name) <= _NAME_CHARS else effect.name[: _NAME_CHARS - 1] + "…"
    return (
        f"<g><title>{escape(effect.name)}</title>"
        + _text("0", top + 18, name, "start", "ink")
        + _text("100%", top + 18, _say(effect), "end", "ink" if effect.shown else "soft")
        + f'<line x1="{at(effect.low)}" x2="{at(effect.high)}" y1="{middle}" y2="{middle}" '
        f'style="stroke:{colour};stroke-width:3;stroke-linecap:round"></line>'
        f'<circle cx="{at(effect.value)}" cy="{middle}" r="5" '
        f'style="fill:{fill};stroke:{colour};stroke-width:2.5"></circle></g>'
    )


def _text(x: str, y: float, text: str, anchor: str, colour: str = "soft") -> str:
    # a halo in the colour of the card, so that lines do not run through letters
    look = f"fill:var(--{colour});font-size:13px;paint-order:stroke;stroke:var(--card);stroke-width:4px"
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" style="{look}">{escape(text)}</text>'


def draw_forest(effects: Sequence[Effect], title: str, unit: str, path: Path) -> None:
    """Write the figure as a file."""
    figure = new_figure(7.5, 1.0 + 0.36 * len(effects))
    axes = figure.subplots()
    dress(axes, _plain(title), unit)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=LINE, lw=0.8)
    axes.axvline(0.0, color=SOFT, lw=1.0, ls=(0, (4, 3)))
    for place, effect in enumerate(effects):
        colour = {"soft": COLOURS[0], "second": COLOURS[1], "third": COLOURS[2]}[effect.colour]
        axes.plot([effect.low, effect.high], [place, place], color=colour, lw=2.2, solid_capstyle="round")
        axes.plot([effect.value], [place], "o", color=colour, ms=7, mew=1.8, mfc=colour if effect.shown else "white")
        axes.text(1.02, place, _say(effect), transform=axes.get_yaxis_transform(), va="center", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(effects)), [_plain(effect.name) for effect in effects], color=INK)
    axes.set_ylim(len(effects) - 0.5, -0.5)
    axes.set_xlim(*_range(effects))
    save_figure(figure, path)


def _range(effects: Sequence[Effect]) -> tuple[float, float]:
    """Return the ends of the axis, with 0 between them."""
    low = min(0.0, *(effect.low for effect in effects))
    high = max(0.0, *(effect.high for effect in effects))
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _plain(text: str) -> str:
    """Return text in which a figure reads no formula."""
    return text.replace("$", r"\$")
