import io
import json

import pytest
from rich.console import Console
from support.html_checks import check

from diffmask.assemble.modality import modality_named
from diffmask.quickstart.losses import (
    BEFORE,
    HeldOutLoss,
    curve_section,
    loss_section,
    loss_table,
    mean_of_seeds,
    read_losses,
)
from diffmask.report.html.charts import chart_of_runs
from diffmask.report.html.page import page
from diffmask.train.log import read_log


def log(final, domain):
    rows = [{"step": 0, "eval_loss": 5.0, "eval_loss_domain": 6.0}]
    rows += [{"step": step, "loss": 5 - step / 10, "mask_ratio": 0.15} for step in range(2, 11, 2)]
    return [*rows, {"step": 10, "eval_loss": final, "eval_loss_domain": domain}, {"step": 10, "train_runtime": 1.0}]


WORDS = modality_named("text").words
LOGS = {"random": log(4.0, 5.5), "difference": log(4.25, 5.0)}


def test_results_are_the_first_and_the_last_evaluations():
    assert read_losses(LOGS) == [(BEFORE, 5.0, 6.0), ("random", 4.0, 5.5), ("difference", 4.25, 5.0)]


def test_means_are_over_seeds():
    seeds = [read_losses(LOGS), [(BEFORE, 5.0, 6.0), ("random", 3.0, 4.5), ("difference", 3.75, 4.0)]]
    means = mean_of_seeds([[HeldOutLoss(*each) for each in seed] for seed in seeds])
    assert means == [(BEFORE, 5.0, 6.0), ("random", 3.5, 5.0), ("difference", 4.0, 4.5)]


def test_a_run_that_did_not_evaluate_at_first_is_a_defect():
    with pytest.raises(AssertionError, match="must evaluate before its first step"):
        read_losses({"random": LOGS["random"][1:]})


def test_the_table_tells_what_changed():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(loss_table(read_losses(LOGS), WORDS))
    lines = console.export_text().splitlines()
    assert lines[1].split() == ["not", "continued", "5.000", "6.000"]
    assert lines[3].split() == ["difference", "4.250", "-0.750", "5.000", "-1.000"]


def test_a_log_is_read_line_by_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in LOGS["random"]) + "\n")
    assert read_log(path) == LOGS["random"]


def test_the_sections_make_a_whole_page():
    text = page("t", [loss_section(read_losses(LOGS), "a < b", words=WORDS), curve_section(LOGS, WORDS)])
    checker = check(text)
    assert "a < b" in checker.text and "-1.000" in checker.text
    assert text.count("<svg") == 3


def test_curves_take_their_colours_and_their_font_from_the_page():
    svg = chart_of_runs(LOGS, "eval_loss", "loss & <more>")
    assert "#0000" not in svg and "DejaVu" not in svg and "<style" not in svg
    for name in ("first", "second", "soft", "line"):
        assert f"var(--{name})" in svg
    assert "loss &amp; &lt;more&gt;" in svg


def test_curves_are_the_same_each_time():
    assert chart_of_runs(LOGS, "loss", "loss") == chart_of_runs(LOGS, "loss", "loss")


def test_what_no_run_logged_is_not_drawn():
    logs = {"random": [entry for entry in LOGS["random"] if "loss" not in entry]}
    assert curve_section(logs, WORDS).count("<svg") == 2


def test_the_names_of_runs_are_text():
    assert "<script>" not in chart_of_runs({"<script>": LOGS["random"], "b": LOGS["random"]}, "loss", "loss")
