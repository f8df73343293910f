"""A comparison of results on the terminal, as Markdown, as a spreadsheet, in figures and on a page.

The same figures go into the files and onto the page.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffmask.config.evaluation import METHODS, metrics_of
from diffmask.evaluate.compare import (
    HIGHER,
    NOT_SHOWN,
    Comparison,
    CurvePoint,
    DifferenceOfMeans,
    Score,
    WorthOfContinuing,
)
from diffmask.files.folders import draft
from diffmask.report.continuing import answer, lines_of_worth, table_of_worth
from diffmask.report.figures.figures import COLOURS, INK, LINE, PAGE, SOFT, dress, line_style, new_figure, save_figure
from diffmask.report.html.charts import embed
from diffmask.report.html.page import macros, page, write_page
from diffmask.report.markdown import TEXTS, mark, markdown_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCORE_HEAD = ("name", "mean", "sd", "95 % interval")
_DIFFERENCE_HEAD = ("name", "against", "difference", "95 % interval", "p", "corrected p", "verdict")
_CURVE_HEAD = ("name", "share of the labels", "training texts", "mean", "95 % interval")
_NAMES = TEXTS[:-1]
"""Columns of names."""
_FEW_SEEDS = 4
"""Below this number of seeds only large differences can be shown."""
FILES = ("comparison.md", "comparison.csv", "comparison.html", "comparison.json", "forest.png", "learning.png")
_MOST_SEEDS = 10
"""With more seeds, the table has no column for each."""
_TITLE_CHARS, _NAME_CHARS = 90, 40
"""Longer ones are cut, so that room is left for what is drawn."""


class ComparisonReport:
    """A comparison, ready to be shown.

    Args:
        found: What `evaluate.compare` found.
    """

    def __init__(self, found: Comparison):
        self._found = found

    def write(self, folder: Path) -> None:
        """Write a folder of `FILES` that `files.folders.check_folder` allowed, all at once."""
        found = self._found
        with draft(folder) as new:
            new.mkdir()
            (new / "comparison.md").write_text(self.to_markdown(), encoding="utf-8")
            (new / "comparison.csv").write_text(self.to_csv(), encoding="utf-8")
            content = json.dumps(asdict(found), indent=2, ensure_ascii=False)
            (new / "comparison.json").write_text(content + "\n", encoding="utf-8")
            page_text = page(self.title, [self.sections()], self.finding, self._facts)
            write_page(page_text, new / "comparison.html")
            save_figure(self.forest_figure(), new / "forest.png")
            if found.curve:
                save_figure(self.learning_figure(), new / "learning.png")

    def sections(self, key: str = "") -> Markup:
        """Return differences, scores and learning curves as sections of a page.

        Args:
            key: Ends what figures are called, where a page has several comparisons.
        """
        found = self._found
        told = "; ".join(f"{each.name} - {each.other}: {_say(each)}" for each in found.differences)
        differences = [(_difference_cells(each), each.verdict != NOT_SHOWN) for each in found.differences]
        points = (f"{each.name} with {100 * each.share:g} %: {100 * each.mean:.2f}" for each in found.curve)
        return macros("comparison.html").sections(
            embed(self.forest_figure(), f"forest{key}", told),
            (_DIFFERENCE_HEAD, differences),
            [] if self._worth is None else table_of_worth(self._worth),
            self._scores(),
            embed(self.learning_figure(), f"learning{key}", "; ".join(points)) if found.curve else "",
            self._notes,
        )

    @property
    def _worth(self) -> WorthOfContinuing | None:
        """What continuing is worth by share of the labels; None where the answer says it all."""
        worth = self._found.continuing
        return worth if worth is not None and len(worth.differences) > 1 else None

    def _scores(self) -> list[Sequence[str]]:
        """Return the rows of the scores, with a column for each seed where there are some, but not too many."""
        found = self._found
        seeds = list(found.scores[0].scores)
        if not 1 < len(seeds) <= _MOST_SEEDS:
            seeds = []
        head = [*_SCORE_HEAD, *(f"seed {seed}" for seed in seeds)]
        return [head, *([*_score_cells(row), *(_points(row.scores[seed]) for seed in seeds)] for row in found.scores)]

    @property
    def title(self) -> str:
        """The task, the metric and the method."""
        found = self._found
        metric = metrics_of(found.task["kind"])[str(found.settings.metric)]
        return f"{found.task['name']}: {metric}, {METHODS.get(found.method, found.method)}"

    @property
    def finding(self) -> str:
        """The outcome in a few sentences: whether continuing helps comes first, and then how results differ."""
        return " ".join(filter(None, (self._answer, self._outcome)))

    @property
    def _answer(self) -> str:
        """Whether continuing helps; empty if nothing was continued."""
        return "" if self._found.continuing is None else answer(self._found.continuing)

    @property
    def _outcome(self) -> str:
        """How the results differ, in a sentence."""
        found = self._found
        shown = [each for each in found.differences if each.verdict != NOT_SHOWN]
        if not shown:
            return "No difference shown." if len(found.differences) == 1 else "No difference shown in any comparison."
        said = "; ".join(_said(each) for each in shown)
        others = len(found.differences) - len(shown)
        return f"{said}." if not others else f"{said}; no difference shown in {others} of {len(found.differences)}."

    @property
    def _facts(self) -> list[tuple[str, str]]:
        """What was compared, by name."""
        found = self._found
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

    @property
    def _notes(self) -> list[str]:
        """What the numbers mean, and what they do not."""
        found = self._found
        num_seeds, num_tests, what = len(found.seeds), len(found.differences), found.examples
        left = "; ".join(f"{', '.join(map(str, seeds))} of {name}" for name, seeds in found.left_out.items())
        notes = [f"Seeds that some results lack are left out: {left}."] if left else []
        if num_seeds == 1:
            notes.append(
                f"There is only one seed: intervals and p-values tell what other test {what} would change, and nothing "
                "about other seeds; evaluate with at least 5."
            )
        else:
            notes.append(
                f"Intervals and p-values are about new seeds and new test {what}: {what} are resampled (for the test, "
                "exchanged between the two results) in the same way in all seeds; seeds vary as in a t-test."
            )
        if 1 < num_seeds < _FEW_SEEDS:
            notes.append(f"With {num_seeds} seeds only large differences can be shown; evaluate with at least 5.")
        if num_tests > 1:
            notes.append(f"corrected p is for {num_tests} comparisons (Holm); intervals are not corrected.")
        notes.append(
            f"'{NOT_SHOWN}' (corrected p of 0.05 or more, or an interval that contains 0) does not mean that there is "
            "none: any difference inside the interval is possible."
        )
        if num_seeds > 1 and found.one_model:
            every = len(found.one_model) == len(found.scores)
            who = "each result" if every else ", ".join(found.one_model)
            notes.append(
                f"All seeds of {who} start from one pretrained model: the results are about training these models on "
                "the task again, not about repeating their pretraining."
            )
        if found.settings.texts == "all" and found.num_seen:
            notes.append(
                f"{found.num_seen:,} of {found.num_texts:,} test {what} are also in another split, exactly or nearly; "
                "--texts unseen leaves them out."
            )
        return notes

    def print(self, console: Console) -> None:
        """Print scores, differences, and what they mean."""
        found = self._found
        console.print(Text(self.title, "bold"))
        if self._answer:
            console.print(Text(self._answer, "bold"))
        console.print()
        if self._worth is not None:
            head, *rows = lines_of_worth(self._worth)
            console.print(_terminal(head, rows))
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
        console.print(Text(self._outcome, "bold"))
        for note in self._notes:
            console.print(Text(f"- {note}", "dim"))

    def to_markdown(self) -> str:
        """Return the tables and the notes in Markdown; markup in names is escaped."""
        found = self._found
        worth = []
        if self._worth is not None:
            head, *rows = table_of_worth(self._worth)
            worth = [markdown_table(head, rows)]
        blocks = [
            f"# {mark(self.title)}",
            *([f"**{mark(self._answer)}**"] if self._answer else []),
            *worth,
            f"**{mark(self._outcome)}**",
            *self.markdown_tables(),
            *([markdown_table(_CURVE_HEAD, map(_curve_cells, found.curve))] if found.curve else []),
            "\n".join(f"- {mark(note)}" for note in self._notes),
            "\n".join(f"- {mark(name)}: {mark(value)}" for name, value in self._facts),
        ]
        return "\n\n".join(blocks) + "\n"

    def markdown_tables(self) -> list[str]:
        """Return the tables of scores and of differences in Markdown."""
        found = self._found
        return [
            markdown_table(_SCORE_HEAD, map(_score_cells, found.scores)),
            markdown_table(_DIFFERENCE_HEAD, map(_difference_cells, found.differences)),
        ]

    def to_csv(self) -> str:
        """Return all numbers, one line for each, as shares in [0, 1].

        A line has a kind (score, seed, difference, continuing, area, curve), a name, what it is compared with, a seed,
        a share, values.
        """
        found = self._found
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
        if found.continuing is not None:
            shares = [(share, each) for share, cells in found.continuing.differences.items() for each in cells]
            for share, each in [*shares, *(("", each) for each in found.continuing.areas)]:
                kind, tests = "continuing" if share else "area", [each.p_value, each.corrected, each.verdict]
                writer.writerow([kind, each.name, each.other, "", share, each.mean, "", each.low, each.high, *tests])
        for point in found.curve:
            values = [point.mean, "", point.low, point.high]
            writer.writerow(["curve", point.name, "", "", point.share, *values, "", "", ""])
        return file.getvalue()

    def forest_figure(self) -> "Figure":
        """Return a forest plot: a difference and its interval on each line, with a line at zero.

        Differences that are shown are filled and in colour, the others hollow and grey.
        """
        found = self._found
        figure = new_figure(7.5, 1.0 + 0.36 * len(found.differences))
        axes = figure.subplots()
        against = f", against {found.against}" if found.against else ""
        dress(axes, _plain(self.title + against, _TITLE_CHARS), "difference in points, with 95 % interval")
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

    def learning_figure(self) -> "Figure":
        """Return learning curves: the score of each result by share of the training texts, with intervals."""
        found = self._found
        names = list(dict.fromkeys(point.name for point in found.curve))
        num_train = dict(sorted((point.share, point.num_train) for point in found.curve))
        shares = list(num_train)
        figure = new_figure(7.5, 3.4)
        axes = figure.subplots()
        dress(axes, _plain(self.title, _TITLE_CHARS), f"training {found.examples}")
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


def _said(each: DifferenceOfMeans) -> str:
    verdict = "higher" if each.verdict == HIGHER else "lower"
    return f"{each.name} is {verdict} than {each.other} by {100 * abs(each.mean):.2f} points"


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


def _terminal(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        if name in _NAMES:
            shown.add_column(name, overflow="fold")
        else:
            shown.add_column(name, justify="left" if name in TEXTS else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown


def _curve_cells(point: CurvePoint) -> tuple[str, ...]:
    interval = f"{_points(point.low)} to {_points(point.high)}"
    return point.name, f"{100 * point.share:g} %", f"{point.num_train:,}", _points(point.mean), interval


def _say(each: DifferenceOfMeans) -> str:
    """Return a difference and its interval in points, such as '+1.00 [-0.25, +2.25]'."""
    return f"{100 * each.mean:+.2f} [{100 * each.low:+.2f}, {100 * each.high:+.2f}]"


def _plain(text: str, most: int = _NAME_CHARS) -> str:
    """Return text, cut if it is long, with its $ escaped, which begin formulas in figures."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut.replace("$", r"\$")
