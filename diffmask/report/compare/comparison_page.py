"""A comparison of results as a page."""

from collections.abc import Sequence

from diffmask.report.compare.figures import forest
from diffmask.report.compare.learning import learning_curves
from diffmask.report.compare.tables import (
    DIFFERENCE_HEAD,
    SCORE_HEAD,
    UNIT,
    ComparisonTable,
    DifferenceRow,
    difference_cells,
    points,
    score_cells,
)
from diffmask.report.html.page import escape, header, number_class, page, paragraph, section, table

_MOST_SEEDS = 10
"""Seeds whose scores stand in the table one by one."""


def comparison_page(shown: ComparisonTable) -> str:
    """Return the whole page."""
    return page(shown.title, [header(shown.title, shown.finding, shown.facts), *comparison_sections(shown)])


def comparison_sections(shown: ComparisonTable) -> list[str]:
    """Return differences, scores and learning curves for a page of whatever kind."""
    title = f"Differences against {shown.against}" if shown.against else "Differences of each pair"
    figure = f'<div class="card">{forest(shown.effects(), title, UNIT)}</div>'
    sections = [
        section("Differences", figure, table(DIFFERENCE_HEAD, map(_difference_row, shown.differences))),
        section("Scores", _scores(shown)),
    ]
    if shown.curve:
        drawn = learning_curves(shown.curve, "Score by share of the training texts, with 95 % intervals")
        sections.append(section("Learning curves", f'<div class="card">{drawn}</div>'))
    notes = "".join(f"<li>{escape(note)}</li>" for note in shown.notes)
    sections.append(section("What the numbers mean", f'<ul class="plain soft">{notes}</ul>'))
    return sections


def _scores(shown: ComparisonTable) -> str:
    seeds = list(shown.scores[0].scores)
    if not 1 < len(seeds) <= _MOST_SEEDS:
        seeds = []
    head = [*SCORE_HEAD, *(f"seed {seed}" for seed in seeds)]
    rows = (_row([*score_cells(row), *(points(row.scores[seed]) for seed in seeds)]) for row in shown.scores)
    return paragraph("Mean and standard deviation over the seeds, in points.") + table(head, rows)


def _difference_row(row: DifferenceRow) -> str:
    return _row(difference_cells(row), "best" if row.shown else "soft")


def _row(cells: Sequence[str], kind: str = "") -> str:
    # verdicts stand under their head, which is on the right as those of numbers are
    shown = "".join(f"<td{number_class(True)}>{escape(cell)}</td>" for cell in cells[1:])
    return f'<tr{f" class={kind!r}" if kind else ""}><th scope="row">{escape(cells[0])}</th>{shown}</tr>'
