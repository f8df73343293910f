"""A comparison in figures, tables, files and on a page."""

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console
from support.html_checks import check

from diffmask.evaluate.compare import (
    HIGHER,
    LOWER,
    NOT_SHOWN,
    CompareSettings,
    Comparison,
    CurvePoint,
    DifferenceOfMeans,
    Score,
)
from diffmask.report.comparison import ComparisonReport
from diffmask.report.figures.figures import COLOURS, save_figure
from diffmask.report.html.page import page

EVIL = "<script>alert(1)</script>|*x*"


def difference(name, mean, low, high, verdict=HIGHER, other="none", p=0.0002):
    return DifferenceOfMeans(name, other, mean, 0.01, low, high, p, 2 * p, verdict)


FOREST = (
    difference("higher", 0.02, 0.01, 0.03),
    difference("lower", -0.02, -0.035, -0.005, LOWER),
    difference(EVIL, 0.005, -0.01, 0.02, NOT_SHOWN),
)
POINTS = tuple(
    CurvePoint(name, share, round(1000 * share), 0.6 + 0.2 * share, 0.55 + 0.2 * share, 0.65 + 0.2 * share)
    for share in (0.1, 1.0)
    for name in ("none", EVIL)
)


def comparison(**changes):
    found = Comparison(
        task={"name": "toy", "kind": "single-label", "hash": "0123456789abcdef"},
        method="finetune",
        settings=CompareSettings(metric="micro_f1", share=1.0, baseline="none"),
        num_texts=120,
        num_seen=0,
        seeds=(0, 1),
        left_out={EVIL: [5]},
        scores=(
            Score("none", {0: 0.69, 1: 0.71}, 0.7, 0.01, 0.68, 0.72),
            Score(EVIL, {0: 0.71, 1: 0.73}, 0.72, None, 0.70, 0.74),
        ),
        differences=(
            difference(EVIL, 0.02, 0.01, 0.03),
            difference("other", 0.001, -0.01, 0.012, NOT_SHOWN, p=0.8),
        ),
        curve=POINTS,
        one_model=(),
        continuing=None,
    )
    return replace(found, **changes)


def comparison_page(found):
    return page("t", [ComparisonReport(found).sections()])


def drawn(differences):
    (axes,) = ComparisonReport(comparison(differences=differences)).forest_figure().axes
    return axes, [line for line in axes.get_lines() if line.get_marker() == "o"]


def test_differences_stand_where_their_values_are():
    axes, means = drawn(FOREST)
    assert [mean.get_xdata()[0] for mean in means] == pytest.approx([2.0, -2.0, 0.5])
    assert [mean.get_ydata()[0] for mean in means] == [0, 1, 2] and axes.get_ylim()[0] > axes.get_ylim()[1]
    dashed = next(line for line in axes.get_lines() if line.is_dashed())
    assert list(dashed.get_xdata()) == [0.0, 0.0]
    left, right = axes.get_xlim()
    assert all(left <= x <= right for line in axes.get_lines() for x in line.get_xdata())


def test_what_may_be_chance_is_grey_and_hollow():
    looks = [(mean.get_color(), mean.get_markerfacecolor()) for mean in drawn(FOREST)[1]]
    assert looks == [(COLOURS[2], COLOURS[2]), (COLOURS[1], COLOURS[1]), (COLOURS[0], "#ffffff")]


def test_a_forest_is_told_in_words_and_escaped():
    text = comparison_page(comparison(differences=FOREST))
    assert "<script" not in text
    checker = check(text)
    assert "+2.00 [+1.00, +3.00]" in checker.text
    label = dict(checker.attributes[::-1])["aria-label"]
    assert f"{EVIL} - none: +0.50 [-1.00, +2.00]" in label


def test_differences_of_nothing_are_drawn_too(tmp_path):
    nothing = comparison(differences=(difference("same", 0.0, 0.0, 0.0, NOT_SHOWN),))
    assert "nan" not in comparison_page(nothing)
    save_figure(ComparisonReport(nothing).forest_figure(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-0.013, 0.002), (0.0, 37.0), (55.0, 82.0), (-250.0, 10.0)])
def test_ticks_are_few_and_0_is_one(low, high):
    axes, _ = drawn((difference("a", (low + high) / 200, low / 100, high / 100),))
    left, right = axes.get_xlim()
    found = [tick for tick in axes.get_xticks() if left <= tick <= right]
    assert 2 <= len(found) <= 7
    assert 0.0 in found


def test_figures_are_written_whatever_the_names_are(tmp_path):
    odd = comparison(
        task=comparison().task | {"name": "a $ and a $"},
        differences=(*FOREST, difference("$x_{", 0.01, 0.005, 0.015), difference("x" * 300, 0.01, 0.005, 0.015)),
        curve=(*POINTS, CurvePoint("$x_{", 1.0, 1000, 0.5, 0.4, 0.6)),
    )
    ComparisonReport(odd).write(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["forest.png", "learning.png"]


def test_learning_curves_rise_with_the_score():
    figure = ComparisonReport(comparison()).learning_figure()
    (axes,) = figure.axes
    lines = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in lines] == [pytest.approx([62.0, 80.0])] * 2
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10 %\n100", "100 %\n1,000"]
    text = comparison_page(comparison())
    assert "<script" not in text and "1,000" in check(text).text and "10 %" in check(text).text


def test_the_page_is_whole_and_escaped(tmp_path):
    ComparisonReport(comparison()).write(tmp_path / "out")
    text = (tmp_path / "out" / "comparison.html").read_text()
    assert "<script" not in text
    checker = check(text)
    assert checker.text.count(EVIL) >= 4
    for shown in ("69.00", "71.00", "+1.00 to +3.00", "&lt; 0.001", NOT_SHOWN, "Learning curves"):
        assert shown in checker.text or shown in text


def test_the_same_comparison_is_the_same_page():
    assert comparison_page(comparison()) == comparison_page(comparison())


def test_a_page_without_several_shares_has_no_curve():
    assert "Learning curves" not in comparison_page(comparison(curve=()))


def test_pairs_are_named_by_both():
    rows = tuple(difference("a", 0.1, 0.0, 0.2, NOT_SHOWN, other) for other in ("b", "c"))
    found = comparison(differences=rows)
    axes, means = drawn(rows)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a - b", "a - c"]
    assert means[0].get_xdata()[0] == 10.0
    assert found.against == "" and "against none" not in comparison_page(found)
    assert "against" in printed(found).split("difference")[0]


def printed(found, width=100):
    console = Console(width=width, file=io.StringIO(), highlight=False)
    ComparisonReport(found).print(console)
    return console.file.getvalue()


def test_the_terminal_says_the_same():
    lines = printed(comparison()).splitlines()
    assert lines[0] == "toy: micro-F1, fine-tuned"
    assert next(line for line in lines if line.startswith("none")).split() == "none 70.00 1.00 68.00 to 72.00".split()
    row = next(line for line in lines if line.startswith(EVIL) and "higher" in line and "+" in line)
    assert row.removeprefix(EVIL).split() == "+2.00 +1.00 to +3.00 < 0.001 higher".split()
    assert any(line.startswith("other") and line.rstrip().endswith(NOT_SHOWN) for line in lines)
    assert "against none" in lines
    assert f"{EVIL} is higher than none by 2.00 points; no difference shown in 1 of 2." in lines
    said = " ".join(printed(comparison()).split())
    assert f"- Seeds that some results lack are left out: 5 of {EVIL}." in said


def test_verdicts_are_on_one_line_in_a_narrow_terminal():
    lines = printed(comparison(), width=80).splitlines()
    assert any(line.rstrip().endswith(NOT_SHOWN) for line in lines)


def test_markdown_takes_names_as_they_are_written():
    text = ComparisonReport(comparison()).to_markdown()
    assert "<script" not in text
    row = next(line for line in text.splitlines() if "higher |" in line)
    assert row == (
        "| &lt;script&gt;alert(1)&lt;/script&gt;\\|\\*x\\* | none | +2.00 | +1.00 to +3.00 | &lt; 0.001 | &lt; 0.001 "
        "| higher |"
    )
    tables = [line for line in text.splitlines() if line.startswith("| ---")]
    assert len(tables) == 3


def test_a_spreadsheet_has_every_number_unrounded():
    rows = list(csv.DictReader(io.StringIO(ComparisonReport(comparison()).to_csv())))
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
