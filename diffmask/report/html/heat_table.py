"""Tables whose cells have the colours of heat maps: shares, each with its number."""

from collections.abc import Sequence

from diffmask.report.figures.palette import level
from diffmask.report.html.page import escape


def heat_table(
    corner: str,
    rows: Sequence[str],
    columns: Sequence[str],
    shares: Sequence[Sequence[float | None]],
    *,
    titles: Sequence[Sequence[str]] | None = None,
    highest: float = 1.0,
) -> str:
    """Return a table in a card that scrolls on its own.

    Args:
        corner: Says what the rows are.
        rows: Their names.
        columns: Theirs, written upwards where they are long.
        shares: Of each cell, from 0 to `highest`; None where there is none.
        titles: What is told of a cell where the pointer rests on it.
        highest: Value of the hottest colour.
    """
    turned = " turned" if any(len(name) > 6 for name in columns) else ""
    head = "".join(f'<th scope="col" class="top{turned}"><span>{escape(name)}</span></th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(
            _cell(share, highest, titles[place][column] if titles else "") for column, share in enumerate(shares[place])
        )
        + "</tr>"
        for place, name in enumerate(rows)
    )
    return (
        '<div class="card scroll" tabindex="0"><table class="heat"><thead><tr>'
        f'<th scope="col">{escape(corner)}</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(share: float | None, highest: float, title: str) -> str:
    if share is None:
        return "<td></td>"
    told = f' title="{escape(title)}"' if title else ""
    step = level(share, highest)
    return f'<td class="h{step}"{told}>{100 * share:.0f}</td>' if step else f'<td class="soft"{told}>0</td>'
