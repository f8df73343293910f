"""Figures of matplotlib inside a page."""

from support.html_checks import check

from diffmask.report.figures.figures import COLOURS, dress, new_figure
from diffmask.report.html.charts import embed
from diffmask.report.html.page import macros, page

EVIL = "<script>alert(1)</script>"


def drawn(key="a"):
    figure = new_figure(5, 2)
    axes = figure.subplots()
    dress(axes, EVIL)
    axes.plot([0, 1], [0, 1], color=COLOURS[1], label=EVIL)
    figure.legend()
    return embed(figure, key, f"{EVIL} from 0 to 1")


def test_a_figure_takes_the_colours_and_the_font_of_the_page():
    svg = drawn()
    assert "stroke: var(--second)" in svg and "fill: var(--ink)" in svg and "inherit" in svg
    assert not any(colour in svg for colour in (*COLOURS[:3], "#6b625a", "#ffffff"))


def test_the_same_figure_is_the_same_text_and_another_key_has_other_ids():
    assert drawn() == drawn()
    assert 'id="a-' in drawn() and 'id="a-' not in drawn("b")


def test_a_figure_is_told_and_loads_and_runs_nothing():
    svg = drawn()
    assert "<script" not in svg and "http" not in svg
    checker = check(page("t", [macros("parts.html").section("s", svg)]))
    assert dict(checker.attributes)["aria-label"] == f"{EVIL} from 0 to 1"
    assert EVIL in checker.text
