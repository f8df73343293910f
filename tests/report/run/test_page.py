"""The page of a run, from plain data."""

import math
import re
from dataclasses import replace

import pytest
from support.html_checks import check

from diffmask.assemble.modality import modality_named
from diffmask.core.schedule import Constant, Linear
from diffmask.report.html.charts import Axis, Line, chart, heat_table
from diffmask.report.html.page import macros
from diffmask.report.run.masked_text import class_section
from diffmask.report.run.page import run_page
from diffmask.report.run.read import RunData, Setting

EVIL = "<script>alert(1)</script>"
LOG = [{"step": 0, "eval_loss": 7.0, "eval_loss_domain": 9.0}] + [
    {
        "step": step,
        "loss": 7 - step / 10,
        "mask_ratio": 0.3 - step / 200,
        "strength": 1.0,
        "domain_share": 0.6,
        "tokens_per_second": 100.0 * step,
        "learning_rate": 1e-4,
        "grad_norm": 2.0,
    }
    for step in (10, 20)
]
LOG.append({"step": 20, "eval_loss": 6.5, "eval_loss_domain": 8.0})
SESSION = {
    "started": "2026-01-02T03:04:05+00:00",
    "seconds": 62.0,
    "first_step": 0,
    "last_step": 20,
    "ended": True,
    "num_processes": 2,
    "device": "cuda:0",
    "hardware": "16 x Processor, 128 GiB; 1 x H200",
    "versions": {"diffmask": "0.1.0", "torch": "2.15.0"},
    "commit": "0123456789ab+",
    "gpu_gib": 3.5,
}
RECORD = {"format": 1, "num_steps": 20, "parameters": 22_744_506, "text": "9 documents", "rows": 8}
FILE = {"path": "texts/papers.jsonl", "bytes": 1_121_208, "sha256": "ab17b85c4fb8" + "0" * 52}


def make_run(**changes):
    given = {
        "name": "chemistry",
        "policy": "difference",
        "model": "minilm",
        "log": LOG,
        "num_steps": 20,
        "is_complete": True,
        "record": RECORD | {"sessions": [SESSION]},
        "inputs": {"data": [FILE]},
        "settings": [
            Setting("model", "minilm", None, "Folder or `name`."),
            Setting("training.steps", "20", "none", "Optimiser steps."),
            Setting("masking.seed", "0", "0", "Seed of the masks."),
        ],
        "schedules": {"mask_ratio": Linear(0.3, 0.2), "strength": Constant(1.0)},
        "anchors": [("kinase", 1055.4), ("unheard", 0.0)],
    }
    return RunData(**({"words": modality_named("text").words} | given | changes))


def test_the_page_says_what_was_run():
    shown = check(run_page(make_run())).text
    for said in (
        "Does continuing help here? A lower held-out loss alone cannot tell: evaluate this run and minilm as it was",
        "minilm, continued with difference masking for 20 steps, started on 2026-01-02.",
        "training.steps20instead of none",
        "All 3 settings",
        "ab17b85c4fb8",
        FILE["sha256"],
        "1.1 MB",
        "16 x Processor, 128 GiB; 1 x H200",
        "cuda:0, processes: 2",
        "3.5 GiB",
        "22,744,506",
        "1 min 2 s",
        "diffmask 0.1.0, torch 2.15.0",
        "0123456789ab+",
        "kinase1,055x",
    ):
        assert said in shown, said
    assert "Seed of the masks." not in shown  # it is the default


def test_the_figures_that_matter_come_first():
    text = run_page(make_run())
    tiles = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd><dd", text))
    assert tiles == {
        "held-out loss": "6.500",
        "on domain words": "8.000",
        "mask ratio": "22.5 %",
        "time": "1 min 2 s",
        "tokens per second": "1,500",
    }
    assert "\u22120.500 since step 0" in text and "60 % of it domain words" in text


def test_every_part_can_be_reached_from_the_top():
    text = run_page(make_run())
    links = re.findall(r'<li><a href="#([^"]+)">', text)
    assert links == ["run", "losses", "schedules", "anchors", "speed"]
    assert all(f'<section id="{link}"><h2>' in text for link in links)
    heads = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert heads[0] == 1 and heads.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(heads, heads[1:], strict=False))


def test_every_figure_is_told_in_words():
    text = run_page(make_run())
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', text)
    assert len(labels) == text.count("<svg") == 8
    assert "held-out loss, all words: loss from 7 at 0 to 6.5 at 20" in labels
    assert "mask ratio: reached from 25 % at 10 to 20 % at 20; planned from 30 % at 0 to 20 % at 20" in labels
    assert not re.search(r"<th(?![^>]* scope=)[ >]", text)
    assert "The strength was 100 % throughout." in text


def test_the_browser_is_told_to_load_and_run_nothing():
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', run_page(make_run()))
    assert "default-src 'none'" in policy and "script" not in policy


def test_a_run_of_which_nothing_is_known_has_a_page():
    run = make_run(
        log=[], record={}, inputs={}, schedules={}, anchors=(), is_complete=False, missing=["Losses: none & `x`."]
    )
    text = run_page(run)
    assert "not finished: 0 of 20 steps so far" in check(text).text
    assert "<li>Losses: none &amp; <code>x</code>.</li>" in text
    assert re.findall(r'<a href="#([^"]+)">', text) == ["run"]


def test_sessions_add_up():
    first = SESSION | {"last_step": 12, "ended": False}
    second = SESSION | {"first_step": 10, "last_step": 14, "seconds": 20.0}
    third = SESSION | {"first_step": 14, "seconds": 10.0}
    run = make_run(record=RECORD | {"sessions": [first, second, third]})
    shown = check(run_page(run)).text
    assert "1 min 32 s" in shown and "in 3 sessions" in shown
    assert "0 to 121 min 2 scut off" in shown and "10 to 1420.0 sinterrupted" in shown
    assert "14 to 2010.0 sfinished" in shown


def test_weights_of_classes_are_a_table():
    classes = class_section(["noun", EVIL], [10, 20], [[1.0, 2.0], [3.0, 1.0]], [[0.2, 0.8], [0.9, 0.1]])
    text = run_page(make_run(sections=[classes]))
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th>((?:<td.*?</td>)+)</tr>', text)
    found = {name: re.findall(r'title="([^"]*)">(\d+)<', cells) for name, cells in rows if "loss" in cells}
    assert list(found) == ["noun", "&lt;script&gt;alert(1)&lt;/script&gt;"]  # the heaviest first
    assert found["noun"] == [("noun, loss 1.000", "20"), ("noun, loss 3.000", "90")]


def test_whatever_comes_from_data_is_text():
    file = {"path": f"{EVIL}.txt", "bytes": 1, "sha256": EVIL}
    session = SESSION | {"hardware": EVIL, "versions": {EVIL: EVIL}, "commit": EVIL, "started": EVIL}
    run = make_run(
        name=EVIL,
        policy=EVIL,
        model=EVIL,
        anchors=[(EVIL, 2.0)],
        settings=[Setting(EVIL, EVIL, EVIL[1:], f"`{EVIL}`")],
        inputs={"data": [file], "anchors": {"command": EVIL, "reference": {"name": EVIL}, "sources": [file]}},
        record=RECORD | {"text": EVIL, "sessions": [session, session]},
        missing=[EVIL],
    )
    text = run_page(run)
    assert "<script" not in text
    assert check(text).text.count(EVIL) >= 15


def test_a_chart_leaves_out_what_is_no_number():
    figure = chart("x", "loss", [Line("a", [1, 2, 3], [1.0, math.nan, 2.0]), Line("b", [1], [math.inf], "first")])
    assert 'aria-label="loss: a from 1 at 1 to 2 at 3"' in figure
    assert "nan" not in figure.replace("none", "").lower()
    assert chart("y", "none", []).count("<svg") == 1


def test_a_chart_of_several_lines_has_a_legend():
    lines = [Line("one", [1, 2], [0.1, 0.2], spread=[0.01, 0.02]), Line("two", [1, 2], [0.1, 0.3], "ink", "dashed")]
    figure = chart("x", "shares", lines, Axis(is_share=True, from_zero=True, ticks=[1, 2]))
    assert figure.count('class="key ') == 2 and "border-color:var(--ink)" in figure
    assert chart("x", "shares", lines[:1]).count('class="key ') == 0
    assert not re.search(r"#0000\d\d", figure)  # all stand-ins of colours were replaced


def test_a_heat_table_colours_shares():
    text = heat_table("rows", ["a"], ["x", "y", "a long one"], [[0.0, 1.0, None]])
    assert '<td class="soft">0</td><td class="h10">100</td><td></td>' in text
    assert text.count("turned") == 3
    assert "turned" not in heat_table("rows", ["a"], ["x"], [[0.5]])


def test_paths_may_break_and_backticks_are_code():
    page = run_page(replace(make_run(), missing=["a/<b>", "`x` & `y"]))
    assert "<li>a/<wbr>&lt;b&gt;</li>" in page
    assert "<li><code>x</code> &amp; `y</li>" in page
    assert macros("parts.html").facts([]) == ""


@pytest.mark.parametrize("log", [[{"step": 0, "eval_loss": 7.0}], [{"step": 5, "loss": 3.0}]])
def test_a_log_of_one_line_is_enough(log):
    assert check(run_page(replace(make_run(), log=log, schedules={})))
