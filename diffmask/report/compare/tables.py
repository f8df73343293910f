"""A comparison of results: as tables for the terminal, for Markdown and for a spreadsheet.

A comparison of results as a page.
"""

import csv
import html
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffmask.report.compare.figures import Effect, forest
from diffmask.report.compare.learning import Scored, learning_curves
from diffmask.report.html.page import header, number_class, page, paragraph, section, table

NOT_SHOWN = "no difference shown"
"""The verdict on a difference that may be chance."""
SCORE_HEAD = ("name", "mean", "sd", "95 % interval")
DIFFERENCE_HEAD = ("name", "against", "difference", "95 % interval", "p", "corrected p", "verdict")
NAMES, TEXTS = ("name", "against"), ("name", "against", "verdict")
"""Columns of names, and of anything but numbers."""
UNIT = "difference in points, with 95 % interval"


@dataclass(frozen=True)
class ScoreRow:
    """A result's score over seeds; all numbers are shares in [0, 1].

    Attributes:
        deviation: Standard deviation over the seeds; None where there is one.
        scores: Of each seed, by its number.
    """

    name: str
    mean: float
    deviation: float | None
    low: float
    high: float
    scores: Mapping[int, float]


@dataclass(frozen=True)
class DifferenceRow:
    """How a result differs from another.

    Attributes:
        verdict: higher, lower or no difference shown.
    """

    name: str
    other: str
    mean: float
    low: float
    high: float
    p_value: float
    corrected: float
    verdict: str

    @property
    def shown(self) -> bool:
        """Whether it is more than chance."""
        return self.verdict != NOT_SHOWN


@dataclass(frozen=True)
class ComparisonTable:
    """A comparison, ready to be shown.

    Attributes:
        title: One line.
        finding: What it has come to, in a sentence.
        scores: One row for each result.
        differences: One row for each pair that was compared.
        curve: Scores by share of the training texts; may be empty.
        facts: What was compared, by name.
        notes: What the numbers mean, and what they do not.
    """

    title: str
    finding: str
    scores: Sequence[ScoreRow]
    differences: Sequence[DifferenceRow]
    curve: Sequence[Scored]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]

    @property
    def against(self) -> str:
        """What all are held against; empty where it is not one."""
        others = {row.other for row in self.differences}
        return others.pop() if len(others) == 1 else ""

    def effects(self) -> list[Effect]:
        """Return the differences for a forest plot, in points."""
        return [
            Effect(
                row.name if self.against else f"{row.name} - {row.other}",
                100 * row.mean,
                100 * row.low,
                100 * row.high,
                row.shown,
            )
            for row in self.differences
        ]


def _points(share: float | None) -> str:
    """Return a share in points.

    >>> points(0.81234), points(None)
    ('81.23', '-')
    """
    return "-" if share is None else f"{100 * share:.2f}"


def _probability(p: float) -> str:
    """Return a p-value in figures.

    >>> probability(0.0301), probability(0.0004)
    ('0.030', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def score_cells(row: ScoreRow) -> tuple[str, ...]:
    """Return a row of `SCORE_HEAD`."""
    return row.name, _points(row.mean), _points(row.deviation), f"{_points(row.low)} to {_points(row.high)}"


def difference_cells(row: DifferenceRow) -> tuple[str, ...]:
    """Return a row of `DIFFERENCE_HEAD`."""
    interval = f"{100 * row.low:+.2f} to {100 * row.high:+.2f}"
    p_values = (_probability(row.p_value), _probability(row.corrected))
    return row.name, row.other, f"{100 * row.mean:+.2f}", interval, *p_values, row.verdict


def print_comparison(table: ComparisonTable, console: Console) -> None:
    """Print the scores, the differences, and what they mean."""
    console.print(Text(table.title, "bold"))
    console.print()
    console.print(_terminal(SCORE_HEAD, map(score_cells, table.scores)))
    console.print()
    kept: list[str] = [name for name in DIFFERENCE_HEAD if name != "p"]
    if table.against:  # said once, so that a row fits in a line
        console.print(Text(f"against {table.against}", "bold"))
        kept.remove("against")
    places = [DIFFERENCE_HEAD.index(name) for name in kept]
    rows = (difference_cells(row) for row in table.differences)
    console.print(_terminal(kept, [[cells[place] for place in places] for cells in rows]))
    console.print()
    console.print(Text(table.finding, "bold"))
    for note in table.notes:
        console.print(Text(f"- {note}", "dim"))


def _terminal(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        if name in NAMES:
            shown.add_column(name, overflow="fold")
        else:
            shown.add_column(name, justify="left" if name in TEXTS else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown


def to_markdown(table: ComparisonTable) -> str:
    """Return the tables and the notes in Markdown; names are text, whatever they hold."""
    blocks = [
        f"# {_mark(table.title)}",
        f"**{_mark(table.finding)}**",
        markdown_table(SCORE_HEAD, map(score_cells, table.scores)),
        markdown_table(DIFFERENCE_HEAD, map(difference_cells, table.differences)),
        *([markdown_table(_CURVE_HEAD, _curve_cells(table))] if table.curve else []),
        "\n".join(f"- {_mark(note)}" for note in table.notes),
        "\n".join(f"- {_mark(name)}: {_mark(value)}" for name, value in table.facts),
    ]
    return "\n\n".join(blocks) + "\n"


_CURVE_HEAD = ("name", "share of the labels", "training texts", "mean", "95 % interval")


def _curve_cells(table: ComparisonTable) -> Iterator[tuple[str, ...]]:
    for each in table.curve:
        interval = f"{_points(each.low)} to {_points(each.high)}"
        yield each.name, f"{100 * each.share:g} %", f"{each.num_train:,}", _points(each.mean), interval


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; cells are text, whatever they hold."""
    rule = ["---" if name in TEXTS else "---:" for name in head]
    lines = [head, rule, *([_mark(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mark(text: str) -> str:
    """Return text that Markdown takes as it is written."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(" ".join(text.split())).replace("&#x27;", "'"))


def to_csv(table: ComparisonTable) -> str:
    """Return all numbers, one line for each, as shares in [0, 1].

    A line has a kind (score, seed, difference, curve), a name, what it is held against, a seed, a share, and values.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head = ["kind", "name", "against", "seed", "share", "value", "sd", "low", "high", "p", "p_corrected", "verdict"]
    writer.writerow(head)
    for row in table.scores:
        deviation = "" if row.deviation is None else row.deviation
        writer.writerow(["score", row.name, "", "", "", row.mean, deviation, row.low, row.high, "", "", ""])
        for seed, score in row.scores.items():
            writer.writerow(["seed", row.name, "", seed, "", score, *[""] * 6])
    for each in table.differences:
        tests = [each.p_value, each.corrected, each.verdict]
        writer.writerow(["difference", each.name, each.other, "", "", each.mean, "", each.low, each.high, *tests])
    for point in table.curve:
        values = [point.mean, "", point.low, point.high]
        writer.writerow(["curve", point.name, "", "", point.share, *values, "", "", ""])
    return file.getvalue()


_MOST_SEEDS = 10
"""Seeds whose scores stand in the table one by one."""


def comparison_page(shown: ComparisonTable) -> str:
    """Return the whole page."""
    return page(shown.title, [header(shown.title, shown.finding, shown.facts), *comparison_sections(shown)])


def comparison_sections(shown: ComparisonTable) -> list[Markup]:
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
    rows = (_row([*score_cells(row), *(_points(row.scores[seed]) for seed in seeds)]) for row in shown.scores)
    return paragraph("Mean and standard deviation over the seeds, in points.") + table(head, rows)


def _difference_row(row: DifferenceRow) -> str:
    return _row(difference_cells(row), "best" if row.shown else "soft")


def _row(cells: Sequence[str], kind: str = "") -> str:
    # verdicts stand under their head, which is on the right as those of numbers are
    shown = "".join(f"<td{number_class(True)}>{escape(cell)}</td>" for cell in cells[1:])
    return f'<tr{f" class={kind!r}" if kind else ""}><th scope="row">{escape(cells[0])}</th>{shown}</tr>'
