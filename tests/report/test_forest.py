"""Forest plots, learning curves and tables of a comparison."""

import csv
import io
import re

import pytest
from rich.console import Console
from support.html_checks import check

from diffmask.report.comparison import (
    NOT_SHOWN,
    ComparisonTable,
    DifferenceRow,
    ScoreRow,
    print_comparison,
    to_csv,
    to_markdown,
)
from diffmask.report.comparison_page import comparison_page
from diffmask.report.forest import Effect, draw_forest, forest, ticks
from diffmask.report.learning import Scored, draw_learning, learning_curves
from diffmask.report.page import page, section

EVIL = "<script>alert(1)</script>|*x*"
EFFECTS = [
    Effect("higher", 2.0, 1.0, 3.0, True),
    Effect("lower", -2.0, -3.5, -0.5, True),
    Effect(EVIL, 0.5, -1, 2, False),
]
POINTS = [
    Scored(name, share, round(1000 * share), 0.6 + 0.2 * share, 0.55 + 0.2 * share, 0.65 + 0.2 * share)
    for share in (0.1, 1.0)
    for name in ("none", EVIL)
]


def table(**changes):
    parts = {
        "title": "toy: micro-F1",
        "finding": f"{EVIL} is higher than none by 2.00 points.",
        "scores": [
            ScoreRow("none", 0.7, 0.01, 0.68, 0.72, {0: 0.69, 1: 0.71}),
            ScoreRow(EVIL, 0.72, None, 0.70, 0.74, {0: 0.71, 1: 0.73}),
        ],
        "differences": [
            DifferenceRow(EVIL, "none", 0.02, 0.01, 0.03, 0.0002, 0.0004, "higher"),
            DifferenceRow("other", "none", 0.001, -0.01, 0.012, 0.8, 0.8, NOT_SHOWN),
        ],
        "curve": POINTS,
        "facts": [("task", EVIL)],
        "notes": [f"a note on {EVIL}"],
    }
    return ComparisonTable(**parts | changes)


def x_of(svg, tag, attribute):
    return [float(value) for value in re.findall(rf'<{tag} [^>]*\b{attribute}="([\d.]+)%"', svg)]


def test_effects_stand_where_their_values_are():
    svg = forest(EFFECTS, "Differences", "points")
    centres = x_of(svg, "circle", "cx")
    assert centres[1] < centres[2] < centres[0]
    zero = next(
        float(x) for x, style in re.findall(r'<line x1="([\d.]+)%"[^>]*style="([^"]+)"', svg) if "dash" in style
    )
    # places are linear in values, and 0 is where it is drawn
    scale = (centres[0] - centres[1]) / 4.0
    assert centres[2] == pytest.approx(zero + 0.5 * scale, abs=0.02)
    assert all(0 <= x <= 100 for x in x_of(svg, "line", "x1") + x_of(svg, "line", "x2"))


def test_what_may_be_chance_is_grey_and_hollow():
    rows = re.findall(r"<circle[^>]*style=\"([^\"]+)\"", forest(EFFECTS, "Differences", "points"))
    assert rows[0].startswith("fill:var(--third)")
    assert rows[1].startswith("fill:var(--second)")
    assert rows[2].startswith("fill:var(--card);stroke:var(--soft)")


def test_a_forest_is_told_in_words_and_escaped():
    svg = forest(EFFECTS, EVIL, "points")
    assert "<script" not in svg
    checker = check(page("t", [section("s", svg)]))
    assert "+2.00 [+1.00, +3.00]" in checker.text
    label = dict(checker.attributes)["aria-label"]
    assert f"{EVIL}: +0.50 [-1.00, +2.00]" in label


def test_effects_of_nothing_are_drawn_too(tmp_path):
    nothing = [Effect("same", 0.0, 0.0, 0.0, False)]
    assert "nan" not in forest(nothing, "t", "points")
    draw_forest(nothing, "t", "points", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-0.013, 0.002), (0.0, 37.0), (55.0, 82.0), (-250.0, 10.0)])
def test_ticks_are_few_and_round(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert all(low <= tick <= high for tick in found)
    assert (0.0 in found) == (low <= 0 <= high)


def test_figures_are_written_whatever_the_names_are(tmp_path):
    odd = [*EFFECTS, Effect("$x_{", 1.0, 0.5, 1.5, True)]
    draw_forest(odd, "a $ and a $", "points", tmp_path / "forest.png")
    draw_learning([*POINTS, Scored("$x_{", 1.0, 1000, 0.5, 0.4, 0.6)], "$", tmp_path / "learning.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forest.png", "learning.png"]


def test_learning_curves_rise_with_the_score():
    svg = learning_curves(POINTS, "Curves")
    heights = [float(y) for y in re.findall(r'<circle [^>]*cy="([\d.]+)"', svg)]
    assert len(heights) == 4
    assert heights[1] < heights[0] and heights[3] < heights[2]
    assert "<script" not in svg and "1,000 texts" in svg and "10 %" in svg


def test_the_page_is_whole_and_escaped():
    text = comparison_page(table())
    assert "<script" not in text
    checker = check(text)
    assert checker.text.count(EVIL) >= 4
    for shown in ("69.00", "71.00", "+1.00 to +3.00", "&lt; 0.001", NOT_SHOWN, "Learning curves"):
        assert shown in checker.text or shown in text


def test_a_page_without_several_shares_has_no_curve():
    assert "Learning curves" not in comparison_page(table(curve=[]))


def test_pairs_are_named_by_both():
    rows = [
        DifferenceRow("a", "b", 0.1, 0.0, 0.2, 0.3, 0.6, NOT_SHOWN),
        DifferenceRow("a", "c", 0.1, 0.0, 0.2, 0.3, 0.6, NOT_SHOWN),
    ]
    shown = table(differences=rows)
    assert [effect.name for effect in shown.effects()] == ["a - b", "a - c"]
    assert shown.effects()[0].value == 10.0
    assert "Differences of each pair" in comparison_page(shown)
    assert "against" in printed(shown).split("difference")[0]


def printed(shown, width=100):
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_comparison(shown, console)
    return console.file.getvalue()


def test_the_terminal_says_the_same():
    lines = printed(table()).splitlines()
    assert lines[0] == "toy: micro-F1"
    assert next(line for line in lines if line.startswith("none")).split() == "none 70.00 1.00 68.00 to 72.00".split()
    row = next(line for line in lines if line.startswith(EVIL) and "higher" in line and "+" in line)
    assert row.removeprefix(EVIL).split() == "+2.00 +1.00 to +3.00 < 0.001 higher".split()
    assert any(line.startswith("other") and line.rstrip().endswith(NOT_SHOWN) for line in lines)
    assert "against none" in lines
    assert f"- a note on {EVIL}" in lines


def test_verdicts_are_on_one_line_in_a_narrow_terminal():
    lines = printed(table(), width=80).splitlines()
    assert any(line.rstrip().endswith(NOT_SHOWN) for line in lines)


def test_markdown_takes_names_as_they_are_written():
    text = to_markdown(table())
    assert "<script" not in text
    row = next(line for line in text.splitlines() if "higher |" in line)
    assert row == (
        "| &lt;script&gt;alert(1)&lt;/script&gt;\\|\\*x\\* | none | +2.00 | +1.00 to +3.00 | &lt; 0.001 | &lt; 0.001 "
        "| higher |"
    )
    tables = [line for line in text.splitlines() if line.startswith("| ---")]
    assert len(tables) == 3


def test_a_spreadsheet_has_every_number_unrounded():
    rows = list(csv.DictReader(io.StringIO(to_csv(table()))))
    assert [row["kind"] for row in rows] == [
        "score",
        *["seed"] * 2,
        "score",
        *["seed"] * 2,
        *["difference"] * 2,
        *["curve"] * 4,
    ]
    assert (rows[0]["value"], rows[0]["sd"], rows[3]["sd"]) == ("0.7", "0.01", "")
    assert (rows[1]["seed"], rows[1]["value"]) == ("0", "0.69")
    assert (rows[6]["name"], rows[6]["against"], rows[6]["p"], rows[6]["p_corrected"]) == (
        EVIL,
        "none",
        "0.0002",
        "0.0004",
    )
    assert rows[-1]["share"] == "1.0"
