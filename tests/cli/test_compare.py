"""`diffmask compare`: from folders of results to a table and to files."""

import json

import pytest
from support.compared import write_result
from support.html_checks import check

from diffmask.cli import main

FILES = ["comparison.csv", "comparison.html", "comparison.json", "comparison.md", "forest.png"]
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, accuracy in {"none": 0.6, "random": 0.62, "ours": 0.9}.items():
        write_result(folder / name / "evaluation" / "toy-finetune", name, accuracy=accuracy, seeds=range(4))
    write_result(folder / "evil" / "evaluation" / "toy-finetune", EVIL, shares=(0.1, 1.0), seeds=range(5))
    return folder


def run(capsys, *words):
    status = main(["compare", "--draws", "1000", *map(str, words)])
    return status, capsys.readouterr()


def test_a_table_and_what_it_says(results, capsys):
    status, said = run(capsys, results / "none", results / "random", results / "ours")
    assert not status
    lines = said.out.splitlines()
    assert lines[0] == "toy: micro-F1, fine-tuned"
    rows = [line.split() for line in lines]
    assert next(row for row in rows if row[:1] == ["ours"] and row[1][:1] == "+")[-1] == "higher"
    assert next(row for row in rows if row[:1] == ["random"] and row[1][:1] in "+-")[-3:] == [
        "no",
        "difference",
        "shown",
    ]
    (finding,) = (line for line in lines if line.startswith("ours is higher than none by"))
    assert finding.endswith("no difference shown in 1 of 2.")
    told = " ".join(said.out.split())
    assert "corrected p is for 2 comparisons (Holm)" in told
    assert "30 of 120 test texts are also in another split" in told
    assert "All seeds of each result start from one pretrained model" in told


def test_everything_is_written_at_once_and_not_overwritten_unasked(results, tmp_path, capsys):
    folder = tmp_path / "out"
    words = [results / "none", results / "ours", "-o", folder]
    assert not run(capsys, *words)[0]
    assert sorted(path.name for path in folder.iterdir()) == FILES
    found = json.loads((folder / "comparison.json").read_text())
    assert found["differences"][0]["verdict"] == "higher"
    assert found["settings"]["baseline"] == "none" and found["settings"]["share"] == 1.0
    status, said = run(capsys, *words)
    assert status == 2 and "exists" in said.err and "--overwrite" in said.err
    assert not run(capsys, *words, "--overwrite")[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_script_for_a_name_does_no_harm(results, tmp_path, capsys):
    folder = tmp_path / "out"
    status, said = run(capsys, results / "evil", results / "none", "-o", folder)
    assert not status
    assert "5 of" not in said.out and "left out: 4 of" in " ".join(said.out.split())
    text = (folder / "comparison.html").read_text()
    assert "<script" not in text and EVIL in check(text).text
    assert "<script" not in (folder / "comparison.md").read_text()


def test_learning_curves_where_all_have_several_shares(tmp_path, capsys):
    for name in ("a", "b"):
        write_result(tmp_path / name, name, shares=(0.1, 1.0))
    assert not run(capsys, tmp_path / "a", tmp_path / "b", "-o", tmp_path / "out")[0]
    assert (tmp_path / "out" / "learning.png").read_bytes().startswith(b"\x89PNG")
    assert "Learning curves" in (tmp_path / "out" / "comparison.html").read_text()


def test_one_seed_is_called_so(tmp_path, capsys):
    for name in ("a", "b"):
        write_result(tmp_path / name, name, seeds=(0,))
    _, said = run(capsys, tmp_path / "a", tmp_path / "b")
    told = " ".join(said.out.split())
    assert "There is only one seed" in told and "nothing about other seeds" in told
    assert "No difference shown." in told


def test_few_seeds_are_called_so(tmp_path, capsys):
    for name in ("a", "b"):
        write_result(tmp_path / name, name, seeds=(0, 1))
    assert "With 2 seeds only large differences can be shown" in " ".join(run(capsys, tmp_path)[1].out.split())


def test_settings_reach_the_comparison(results, capsys):
    _, said = run(capsys, results, "--all-pairs", "--baseline", "ours", "--metric", "macro_f1", "--texts", "unseen")
    told = " ".join(said.out.split())
    assert "macro-F1" in told and "6 comparisons" in told
    assert "also in another split" not in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none"], "one result (none) cannot be compared; give at least two"),
        (["none", "missing"], "does not exist; give the output folder of `diffmask evaluate`"),
        (
            ["none", "ours", "--metric", "f1"],
            "unknown metric 'f1'; choose from: micro_f1, macro_f1, accuracy, recall_at_1",
        ),
        (["none", "ours", "--texts", "seen"], "unknown texts 'seen'; choose from: all, unseen"),
        (["none", "ours", "--share", "0.5"], "the share 0.5 is not in all results; choose from: 1"),
        (["none", "ours", "--baseline", "x"], "no result is named 'x'; choose the baseline from: none, ours"),
        (["none", "ours", "--seed", "-1"], "seed=-1 must be at least 0"),
        (["none", "ours", "-o", "none"], "holds other files (evaluation); choose another name for the comparison"),
    ],
)
def test_bad_input_is_one_sentence(results, capsys, monkeypatch, words, sentence):
    monkeypatch.chdir(results)
    status, said = run(capsys, *words)
    assert status == 2
    (line,) = said.err.strip().splitlines()
    assert sentence in line
    assert said.out == ""
