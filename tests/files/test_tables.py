"""Tables that people and spreadsheets save: separators, quotation marks, encodings, and what is refused."""

import csv
import gzip
import json
import logging

import pyarrow
import pytest
from pyarrow import parquet

from diffmask.core.errors import InputError
from diffmask.files import blocks
from diffmask.files.records import read_blocks, read_records
from diffmask.files.tables import Table
from diffmask.text.anchors.anchor_set import read_anchors
from diffmask.text.annotate.word_classes import read_lexicon

XLSX = b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00[Content_Types].xml \xa2\x04\x02(\xa0"


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts_of(path, column=None):
    return [text.text for block in read_blocks(path, column) for text in block.texts()]


def refusal(function, path):
    with pytest.raises(InputError) as caught:
        function(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("excel.csv", "\ufeffanchor;tf_icf;domain_count\r\nketamine;1631,86;40\r\nserum albumin;1549,01;40\r\n"),
        ("unicode.txt", "anchor\ttf_icf\r\nketamine\t1631,86\r\nserum albumin\t2\r\n".encode("utf-16")),
        ("unicode.csv", b"\xfe\xff" + 'note\tanchor\r\n"a\nb"\tketamine\r\n\tserum albumin\r\n'.encode("utf-16-be")),
        ("told.csv", "sep=;\r\nanchor;n\r\nketamine;1\r\nserum albumin;2\r\n"),
        ("bars.csv", "n|anchor\n1|ketamine\n2|serum albumin\n"),
        ("quoted.csv", '"Anchor";"a, b";"";""\r\n"ketamine";"1";;\r\nserum albumin\r\n;;;\r\n'),
        ("spaces.csv", " ANCHOR , n\r\nketamine,1\r\nserum albumin,2\r\n"),
        ("old-mac.csv", "anchor;n\rketamine;1\rserum albumin;2\r"),
        ("tabs.tsv", "anchor\tn\nketamine\t1\nserum albumin\t2\n"),
        ("list.txt", 'ketamine\n\n"serum albumin"\n'),
    ],
)
def test_anchors_are_read_however_they_were_saved(tmp_path, name, content):
    assert read_anchors(written(tmp_path / name, content)) == ["ketamine", "serum albumin"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            b"anchor;n\r\nx;1\r\n" + b"a;1\r\n" * 20_000 + b"k\0;1\r\n",
            ": line 20003 holds a NUL byte; save the",
        ),
        (
            "a.csv",
            'anchor;n\n"ketamine;1\nx;2\n',
            ": line 2 is not a row of values (unexpected end of data, to line 3);",
        ),
        ("a.csv", "anchor;n\nÖdem;1\n".encode("cp1252"), ": line 2 is not UTF-8 (byte 9 is 0xd6); convert the file,"),
        ("a.csv", "anchor\nx\n".encode("utf-16") + b"\n", " is damaged UTF-16; save it again, as UTF-8"),
        ("a.csv", "anchor\nx\n".encode("utf-32"), " is UTF-32; convert it: iconv -f UTF-32 -t UTF-8 OLD > NEW"),
        ("a.xlsx", XLSX, ' is a spreadsheet, not text; save it as "CSV UTF-8" (File, Save As) and give that file'),
        ("a.csv", XLSX, ' is a spreadsheet, not text; save it as "CSV UTF-8" (File, Save As) and give that file'),
    ],
)
def test_anchors_that_cannot_be_read_are_one_sentence(tmp_path, name, content, message):
    assert refusal(read_anchors, written(tmp_path / name, content)).startswith(message)


def test_a_lexicon_may_have_any_separator(tmp_path):
    path = written(tmp_path / "classes.csv", '\ufeff"Word";"Class"\r\nkinase;"a; b"\r\n";";comma\r\n')
    assert read_lexicon(path).names == ("a; b", "comma")


def test_a_quotation_mark_in_a_tsv_is_a_character(tmp_path):
    rows = [f"{number}\ttext {number}" for number in range(50)]
    rows[10], rows[40] = '10\t"the drug is safe, said the first', '40\t"'
    rows[41] = '41\t"no change" was the verdict'
    path = written(tmp_path / "a.tsv", "\n".join(["id\ttext", *rows]) + "\n")
    assert texts_of(path) == [row.split("\t")[1] for row in rows]
    assert [row["text"] for _, row in read_records(path)] == texts_of(path)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_values_that_a_csv_writer_quoted_in_a_tsv_are_as_they_were(tmp_path, quoting):
    texts = ["plain", 'she said "no"', "a\ttab", '"all of it"', "", 'one " alone']
    with (tmp_path / "a.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t", quoting=quoting).writerows([["id", "text"], *enumerate(texts)])
    assert [row["text"] for _, row in read_records(tmp_path / "a.tsv")] == texts


def test_values_of_several_lines_in_a_tsv_are_refused(tmp_path):
    path = written(tmp_path / "a.tsv", 'id\ttext\n1\t"one\ntwo"\n2\tb\n')
    assert refusal(texts_of, path) == (
        ": line 3 has 1 values, the header has 2; put quotes around a value that holds the separator, and give values "
        "of several lines as .csv or .jsonl: a row of a .tsv is one line"
    )


def test_a_value_of_a_csv_that_swallows_lines_is_told(tmp_path, caplog):
    rows = [f"{number},text {number}" for number in range(60)]
    rows[9], rows[40] = '9,"an open quotation', '40,and its end"'
    path = written(tmp_path / "a.csv", "\n".join(["id,text", *rows, '60,"a\nb"']) + "\n")
    with caplog.at_level(logging.WARNING):
        assert len(texts_of(path)) == 61 - 31
        list(read_records(path))
    told = (
        "a value in quotation marks joins 32 lines into one row, lines 11 to 42; if these are rows of their own, write"
    )
    assert [record.getMessage().startswith(f"{path}: {told}") for record in caplog.records] == [True]


def test_rows_may_lack_the_empty_values_at_their_end_and_blank_rows_are_none(tmp_path):
    path = written(tmp_path / "a.csv", "label;text;;\r\na;liver;;\r\nb;heart\r\n;;;\r\n\r\n")
    assert list(read_records(path)) == [
        (1, {"label": "a", "text": "liver"}),
        (2, {"label": "b", "text": "heart"}),
    ]
    assert texts_of(path) == ["liver", "heart"]


def test_names_of_columns_are_found_in_any_case_and_must_differ(tmp_path):
    assert texts_of(written(tmp_path / "a.csv", "id, Title ,Body\n1,a,b\n"), "title") == ["a"]
    twice = written(tmp_path / "b.csv", "text,text\na,b\n")
    assert refusal(texts_of, twice) == refusal(lambda path: list(read_records(path)), twice)
    assert refusal(texts_of, twice) == " has 2 columns named 'text'; rename all but one"


def test_the_lines_of_rows_are_those_of_the_file(tmp_path):
    with Table(written(tmp_path / "a.csv", 'sep=,\n\na,b\n1,"x\ny"\n\n2,z\n')) as table:
        assert (table.header_line, table.header) == (3, ["a", "b"])
        assert list(table.full_rows()) == [(5, ["1", "x\ny"]), (6, []), (7, ["2", "z"])]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"word " * 600),
        ("a.jsonl", b'{"text": "' + b"w" * 3_000 + b'"}'),
        ("a.csv", b'id,text\n1,"' + b"many lines\n" * 300 + b'"\n'),
        ("a.csv", b'id,text\n1,"never closed\n' + b"many lines\n" * 300),
        ("a.tsv", b"id\ttext\n1\t" + b"w" * 3_000 + b"\n"),
    ],
)
@pytest.mark.parametrize("compressed", [True, False])
def test_a_document_that_is_too_long_is_refused(tmp_path, monkeypatch, name, content, compressed):
    for module in ("blocks", "tables"):
        monkeypatch.setattr(f"diffmask.files.{module}.MOST_BYTES", 2_000)
    monkeypatch.setattr("diffmask.files.streams._HEAD_BYTES", 100)
    path = written(tmp_path / (name + ".gz" * compressed), gzip.compress(content) if compressed else content)

    def read(path):
        for block in read_blocks(path, None, 100):
            list(block.texts())

    message = refusal(read, path)
    assert message.startswith(": ") and " is longer than " in message
    assert message.endswith("the most that one document may have; divide it into several, for example: fold -s -w "
                            "100000 OLD > NEW")  # fmt: skip


@pytest.mark.parametrize("number", [1, 300])
def test_a_value_of_parquet_that_is_too_long_is_refused(tmp_path, monkeypatch, number):
    monkeypatch.setattr("diffmask.files.records.MOST_BYTES", 2_000)
    texts = [*["short"] * (number - 1), "word " * 600]
    parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "a.parquet")
    assert " is longer than " in refusal(texts_of, tmp_path / "a.parquet")
    assert " is longer than " in refusal(lambda path: list(read_records(path)), tmp_path / "a.parquet")


def test_lists_and_nested_values_are_called_so(tmp_path):
    path = written(tmp_path / "a.jsonl", '{"title": ["a"], "sections": {"a": "b"}, "n": 1}\n')
    remedy = "join its parts into one text, or give each a row"
    assert refusal(texts_of, path) == (
        f" has no column of text; its columns: title (a list), sections (nested values), n; {remedy}"
    )
    parquet.write_table(pyarrow.table({"text": [["a"]], "n": [1]}), tmp_path / "a.parquet")
    assert refusal(texts_of, tmp_path / "a.parquet").endswith(f"text (list<element: string>), n; {remedy}")
    assert refusal(texts_of, written(path, '{"text": 5, "n": 1}\n')) == (
        " has no column of text; its columns: text (a number), n"
    )


def test_the_limit_lets_a_book_pass():
    assert blocks.MOST_BYTES > 10_000_000


def test_a_json_may_be_one_list_of_objects(tmp_path):
    rows = [{"a": 1, "b": [1, 2]}, {"a": None}]
    listed = written(tmp_path / "a.json", "\ufeff \n" + json.dumps(rows, indent=1))
    lines = written(tmp_path / "b.json", "\n".join(map(json.dumps, rows)))
    assert list(read_records(listed)) == list(read_records(lines)) == [(1, rows[0]), (2, rows[1])]
    broken = written(tmp_path / "c.json", json.dumps(rows)[:-1])
    with pytest.raises(InputError, match="c.json begins a list and is not valid JSON .*; write it again"):
        list(read_records(broken))
    with pytest.raises(InputError, match="d.json: entry 2 is not a JSON object: 3; give one for each row"):
        list(read_records(written(tmp_path / "d.json", '[{"a": 1}, 3]')))
