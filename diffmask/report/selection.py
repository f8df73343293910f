"""The folder of text that was chosen: the documents, the record, and a page that shows what was taken and what nearly.

selection = select_text(settings)
save_selection(selection, "selected/")
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from diffmask.files.folders import draft
from diffmask.report.figures.figures import COLOURS, dress, new_figure
from diffmask.report.html.charts import embed
from diffmask.report.html.page import duration, macros, page, write_page
from diffmask.selective.relevance.copies import REPEATED
from diffmask.selective.relevance.select import PAGE, Selection, Shown
from diffmask.tasks.leakage import KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUM_BINS = 60
_MOST_CHARS = 300
_SCORES = {
    "difference": "mean difference score of a document's words",
    "neighbours": "cosine similarity to the nearest text",
    "ngrams": "log importance weight, with the noise that makes a sample of it",
    "random": "noise",
}


def save_selection(selection: Selection, output: str | Path) -> None:
    """Write the folder; it appears when it is complete, and replaces one that stands there."""
    with draft(output) as new:
        new.mkdir()
        shown = selection.write(new)
        write_page(selection_page(selection, shown), new / PAGE)


def selection_page(selection: Selection, shown: Sequence[Shown]) -> str:
    """Return the page of a choice.

    Args:
        selection: The choice.
        shown: Documents at the top, above the line and below it, best first.
    """
    record, number = selection.record, selection.number
    total = record["num_documents"]
    title = f"{number:,} of {total:,} documents"
    like = ", ".join(Path(source["path"]).name for source in record["like"]["files"])
    lead = f"Text that is like {like}, chosen from a pool by {selection.settings.by}."
    seconds = sum(record["seconds"].values())
    made_from = [
        ("texts to be like", f"{record['like']['num_texts']:,}"),
        ("scored at", f"{record['megabytes_per_second']:,.3g} MB/s"),
        ("time", duration(seconds)),
        ("characters of a document", "{taken:,.0f} taken, {pool:,.0f} in the pool".format(**record["mean_characters"])),
    ]
    parts = [[_cells(each) for each in shown if each.rank in ranks] for ranks in selection.shown]
    body = macros("selection.html").sections(
        title, lead, made_from, _chart(selection), _line(selection), _files(selection), *parts,
        _copies(selection), _twins(selection), _settings(selection),
    )  # fmt: skip
    return page(title, [body])


def _cells(shown: Shown) -> tuple[str, str, int, str]:
    document = shown.document
    return f"{document.source}:{document.number}", _cut(document.text), shown.rank + 1, f"{shown.score:.4g}"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}..."


def _chart(selection: Selection) -> Markup:
    number, total = selection.number, len(selection.order)
    told = f"scores of {total:,} documents, of which {number:,} are taken; the last one has {selection.line:.4g}"
    return embed(_draw(selection), "scores", told)


def _draw(selection: Selection) -> "Figure":
    scores = selection.scores[selection.order].astype(float)
    edges = np.histogram_bin_edges(scores, _NUM_BINS)
    figure = new_figure(6.4, 2.6)
    axes = figure.add_subplot()
    parts = [scores[: selection.number], scores[selection.number :]]
    colours = [COLOURS[1], COLOURS[0]]
    axes.hist(parts, list(edges), stacked=True, color=colours, label=["taken", "not taken"], rwidth=0.9)
    axes.axvline(selection.line, color=COLOURS[1], lw=1.2, ls=(0, (4, 3)))
    dress(axes, "documents by score", _SCORES[selection.settings.by])
    axes.legend(frameon=False, fontsize=9)
    return figure


def _line(selection: Selection) -> str:
    """Return what the line is, in a sentence or two."""
    line = f"The last document that is taken has {selection.line:.4g}"
    if selection.settings.per_text is not None:
        text = f"Each text takes its {selection.settings.per_text:,} nearest documents, so that some with a higher "
        return f"{line}. {text}score than this are not taken: they are near a text that has nearer ones."
    below = selection.order[selection.number : selection.number + 1]
    return f"{line}, the next one {selection.scores[below[0]]:.4g}." if len(below) else f"{line}; no other is left."


def _files(selection: Selection) -> list[tuple[str, int, int, float, float]]:
    return [
        (
            source["path"],
            source["num_documents"],
            source["num_taken"],
            source["num_taken"] / source["num_documents"],
            source["num_taken"] / selection.number,
        )
        for source in selection.record["pool"]
    ]


def _copies(selection: Selection) -> str:
    """Return what was left out, in a sentence or three."""
    record, copies = selection.record["left_out"], selection.copies
    repeated = f"{copies.counts[REPEATED]:,} of the best {copies.num_compared:,} documents repeat another one of them."
    if not record["num_texts"]:
        return f"{repeated} No texts to evaluate on were given."
    kinds = ", ".join(f"{copies.counts[kind]:,} {said}" for kind, said in KINDS.items() if copies.counts[kind])
    found = f"{copies.num_of_texts:,} are copies of one" if kinds else "None is a copy of one"
    return f"{repeated} {found} of the {record['num_texts']:,} texts to evaluate on" + (f": {kinds}." if kinds else ".")


def _twins(selection: Selection) -> list[tuple[str, str, str, str]]:
    return [
        (f"{copy.document.source}:{copy.document.number}", _cut(copy.document.text), _cut(copy.twin), KINDS[copy.kind])
        for copy in selection.copies.examples
    ]


def _settings(selection: Selection) -> list[tuple[str, str]]:
    record = selection.record
    given = {name: value for name, value in record["settings"].items() if value not in (None, [], ())}
    shown = {name: ", ".join(map(str, each)) if isinstance(each, list) else str(each) for name, each in given.items()}
    if "anchors" in record:
        shown["anchors"] = ", ".join(record["anchors"])
    shown["documents without words"] = f"{record['num_without_words']:,}, never taken"
    return list(shown.items())
