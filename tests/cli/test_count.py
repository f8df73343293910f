"""diffmask count: what it writes, prints and refuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Command

from diffmask.cli import count
from diffmask.text.corpus.counts import Counts, count_corpus

REPO = Path(__file__).parents[2]


call = Command(count)
refusal = call.refusal


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "a.txt").write_text("the cat and the dog\nthe end\n")
    (tmp_path / "b.jsonl").write_text('{"title": "x y", "note": "The bird"}\n')
    return tmp_path


def test_a_corpus_is_counted_and_summed_up(corpus, capsys):
    call(corpus / "a.txt", "-o", corpus / "a.parquet")
    assert Counts.load(corpus / "a.parquet") == count_corpus(corpus / "a.txt")
    timing, *rest = capsys.readouterr().out.splitlines()
    assert timing.startswith("counted 0.0 MB of files in ")
    assert rest == [
        "2 documents, 7 words, 5 types",
        "most frequent: the 42.9 %, and 14.3 %, cat 14.3 %, dog 14.3 %, end 14.3 %",
        f"wrote {corpus}/a.parquet",
    ]


def test_counts_are_merged_with_and_without_more_data(corpus, capsys):
    call(corpus / "a.txt", "-o", corpus / "a.parquet", "--num-processes", 2)
    call(corpus / "b.jsonl", "--column", "note", "--merge", corpus / "a.parquet", "-o", corpus / "all.parquet")
    assert Counts.load(corpus / "all.parquet").counts["the"] == 4
    call(corpus / "b.jsonl", "--column", "note", "-o", corpus / "b.parquet")
    capsys.readouterr()
    call("--merge", corpus / "a.parquet", corpus / "b.parquet", "-o", corpus / "merged.parquet")
    assert Counts.load(corpus / "merged.parquet") == Counts.load(corpus / "all.parquet")
    assert capsys.readouterr().out.splitlines()[0] == "3 documents, 9 words, 6 types"


def test_an_output_that_exists_is_refused_before_the_work(corpus):
    output = corpus / "a.parquet"
    output.write_bytes(b"precious")
    message = refusal(corpus / "no.txt", "-o", output)
    assert message == f"the output {output} exists; use --overwrite to replace it, or give another name with -o"
    assert output.read_bytes() == b"precious"
    call(corpus / "a.txt", "-o", output, "--overwrite")
    assert Counts.load(output).num_words == 7
    # the old counts may be part of the new ones
    call(corpus / "b.jsonl", "--column", "note", "--merge", output, "-o", output, "--overwrite")
    assert Counts.load(output).num_words == 9


def test_what_cannot_be_counted_is_refused(corpus):
    output = corpus / "x.parquet"
    expected = "there is nothing to count; give files, folders or globs, or counts files with --merge"
    assert refusal("-o", output) == expected
    expected = "--column text was given without DATA to read; counts files have no such column"
    assert refusal("--merge", "a.parquet", "--column", "text", "-o", output) == expected
    expected = f"{corpus}/b.jsonl has several columns of text; name the one to read, one of: title, note"
    assert refusal(corpus / "b.jsonl", "-o", output) == expected
    assert not output.exists()


def test_from_the_shell_bad_input_is_one_sentence_and_status_2(corpus):
    (corpus / "c.jsonl").write_text('{"text": "x"}\nnot json\n')
    command = [sys.executable, "-m", "diffmask", "count", "c.jsonl", "-o", "x.parquet"]
    result = subprocess.run(command, cwd=corpus, capture_output=True, text=True, env={"PYTHONPATH": str(REPO)})
    assert result.returncode == 2
    sentence = "c.jsonl: line 2 is not valid JSON (Expecting value); write one object per line: not json"
    assert result.stderr == f"diffmask: {sentence}\n"
    assert result.stdout == ""


def test_help_reads_like_documentation(capsys):
    with pytest.raises(SystemExit):
        call("--help")
    text = capsys.readouterr().out
    assert "diffmask count papers/ -o papers.parquet" in text
    assert "a line is a document" in text
