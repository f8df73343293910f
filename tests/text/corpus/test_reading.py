"""What is read is said: the column, its rows, and those without a text."""

import json
import logging
import os
import subprocess
import sys

import pyarrow
import pytest
from pyarrow import parquet
from support.families import tokenizer_of

from diffmask.cli import main
from diffmask.files.made_folder import write_record
from diffmask.text.corpus import read_documents
from diffmask.text.corpus.counts import Counts, count_corpus
from diffmask.text.ngrams.counts import count_ngrams
from diffmask.text.segment.tokenise import TokeniseSettings, tokenise

ROWS = [
    {"title": f"t{number}", "abstract": f"the kinase of row {number}" if number % 4 else None, "sections": [{"a": "b"}]}
    for number in range(20)
]
TOLD = "column 'abstract' of papers.jsonl: 20 rows, 5 without text"


def write(folder):
    path = folder / "papers.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    return path


@pytest.mark.parametrize(
    "read",
    [lambda path: list(read_documents(path)), count_corpus, count_ngrams, lambda path: count_corpus(path, None, 2)],
)
def test_the_column_and_rows_without_text_are_logged(tmp_path, caplog, read):
    with caplog.at_level(logging.INFO, "diffmask"):
        read(write(tmp_path))
    assert [record.getMessage() for record in caplog.records] == [f"read {TOLD}"]


def test_the_description_of_tokenised_rows_says_it_also_when_they_are_found_again(tmp_path):
    for _ in range(2):
        rows = tokenise(write(tmp_path), tokenizer_of("BERT"), TokeniseSettings(32), None, tmp_path / "cache")
        assert rows.info.description.startswith("15 documents, ") and rows.info.description.endswith(f"; {TOLD}")


def test_blank_rows_of_tables_are_no_rows_and_files_of_one_column_are_told_together(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("id;text\n1;a\n\n;\n2;\n")
    parquet.write_table(pyarrow.table({"text": ["a", None, "b"]}), tmp_path / "b.parquet")
    (tmp_path / "c.txt").write_text("plain\n\n")
    with caplog.at_level(logging.INFO, "diffmask"):
        list(read_documents(tmp_path))
    assert [record.getMessage() for record in caplog.records] == [
        "read column 'text' of 2 files: 5 rows, 2 without text"
    ]


def test_a_reader_that_stops_early_tells_the_column_alone(tmp_path, caplog):
    documents = read_documents(write(tmp_path))
    with caplog.at_level(logging.INFO, "diffmask"):
        next(documents)
        documents.close()
    assert [record.getMessage() for record in caplog.records] == ["read column 'abstract' of papers.jsonl"]


def test_commands_show_it(tmp_path, capsys):
    assert main(["count", str(write(tmp_path)), "-o", str(tmp_path / "counts.parquet")]) == 0
    assert f"read {TOLD}\n" in capsys.readouterr().err
    assert logging.getLogger("diffmask").handlers == []


def test_characters_that_a_terminal_lacks_are_replaced(tmp_path):
    path = tmp_path / "befunde.txt"
    path.write_text("Überfunktion mit α-Synuclein\n", encoding="utf-8")
    command = [sys.executable, "-m", "diffmask", "count", str(path), "-o", str(tmp_path / "counts.parquet")]
    for encoding in ("latin-1", "ascii"):
        env = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run([*command, "--overwrite"], capture_output=True, env=env, check=True)
        assert "? 25.0 %" in done.stdout.decode(encoding)


def test_a_name_that_is_not_utf8_is_read_and_never_written(tmp_path, capsys):
    name = os.fsdecode(b"caf\xe9.txt")
    (tmp_path / name).write_text("a b\n")
    counts = tmp_path / "counts.parquet"
    assert main(["count", str(tmp_path / name), "-o", str(counts)]) == 0
    assert Counts.load(counts).sources[0]["path"] == str(tmp_path / name)
    write_record(tmp_path / "record.json", {"path": name})
    assert json.loads((tmp_path / "record.json").read_text(encoding="utf-8")) == {"path": name}
    broken = tmp_path / os.fsdecode(b"\xe9.parquet")
    assert main(["count", str(tmp_path / name), "-o", str(broken)]) == 2
    assert "\\udce9.parquet is not UTF-8; give another name" in capsys.readouterr().err
