"""A comparison of results, shown: on the terminal, as Markdown, as a spreadsheet, in figures, and as a page.

Each figure is drawn once; a file and a page get the same one.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffmask.config.evaluation import METHODS, METRICS
from diffmask.evaluate.compare import HIGHER, NOT_SHOWN, Comparison, CurvePoint, DifferenceOfMeans, Score
from diffmask.files.folders import draft
from diffmask.report.figures.figures import COLOURS, INK, LINE, PAGE, SOFT, dress, line_style, new_figure, save_figure
from diffmask.report.html.charts import embed
from diffmask.report.html.page import escape, header, number_class, page, paragraph, section, table, write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCORE_HEAD = ("name", "mean", "sd", "95 % interval")
_DIFFERENCE_HEAD = ("name", "against", "difference", "95 % interval", "p", "corrected p", "verdict")
_CURVE_HEAD = ("name", "share of the labels", "training texts", "mean", "95 % interval")
_NAMES, _TEXTS = ("name", "against"), ("name", "against", "verdict")
"""Columns of names, and of anything but numbers."""
_FEW_SEEDS = 4
"""Below this number of seeds only large differences can be shown."""
FILES = ("comparison.md", "comparison.csv", "comparison.html", "comparison.json", "forest.png", "learning.png")
_MOST_SEEDS = 10
"""Seeds whose scores stand in the table one by one."""
_TITLE_CHARS, _NAME_CHARS = 90, 40
"""Longer ones are cut, so that room is left for what is drawn."""


def write_comparison(found: Comparison, folder: Path) -> None:
    """Write a folder of `FILES` that `files.folders.check_folder` allowed, all at once."""
    with draft(folder) as new:
        new.mkdir()
        (new / "comparison.md").write_text(to_markdown(found), encoding="utf-8")
        (new / "comparison.csv").write_text(to_csv(found), encoding="utf-8")
        content = json.dumps(asdict(found), indent=2, ensure_ascii=False)
        (new / "comparison.json").write_text(content + "\n", encoding="utf-8")
        write_page(_page(found), new / "comparison.html")
        save_figure(forest_figure(found), new / "forest.png")
        if found.curve:
            save_figure(learning_figure(found), new / "learning.png")


def _page(found: Comparison) -> str:
    head = header(_title(found), finding(found), _facts(found))
    return page(_title(found), [head, *comparison_sections(found)])


def comparison_sections(found: Comparison) -> Sequence[str]:
    """Return differences, scores and learning curves for a page of whatever kind."""
    told = "; ".join(f"{each.name} - {each.other}: {_say(each)}" for each in found.differences)
    figure = f'<div class="card">{embed(forest_figure(found), "forest", told)}</div>'
    sections: list[str] = [
        section("Differences", figure, table(_DIFFERENCE_HEAD, map(_difference_row, found.differences))),
        section("Scores", _scores(found)),
    ]
    if found.curve:
        points = (f"{each.name} with {100 * each.share:g} %: {100 * each.mean:.2f}" for each in found.curve)
        drawn = embed(learning_figure(found), "learning", "; ".join(points))
        sections.append(section("Learning curves", f'<div class="card">{drawn}</div>'))
    notes = "".join(f"<li>{escape(note)}</li>" for note in _notes(found))
    sections.append(section("What the numbers mean", f'<ul class="plain soft">{notes}</ul>'))
    return sections


def _scores(found: Comparison) -> str:
    seeds = list(found.scores[0].scores)
    if not 1 < len(seeds) <= _MOST_SEEDS:
        seeds = []
    head = [*_SCORE_HEAD, *(f"seed {seed}" for seed in seeds)]
    rows = (_row([*_score_cells(row), *(f"{100 * row.scores[seed]:.2f}" for seed in seeds)]) for row in found.scores)
    return paragraph("Mean and standard deviation over the seeds, in points.") + table(head, rows)


def _difference_row(row: DifferenceOfMeans) -> str:
    return _row(_difference_cells(row), "soft" if row.verdict == NOT_SHOWN else "best")


def _row(cells: Sequence[str], kind: str = "") -> str:
    # verdicts stand under their head, which is on the right as those of numbers are
    shown = "".join(f"<td{number_class(True)}>{escape(cell)}</td>" for cell in cells[1:])
    return f'<tr{f" class={kind!r}" if kind else ""}><th scope="row">{escape(cells[0])}</th>{shown}</tr>'


def _title(found: Comparison) -> str:
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


def _facts(found: Comparison) -> list[tuple[str, str]]:
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


def _notes(found: Comparison) -> list[str]:
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


def _score_cells(row: Score) -> tuple[str, ...]:
    """Return a row of `_SCORE_HEAD`."""
    return row.name, _points(row.mean), _points(row.deviation), f"{_points(row.low)} to {_points(row.high)}"


def _difference_cells(row: DifferenceOfMeans) -> tuple[str, ...]:
    """Return a row of `_DIFFERENCE_HEAD`."""
    interval = f"{100 * row.low:+.2f} to {100 * row.high:+.2f}"
    p_values = (_probability(row.p_value), _probability(row.corrected))
    return row.name, row.other, f"{100 * row.mean:+.2f}", interval, *p_values, row.verdict


def print_comparison(found: Comparison, console: Console) -> None:
    """Print scores, differences, and what they mean."""
    console.print(Text(_title(found), "bold"))
    console.print()
    console.print(_terminal(_SCORE_HEAD, map(_score_cells, found.scores)))
    console.print()
    kept: list[str] = [name for name in _DIFFERENCE_HEAD if name != "p"]
    if found.against:  # said once, so that a row fits in a line
        console.print(Text(f"against {found.against}", "bold"))
        kept.remove("against")
    places = [_DIFFERENCE_HEAD.index(name) for name in kept]
    rows = (_difference_cells(row) for row in found.differences)
    console.print(_terminal(kept, [[cells[place] for place in places] for cells in rows]))
    console.print()
    console.print(Text(finding(found), "bold"))
    for note in _notes(found):
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
        f"# {_mark(_title(found))}",
        f"**{_mark(finding(found))}**",
        *markdown_tables(found),
        *([markdown_table(_CURVE_HEAD, map(_curve_cells, found.curve))] if found.curve else []),
        "\n".join(f"- {_mark(note)}" for note in _notes(found)),
        "\n".join(f"- {_mark(name)}: {_mark(value)}" for name, value in _facts(found)),
    ]
    return "\n\n".join(blocks) + "\n"


def _curve_cells(point: CurvePoint) -> tuple[str, ...]:
    interval = f"{_points(point.low)} to {_points(point.high)}"
    return point.name, f"{100 * point.share:g} %", f"{point.num_train:,}", _points(point.mean), interval


def markdown_tables(found: Comparison) -> list[str]:
    """Return the tables of scores and of differences in Markdown."""
    return [
        markdown_table(_SCORE_HEAD, map(_score_cells, found.scores)),
        markdown_table(_DIFFERENCE_HEAD, map(_difference_cells, found.differences)),
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


def forest_figure(found: Comparison) -> "Figure":
    """Return a forest plot: a difference and its interval on each line, beside the line where there is none.

    What is more than chance is filled and in colour, the rest hollow and grey.
    """
    figure = new_figure(7.5, 1.0 + 0.36 * len(found.differences))
    axes = figure.subplots()
    against = f", against {found.against}" if found.against else ""
    dress(axes, _plain(_title(found) + against, _TITLE_CHARS), "difference in points, with 95 % interval")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=LINE, lw=0.8)
    axes.axvline(0.0, color=SOFT, lw=1.0, ls=(0, (4, 3)))
    for row, each in enumerate(found.differences):
        shown, mean, ends = each.verdict != NOT_SHOWN, 100 * each.mean, [100 * each.low, 100 * each.high]
        colour = COLOURS[0] if not shown else COLOURS[2] if mean > 0 else COLOURS[1]
        axes.plot(ends, [row, row], color=colour, lw=2.2, solid_capstyle="round")
        axes.plot([mean], [row], "o", color=colour, ms=7, mew=1.8, mfc=colour if shown else PAGE)
        place = {"transform": axes.get_yaxis_transform(), "va": "center"}
        axes.text(1.02, row, _say(each), fontsize=8.5, color=INK, **place)
    names = [_plain(each.name if found.against else f"{each.name} - {each.other}") for each in found.differences]
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_ylim(len(names) - 0.5, -0.5)
    low = min(0.0, *(100 * each.low for each in found.differences))
    high = max(0.0, *(100 * each.high for each in found.differences))
    room = 0.04 * (high - low) or 1.0
    axes.set_xlim(low - room, high + room)
    return figure


def learning_figure(found: Comparison) -> "Figure":
    """Return learning curves: the score of each result by share of the training texts, with intervals."""
    names = list(dict.fromkeys(point.name for point in found.curve))
    num_train = dict(sorted((point.share, point.num_train) for point in found.curve))
    shares = list(num_train)
    figure = new_figure(7.5, 3.4)
    axes = figure.subplots()
    dress(axes, _plain(_title(found), _TITLE_CHARS), f"training {found.examples}")
    for place, name in enumerate(names):
        line = [point for point in found.curve if point.name == name]
        # beside each other, so that no interval hides another
        xs = [shares.index(point.share) + 0.03 * (place - (len(names) - 1) / 2) for point in line]
        means = [100 * point.mean for point in line]
        # a mean at the end of what is possible may lie beyond its interval by rounding
        below = [max(0.0, 100 * (point.mean - point.low)) for point in line]
        above = [max(0.0, 100 * (point.high - point.mean)) for point in line]
        look = {"marker": "o", "ms": 4, "lw": 1.6, "elinewidth": 1.0} | line_style(place)
        axes.errorbar(xs, means, [below, above], label=_plain(name), **look)
    axes.set_xticks(range(len(shares)), [f"{100 * share:g} %\n{num_train[share]:,}" for share in shares])
    if len(names) > 1:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelcolor=SOFT)
    return figure


def _say(each: DifferenceOfMeans) -> str:
    """Return a difference and its interval in points, such as '+1.00 [-0.25, +2.25]'."""
    return f"{100 * each.mean:+.2f} [{100 * each.low:+.2f}, {100 * each.high:+.2f}]"


def _plain(text: str, most: int = _NAME_CHARS) -> str:
    """Return text, cut if it is long, in which a figure reads no formula."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut.replace("$", r"\$")
