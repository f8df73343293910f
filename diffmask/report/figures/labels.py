"""Names at the ends of lines, moved apart where they would lie on each other."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT_SIZE = 8.0


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


def label_ends(axes: "Axes", ends: Sequence[tuple[str, float, float, str]]) -> None:
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
