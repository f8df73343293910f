"""diffmask pmi: what it writes, prints and refuses."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.commands import Command

from diffmask.cli import pmi
from diffmask.text.ngrams.vocabulary import read_vocabulary

REPO = Path(__file__).parents[2]


call = Command(pmi)
refusal = call.refusal


@pytest.fixture
def corpus(tmp_path):
    noise = random.Random(0)
    phrases = ["in vitro", "tumor necrosis factor alpha", *"abcdefgh"]
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("".join(" ".join(noise.choices(phrases, k=9)) + "\n" for _ in range(100)))
    return tmp_path


def test_a_corpus_becomes_a_folder(corpus, capsys):
    call(corpus / "a.txt", corpus / "b.txt", "-o", corpus / "pmi", "--min-pmi", 1.8)
    timing, kept, pairs, *others, share, wrote = capsys.readouterr().out.splitlines()
    assert timing.startswith("counted in ")
    assert timing.endswith(" s: 200 documents, 2,474 words")
    assert kept == "kept 7 n-grams"
    assert pairs.startswith("  2 words: 4 of 104; best: factor alpha, necrosis factor, tumor necrosis, in vitro")
    assert len(others) == 3
    assert share.endswith(" % of the words at the beginning of DATA are in one of them")
    assert wrote == f"wrote {corpus}/pmi"
    assert read_vocabulary(corpus / "pmi")[-1] == "tumor necrosis factor alpha"
    record = json.loads((corpus / "pmi" / "pmi.json").read_text())
    assert (record["max_n"], record["min_count"], record["min_pmi"], record["size"]) == (5, 11, 1.8, 800_000)
    assert [Path(source["path"]).name for source in record["sources"]] == ["a.txt", "b.txt"]
    assert sorted(path.name for path in corpus.iterdir()) == ["a.txt", "b.txt", "pmi"]


def test_counts_of_shards_make_the_same_vocabulary(corpus, capsys):
    call(corpus / "a.txt", corpus / "b.txt", "-o", corpus / "whole", "--max-n", 3)
    for name in ("a", "b"):
        call(corpus / f"{name}.txt", "-o", corpus / name, "--save-counts", corpus / f"{name}.parquet")
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {corpus}/b and {corpus}/b.parquet"
    call("--counts", corpus / "a.parquet", corpus / "b.parquet", "-o", corpus / "merged", "--max-n", 3)
    call(corpus / "b.txt", "--counts", corpus / "a.parquet", "-o", corpus / "mixed", "--max-n", 3)
    for name in ("merged", "mixed"):
        for file in ("ngrams.csv", "pmi.json"):
            assert (corpus / name / file).read_bytes() == (corpus / "whole" / file).read_bytes()


def test_outputs_that_exist_are_refused_before_the_work(corpus):
    (corpus / "pmi").mkdir()
    (corpus / "pmi" / "ngrams.csv").write_text("precious")
    expected = f"folder {corpus}/pmi exists; choose another name or allow to overwrite it (--overwrite)"
    assert refusal(corpus / "no.txt", "-o", corpus / "pmi") == expected
    assert (corpus / "pmi" / "ngrams.csv").read_text() == "precious"
    call(corpus / "a.txt", "-o", corpus / "pmi", "--overwrite")
    assert "in vitro" in read_vocabulary(corpus / "pmi")
    (corpus / "a.parquet").write_text("precious")
    use = "use --overwrite to replace it, or give another name with --save-counts"
    expected = f"the output {corpus}/a.parquet exists; {use}"
    assert refusal(corpus / "a.txt", "-o", corpus / "new", "--save-counts", corpus / "a.parquet") == expected
    assert not (corpus / "new").exists()


def test_what_cannot_be_done_is_refused(corpus):
    output = corpus / "pmi"
    expected = "there is nothing to count; give files, folders or globs, or counts files with --counts"
    assert refusal("-o", output) == expected
    expected = "--column text was given without DATA to read; counts files have no such column"
    assert refusal("--counts", "a.parquet", "--column", "text", "-o", output) == expected
    expected = "max_n=6 is outside [2, 5]; n-grams have two to 5 words"
    assert refusal(corpus / "a.txt", "--max-n", 6, "-o", output) == expected
    few = "no n-gram of two words or more occurs 5000 times in 1,239 words"
    expected = f"{few}; give more text or a lower --min-count"
    assert refusal(corpus / "a.txt", "--min-count", 5000, "-o", output) == expected
    (corpus / "blank.txt").write_text("\n")
    assert refusal(corpus / "blank.txt", "-o", output).startswith(f"{corpus}/blank.txt ")
    assert not output.exists()


def test_from_the_shell_bad_input_is_one_sentence_and_status_2(corpus):
    command = [sys.executable, "-m", "diffmask", "pmi", "a.txt", "-o", "pmi", "--rank-by", "luck"]
    result = subprocess.run(command, cwd=corpus, capture_output=True, text=True, env={"PYTHONPATH": str(REPO)})
    assert result.returncode == 2
    assert result.stderr == "diffmask: unknown rank_by 'luck'; choose from: pmi, weighted\n"
    assert result.stdout == ""


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(corpus):
    (corpus / "big.txt").write_text((corpus / "a.txt").read_text() * 2000)
    command = [sys.executable, "-m", "diffmask", "pmi", "big.txt", "-o", "pmi", "--num-processes", "2"]
    command += ["--save-counts", "big.parquet"]
    process = subprocess.Popen(
        command, cwd=corpus, stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": str(REPO)}, start_new_session=True
    )
    while not list(corpus.glob(".diffmask-ngrams-*/*")):
        assert process.poll() is None, "it was done before it could be interrupted"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1].splitlines()[-1] == "interrupted"
    assert process.returncode == 130
    assert sorted(path.name for path in corpus.iterdir()) == ["a.txt", "b.txt", "big.txt"]


def test_help_reads_like_documentation(capsys):
    with pytest.raises(SystemExit):
        call("--help")
    text = capsys.readouterr().out
    assert "diffmask pmi papers/ -o pmi/" in text
    assert "masking: {policy: pmi, ngrams: pmi/}" in text
    assert "the memory does not grow with the text" in text
