"""A comparison of results in words and tables: for the terminal, for Markdown and for a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffmask.config.evaluation import METHODS, METRICS
from diffmask.evaluate.compare.compare import HIGHER, NOT_SHOWN, Comparison, CurvePoint, DifferenceOfMeans, Score
from diffmask.report.html.page import escape

SCORE_HEAD = ("name", "mean", "sd", "95 % interval")
DIFFERENCE_HEAD = ("name", "against", "difference", "95 % interval", "p", "corrected p", "verdict")
_CURVE_HEAD = ("name", "share of the labels", "training texts", "mean", "95 % interval")
_NAMES, _TEXTS = ("name", "against"), ("name", "against", "verdict")
"""Columns of names, and of anything but numbers."""
_FEW_SEEDS = 4
"""Below this number of seeds only large differences can be shown."""


def title(found: Comparison) -> str:
    """Return the task, the metric and the method, as a title says them."""
    return f"{found.task['name']}: {METRICS[found.settings.metric]}, {METHODS.get(found.method, found.method)}"


def finding(found: Comparison) -> str:
    """Return in a sentence what a comparison has come to."""
    shown = [each for each in found.differences if each.verdict != NOT_SHOWN]
    if not shown:
        return "No difference shown." if len(found.differences) == 1 else "No difference shown in any comparison."
    said = "; ".join(_said(each) for each in shown)
    others = len(found.differences) - len(shown)
    return f"{said}." if not others else f"{said}; no difference shown in {others} of {len(found.differences)}."


def _said(each: DifferenceOfMeans) -> str:
    verdict = "higher" if each.verdict == HIGHER else "lower"
    return f"{each.name} is {verdict} than {each.other} by {100 * abs(each.mean):.2f} points"


def list_facts(found: Comparison) -> list[tuple[str, str]]:
    """Return what was compared, by name."""
    what = found.examples
    texts = f"{found.num_texts:,} test {what}" + (
        ", unseen in other splits" if found.settings.texts == "unseen" else ""
    )
    share = f"{100 * found.settings.share:g} % of the labels" if found.settings.share is not None else "-"
    return [
        ("task", f"{found.task['name']} ({found.task['kind']}, {found.task['hash'][:12]})"),
        (what, texts),
        ("trained on", share),
        ("seeds", ", ".join(map(str, found.seeds))),
        ("draws", f"{found.settings.num_draws:,}, seed {found.settings.seed}"),
    ]


def list_notes(found: Comparison) -> list[str]:
    """Return what the numbers mean, and what they do not."""
    num_seeds, num_tests, what = len(found.seeds), len(found.differences), found.examples
    left = "; ".join(f"{', '.join(map(str, seeds))} of {name}" for name, seeds in found.left_out.items())
    notes = [f"Seeds that not all results have are left out: {left}."] if left else []
    if num_seeds == 1:
        notes.append(
            f"There is one seed: intervals and p-values tell what other test {what} would change, and nothing can be "
            "said of other seeds; evaluate with at least 5."
        )
    else:
        notes.append(
            f"Intervals and p-values are about new seeds and new test {what}: {what} are resampled (exchanged between "
            "the two, for the test) in all seeds alike, and seeds vary as a t-test has them vary."
        )
    if 1 < num_seeds < _FEW_SEEDS:
        notes.append(f"With {num_seeds} seeds only large differences can be shown; evaluate with at least 5.")
    if num_tests > 1:
        notes.append(f"corrected p is for {num_tests} comparisons (Holm); intervals are not corrected.")
    notes.append(
        f"'{NOT_SHOWN}' (corrected p of 0.05 or more, or an interval with 0 in it) does not say that there is none: "
        "any difference inside the interval is possible."
    )
    if num_seeds > 1 and found.one_model:
        every = len(found.one_model) == len(found.scores)
        who = "each result" if every else ", ".join(found.one_model)
        notes.append(
            f"All seeds of {who} start from one pretrained model: what is said is about these models trained on the "
            "task anew, not about repeating their pretraining."
        )
    if found.settings.texts == "all" and found.num_seen:
        notes.append(
            f"{found.num_seen:,} of {found.num_texts:,} test {what} stand in another split too, exactly or nearly; "
            "--texts unseen leaves them out."
        )
    return notes


def _points(share: float | None) -> str:
    """Return a share in points; '-' where there is none.

    >>> _points(0.81234), _points(None)
    ('81.23', '-')
    """
    return "-" if share is None else f"{100 * share:.2f}"


def _probability(p: float) -> str:
    """Return a p-value in figures.

    >>> _probability(0.0301), _probability(0.0004)
    ('0.030', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def score_cells(row: Score) -> tuple[str, ...]:
    """Return a row of `SCORE_HEAD`."""
    return row.name, _points(row.mean), _points(row.deviation), f"{_points(row.low)} to {_points(row.high)}"


def difference_cells(row: DifferenceOfMeans) -> tuple[str, ...]:
    """Return a row of `DIFFERENCE_HEAD`."""
    interval = f"{100 * row.low:+.2f} to {100 * row.high:+.2f}"
    p_values = (_probability(row.p_value), _probability(row.corrected))
    return row.name, row.other, f"{100 * row.mean:+.2f}", interval, *p_values, row.verdict


def print_comparison(found: Comparison, console: Console) -> None:
    """Print scores, differences, and what they mean."""
    console.print(Text(title(found), "bold"))
    console.print()
    console.print(_terminal(SCORE_HEAD, map(score_cells, found.scores)))
    console.print()
    kept: list[str] = [name for name in DIFFERENCE_HEAD if name != "p"]
    if found.against:  # said once, so that a row fits in a line
        console.print(Text(f"against {found.against}", "bold"))
        kept.remove("against")
    places = [DIFFERENCE_HEAD.index(name) for name in kept]
    rows = (difference_cells(row) for row in found.differences)
    console.print(_terminal(kept, [[cells[place] for place in places] for cells in rows]))
    console.print()
    console.print(Text(finding(found), "bold"))
    for note in list_notes(found):
        console.print(Text(f"- {note}", "dim"))


def _terminal(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        if name in _NAMES:
            shown.add_column(name, overflow="fold")
        else:
            shown.add_column(name, justify="left" if name in _TEXTS else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown


def to_markdown(found: Comparison) -> str:
    """Return the tables and the notes in Markdown; names are text, whatever they hold."""
    blocks = [
        f"# {_mark(title(found))}",
        f"**{_mark(finding(found))}**",
        *markdown_tables(found),
        *([markdown_table(_CURVE_HEAD, map(_curve_cells, found.curve))] if found.curve else []),
        "\n".join(f"- {_mark(note)}" for note in list_notes(found)),
        "\n".join(f"- {_mark(name)}: {_mark(value)}" for name, value in list_facts(found)),
    ]
    return "\n\n".join(blocks) + "\n"


def _curve_cells(point: CurvePoint) -> tuple[str, ...]:
    interval = f"{_points(point.low)} to {_points(point.high)}"
    return point.name, f"{100 * point.share:g} %", f"{point.num_train:,}", _points(point.mean), interval


def markdown_tables(found: Comparison) -> list[str]:
    """Return the tables of scores and of differences in Markdown."""
    return [
        markdown_table(SCORE_HEAD, map(score_cells, found.scores)),
        markdown_table(DIFFERENCE_HEAD, map(difference_cells, found.differences)),
    ]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; cells are text, whatever they hold."""
    rule = ["---" if name in _TEXTS else "---:" for name in head]
    lines = [head, rule, *([_mark(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mark(text: str) -> str:
    """Return text that Markdown takes as it is written."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", escape(" ".join(text.split())).replace("&#x27;", "'"))


def to_csv(found: Comparison) -> str:
    """Return all numbers, one line for each, as shares in [0, 1].

    A line has a kind (score, seed, difference, curve), a name, what it is held against, a seed, a share, and values.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head = ["kind", "name", "against", "seed", "share", "value", "sd", "low", "high", "p", "p_corrected", "verdict"]
    writer.writerow(head)
    for row in found.scores:
        deviation = "" if row.deviation is None else row.deviation
        writer.writerow(["score", row.name, "", "", "", row.mean, deviation, row.low, row.high, "", "", ""])
        for seed, score in row.scores.items():
            writer.writerow(["seed", row.name, "", seed, "", score, *[""] * 6])
    for each in found.differences:
        tests = [each.p_value, each.corrected, each.verdict]
        writer.writerow(["difference", each.name, each.other, "", "", each.mean, "", each.low, each.high, *tests])
    for point in found.curve:
        values = [point.mean, "", point.low, point.high]
        writer.writerow(["curve", point.name, "", "", point.share, *values, "", "", ""])
    return file.getvalue()
