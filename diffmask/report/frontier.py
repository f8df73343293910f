"""The folder of a merge: its table, its record, a page with the frontier as a figure, and the model that is kept."""

import csv
import io
import json
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING

from diffmask.evaluate.run import score_dev
from diffmask.files.folders import draft
from diffmask.pretrain.merge.frontier import Frontier, MergeSettings, Point, merge
from diffmask.report.figures.figures import ACCENT, SOFT, dress, new_figure
from diffmask.report.html.charts import embed
from diffmask.report.html.page import macros, page, write_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE = "frontier.html"
NAMES = ("frontier.json", "frontier.csv", PAGE, "model/*", "model/*/*")
"""What the folder of a merge holds."""
_HEAD = ("share", "domain loss", "general loss", "dev score")


def merge_to(settings: MergeSettings, output: Path, *, progress: bool = False) -> Frontier:
    """Merge, and write the folder; it appears when it is complete, and replaces one that stands there."""
    with draft(output) as new:
        new.mkdir()
        found = merge(settings, new, score_dev, progress=progress)
        (new / "frontier.json").write_text(json.dumps(found.to_json(), indent=1) + "\n", encoding="utf-8")
        (new / "frontier.csv").write_text(_table(found), encoding="utf-8")
        write_page(frontier_page(found), new / PAGE)
    return found


def rows_of(found: Frontier) -> list[tuple[str, ...]]:
    """Return head and rows of a table, without the columns that were not measured."""
    known = [place for place, value in enumerate(astuple(found.points[0])) if value is not None]
    rows = [tuple(_shown(astuple(point)[place], place) for place in known) for point in found.points]
    return [tuple(_HEAD[place] for place in known), *rows]


def tell_kept(found: Frontier) -> str:
    """Return in a sentence which model was saved, and by what rule."""
    if found.kept is None:
        return "No model was saved: without --task nothing says which is best; name a share with --keep."
    if found.settings.keep is not None:
        return f"The model at the share {found.kept:g} was saved, as --keep asks."
    return (
        f"The model at the share {found.kept:g} was saved: it has the best score on dev, and of equal ones it is the "
        "nearest to the original. The test split has no part in it."
    )


def frontier_page(found: Frontier) -> str:
    """Return the page of a merge."""
    head, *rows = rows_of(found)
    lead = (
        "Models whose weights lie between those of the original (share 0) and those of the continued model (share 1)."
    )
    made_from = [("run", found.settings.run.name), ("original", found.original)]
    chart = embed(
        _draw(found), "frontier", "; ".join(", ".join(map(" ".join, zip(head, row, strict=True))) for row in rows)
    )
    body = macros("frontier.html").sections(chart, head, rows, tell_kept(found))
    return page(f"Between {found.original} and {found.settings.run.name}", [body], lead, made_from)


def _table(found: Frontier) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Point)])
    writer.writerows(map(astuple, found.points))
    return text.getvalue()


def _shown(value: float, place: int) -> str:
    return f"{value:g}" if place == 0 else f"{100 * value:.1f}" if place == 3 else f"{value:.4f}"


def _draw(found: Frontier) -> "Figure":
    """Draw domain loss against general loss, or over the share without one; and the score over the share."""
    points = found.points
    shares, domain = [each.share for each in points], [each.domain_loss for each in points]
    general = [each.general_loss for each in points if each.general_loss is not None]
    scores = [100 * each.dev_score for each in points if each.dev_score is not None]
    figure = new_figure(7.2 if scores else 4.0, 3.0)
    axes = figure.subplots(1, 1 + bool(scores), squeeze=False)[0]
    if general:
        _line(axes[0], general, domain, "domain loss", "general loss")
        for share, *place in zip(shares, general, domain, strict=True):
            axes[0].annotate(f"{share:g}", place, xytext=(5, 4), textcoords="offset points", fontsize=8, color=SOFT)
    else:
        _line(axes[0], shares, domain, "domain loss", "share")
    if scores:
        _line(axes[1], shares, scores, "score on dev", "share")
    return figure


def _line(axes: "Axes", xs: list[float], ys: list[float], title: str, xlabel: str) -> None:
    dress(axes, title, xlabel)
    axes.plot(xs, ys, color=ACCENT, lw=1.4, marker="o", markersize=4)
