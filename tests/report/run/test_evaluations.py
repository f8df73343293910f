"""Evaluations on a run's page."""

import re
import statistics

import pytest
from support.html_checks import check
from support.results import LABELS, measured, result, write_results

from diffmask.core.errors import InputError
from diffmask.evaluate.results import Result, Spread
from diffmask.report.html.page import page
from diffmask.report.run.page import evaluation_part

RIGHT = [8, 6, 7]


@pytest.fixture
def folder(tmp_path):
    return write_results(
        tmp_path / "chemprot-finetune", [result(seed, right, (0.1, 1.0)) for seed, right in enumerate(RIGHT)]
    )


def rendered(*evaluations):
    return page("page", [evaluation_part(evaluations)])


def cells(text, row):
    return [
        re.sub(r"<[^>]+>", "", cell)
        for line in re.findall(rf'<tr><th scope="row">{row}</th>(.*?)</tr>', text)
        for cell in re.findall(r"<td.*?</td>", line)
    ]


def test_scores_are_means_with_the_deviation_of_a_sample(folder):
    evaluation = Result.read(folder)
    mean, deviation = statistics.fmean(RIGHT) / 10, statistics.stdev(RIGHT) / 10
    assert evaluation.spread("all", "macro_f1") == pytest.approx(Spread(mean, deviation))
    assert evaluation.spread("unseen", "macro_f1") == pytest.approx(Spread(mean - 0.1, deviation))
    assert evaluation.spread("all", "macro_f1", share=0.1) == pytest.approx(Spread(mean / 10, deviation / 10))
    assert evaluation.shares == [0.1, 1.0]
    assert evaluation.confusion()[0] == pytest.approx([7.0, 1.5, 1.5])


def test_all_of_it_is_on_the_page(folder):
    text = rendered(Result.read(folder))
    assert check(text)
    assert cells(text, "accuracy") == ["70.0 ± 10.0", "60.0 ± 10.0", "80.0", "60.0", "70.0"]
    assert cells(text, "INHIBITOR") == ["70.0 ± 10.0"] * 3 + ["10"] + ["70", "15", "15"]
    assert cells(text, "macro-F1")[-2:] == ["7.0 ± 1.0", "70.0 ± 10.0"]  # by share of the labels
    shown = check(text).text
    seen = "4 of 30 test texts are also in another split"
    for said in ("26 unseen", seen, "3 seeds, 37.5 s", "exact, train-test, texts", "ab" * 32):
        assert said in shown
    assert 'aria-label="scores by share of the labels: micro-F1 from 7 % at 10 to 70 % at 100;' in text


def test_one_seed_has_no_spread_and_several_evaluations_have_a_table(tmp_path):
    one = write_results(tmp_path / "one", [result()])
    other = result(right=5)
    other["shares"][0]["test"] = {"all": measured(5, confusion=False), "unseen": None}
    other |= {"unseen": [False] * 30, "task": other["task"] | {"leakage": None}}
    two = write_results(tmp_path / "two", [other])
    text = rendered(Result.read(one), Result.read(two))
    assert cells(text, "one") == ["1", "80.0", "80.0", "80.0", "70.0"]
    assert cells(text, "two") == ["1", "50.0", "50.0", "50.0", "-"]
    shown = check(text).text
    assert "one seed, so that there is no spread" in shown
    assert "were not looked for" in shown
    assert text.count('class="heat"') == 1  # nothing is known of who the second took for whom


def test_a_label_without_test_texts_was_not_measured(tmp_path):
    given = result()
    given["shares"][0]["test"]["all"]["per_class"]["SUBSTRATE"] = dict.fromkeys(
        ("precision", "recall", "f1", "support"), 0
    )
    text = rendered(Result.read(write_results(tmp_path / "one", [given])))
    assert cells(text, "SUBSTRATE")[:4] == ["-", "-", "-", "0"]


def test_texts_in_several_splits_are_a_table(tmp_path):
    given = result()
    counts = {"num_texts": 1_000, "exact": 12, "same_words": 3, "near": 5, "examples": [{"text": 1}]}
    given["task"]["leakage"] = {
        "threshold": 0.75,
        "between": [counts | {"split": "test", "other": "train", "other_label": 4, "share": 0.02}],
        "within": [counts | {"split": "<b>", "other": "<b>", "other_label": None, "share": 0.0}],
    }
    text = rendered(Result.read(write_results(tmp_path / "one", [given])))
    assert cells(text, "test") == ["train", "1,000", "12", "3", "5", "4", "2.0 %"]
    assert cells(text, "&lt;b&gt;") == ["itself", "1,000", "12", "3", "5", "-", "0.0 %"]


def test_labels_and_names_are_text(tmp_path):
    evil = "<script>alert(1)</script>"
    given = result(labels=[evil, *LABELS], settings={evil: evil}, hardware=evil, method=evil)
    given["task"] |= {"name": evil, "leakage": {evil: {"x": evil}}}
    (tmp_path / "runs").mkdir()
    text = rendered(Result.read(write_results(tmp_path / "runs" / "<img src=x onerror=alert(1)>", [given])))
    assert "<script" not in text and "<img" not in text
    assert check(text).text.count(evil) >= 8


def test_too_many_labels_have_no_matrix(tmp_path):
    labels = [f"label {number}" for number in range(50)]
    text = rendered(Result.read(write_results(tmp_path / "one", [result(labels=labels)])))
    assert 'class="heat"' not in text and "label 49" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given.update(format=2), "has format 2, not 1; use the diffmask that wrote it"),
        (
            lambda given: given.pop("task"),
            "is damaged: task is missing or of a wrong type; delete it and evaluate that seed again",
        ),
        (
            lambda given: given["shares"][0]["test"]["all"].pop("macro_f1"),
            r"is damaged: shares\[0\].test.all.macro_f1 is missing",
        ),
        (
            lambda given: given["shares"][0].update(share="all"),
            r"is damaged: shares\[0\].share is missing or of a wrong type",
        ),
        (
            lambda given: given["shares"][0]["test"]["all"]["per_class"].pop("INHIBITOR"),
            "per_class.INHIBITOR.precision is",
        ),
        (lambda given: given["shares"][0]["test"]["all"]["confusion"].pop(), "confusion is no table of 3 by 3 numbers"),
        (
            lambda given: given.update(settings={}),
            "seeds 0 and 1 in .* have different settings .*, so they are not of one",
        ),
        (lambda given: given["task"].update(hash="cd"), "seeds 0 and 1 in .* have different texts or labels"),
        (lambda given: given["shares"][0].update(share=0.5), "share no share of the labels"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, change, message):
    second = result(1)
    change(second)
    folder = write_results(tmp_path / "task", [result(0), second | {"seed": 1}])
    with pytest.raises(InputError, match=message):
        Result.read(folder)


def test_a_folder_without_seeds_and_a_cut_file_are_said(tmp_path):
    (tmp_path / "task").mkdir()
    with pytest.raises(InputError, match="holds no seed-N.json; let `diffmask evaluate` finish one seed"):
        Result.read(tmp_path / "task")
    (tmp_path / "task" / "seed-0.json").write_text('{"format": 1, "na')
    with pytest.raises(InputError, match="seed-0.json is damaged"):
        Result.read(tmp_path / "task")
