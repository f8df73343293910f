"""Reading a corpus: every format, every compression, and every refusal."""

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from diffmask.core.errors import InputError
from diffmask.files import blocks
from diffmask.files.records import read_blocks
from diffmask.text.corpus.documents import describe_sources, hash_sources, list_files, read_documents

SLOW = pytest.mark.slow
TEXTS = ["Kinases bind ATP.", "Größe, naïve; “quotes”", "细胞生物学", "a\u2028b \x0b c", "tab\tand, comma"]


def write_txt(path, texts):
    path.write_bytes("\n".join(texts).encode() + b"\n")


def write_jsonl(path, texts):
    path.write_text("".join(json.dumps({"id": "x", "text": text, "label": 3}) + "\n" for text in texts))


def write_csv(path, texts, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter=delimiter)
        rows.writerow(["id", "text"])
        rows.writerows([i, text] for i, text in enumerate(texts))


def write_tsv(path, texts):
    write_csv(path, texts, "\t")


def write_parquet(path, texts):
    row_group_size = max(2, len(texts) // 4)
    table = pyarrow.table({"id": list(range(len(texts))), "name": ["x"] * len(texts), "text": texts})
    parquet.write_table(table, path, row_group_size=row_group_size)


WRITERS = {".txt": write_txt, ".jsonl": write_jsonl, ".json": write_jsonl, ".csv": write_csv, ".tsv": write_tsv}
WRITERS[".parquet"] = write_parquet


def compress(path, suffix):
    content = path.read_bytes()
    packed = gzip.compress(content) if suffix == ".gz" else zstandard.compress(content)
    new = path.with_name(path.name + suffix)
    new.write_bytes(packed)
    path.unlink()
    return new


def texts_of(sources, column=None):
    return [document.text for document in read_documents(sources, column)]


def refusal(sources, column=None):
    with pytest.raises(InputError) as caught:
        texts_of(sources, column)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_documents(tmp_path, suffix, compression):
    path = tmp_path / f"a{suffix}"
    WRITERS[suffix](path, TEXTS)
    if compression:
        path = compress(path, compression)
    documents = list(read_documents([path]))
    assert [document.text for document in documents] == TEXTS
    assert {document.source for document in documents} == {str(path)}
    numbers = [document.number for document in documents]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 1


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("block_bytes", [1, 7, 64])
def test_the_size_of_blocks_changes_nothing(tmp_path, suffix, block_bytes, monkeypatch):
    monkeypatch.setattr("diffmask.files.streams._HEAD_BYTES", 5)
    path = tmp_path / f"a{suffix}"
    WRITERS[suffix](path, TEXTS * 5)
    whole = [text for block in read_blocks(path) for text in block.texts()]
    parts = list(read_blocks(path, None, block_bytes))
    assert [text for block in parts for text in block.texts()] == whole
    assert [text.text for text in whole] == TEXTS * 5
    assert [block.progress for block in parts] == sorted(block.progress for block in parts)
    assert parts[-1].progress == 1.0
    assert len(parts) > 1


def test_a_line_is_a_document_and_blank_lines_are_skipped(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\n \t\r\ntwo lines\r\nthree")
    documents = list(read_documents(path))
    assert [(document.text, document.number) for document in documents] == [("one", 1), ("two lines", 4), ("three", 5)]


def test_blank_and_null_rows_are_skipped(tmp_path):
    jsonl, table, values = tmp_path / "a.jsonl", tmp_path / "a.parquet", tmp_path / "a.csv"
    jsonl.write_text('\n{"text": null}\n{"text": " "}\n\n{"text": "x"}\n')
    parquet.write_table(pyarrow.table({"text": [None, "", "x"]}), table)
    values.write_text('text\n\n" "\nx\n')
    found = [(document.text, document.number) for document in read_documents([jsonl, table, values])]
    assert found == [("x", 5), ("x", 3), ("x", 3)]


def test_a_quoted_field_of_csv_spans_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id;text\n1;"one\ntwo; ""three"""\n2;four\n')
    assert texts_of(path) == ['one\ntwo; "three"', "four"]


def test_a_line_of_ten_megabytes_is_one_document(tmp_path):
    long = "word " * 2_000_000
    for suffix in (".txt", ".jsonl", ".csv", ".parquet"):
        path = tmp_path / f"a{suffix}"
        WRITERS[suffix](path, [long, "short"])
        assert [len(text) for text in texts_of(path)] == [len(long.strip()), 5]


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ({"title": "t", "abstract": "a", "text": "x"}, None, "x"),
        ({"title": "t", "abstract": "a"}, None, "a"),
        ({"title": "t", "label": 1}, None, "t"),
        ({"Text": "x", "title": "t"}, None, "x"),
        ({"title": "t", "text": "x"}, "title", "t"),
    ],
)
def test_the_text_column_is_found_or_named(tmp_path, row, column, expected):
    path, table = tmp_path / "a.jsonl", tmp_path / "a.parquet"
    path.write_text(json.dumps(row) + "\n")
    parquet.write_table(pyarrow.Table.from_pylist([row]), table)
    assert texts_of(path, column) == texts_of(table, column) == [expected]


def test_arrow_kinds_of_text_are_read(tmp_path):
    path = tmp_path / "a.parquet"
    for kind in (pyarrow.large_string(), pyarrow.string_view()):
        parquet.write_table(pyarrow.table({"text": pyarrow.array(["x", "y"], kind)}), path)
        assert texts_of(path) == ["x", "y"]
    parquet.write_table(pyarrow.table({"text": pyarrow.array(["x", "x"]).dictionary_encode()}), path)
    assert texts_of(path) == ["x", "x"]


def test_folders_and_globs_are_read_in_order_and_each_file_once(tmp_path):
    for name in ("b.txt", "a/z.txt", "a/y.jsonl", "c.txt.gz", ".hidden.txt", "_SUCCESS.txt", "README.md", ".git/x.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        text = json.dumps({"text": name}) if "json" in name else name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    (tmp_path / "a" / "above").symlink_to(tmp_path)
    assert texts_of(tmp_path) == ["a/y.jsonl", "a/z.txt", "b.txt", "c.txt.gz"]
    assert texts_of([tmp_path / "b.txt", tmp_path]) == ["b.txt", "a/y.jsonl", "a/z.txt", "c.txt.gz"]
    assert texts_of(str(tmp_path / "*.txt")) == ["_SUCCESS.txt", "b.txt"]
    assert texts_of(str(tmp_path / "**" / "*.txt*")) == ["_SUCCESS.txt", "a/z.txt", "b.txt", "c.txt.gz"]
    assert texts_of(str(tmp_path / "a*")) == ["a/y.jsonl", "a/z.txt"]
    indices = {document.source_index for document in read_documents(tmp_path)}
    assert indices == {0, 1, 2, 3}


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path):
    path = tmp_path / "a[1].txt"
    path.write_text("x\n")
    assert texts_of(str(path)) == ["x"]


def test_datasets_on_disk_are_read_with_their_selection(tmp_path):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"id": [1, 2, 3], "text": ["a", "b", "c"]}).select([2, 0])
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict(train=data, test=data).save_to_disk(str(tmp_path / "two"))
    assert texts_of(tmp_path / "one") == ["c", "a"]
    assert list_files(tmp_path / "one") == [tmp_path / "one"]
    assert texts_of(tmp_path / "two" / "train") == ["c", "a"]
    expected = f"{tmp_path}/two holds the splits test, train; name one of them, for example {tmp_path}/two/test"
    assert refusal(tmp_path / "two") == expected
    expected = f"{tmp_path}/one: column 'id' must hold text, not int64; its text columns: text"
    assert refusal(tmp_path / "one", "id") == expected
    (tmp_path / "one" / "data-00000-of-00001.arrow").unlink()
    assert refusal(tmp_path / "one").startswith(f"{tmp_path}/one is not a readable dataset folder: ")


FORMATS = ".txt, .jsonl, .json, .csv, .tsv, .parquet, each also with .gz or .zst"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "{} is empty (0 bytes); give a file with text in it"),
        ("a.txt", b" \n\n", "{} contains no text, only blank lines or rows; remove it from the corpus or fill it"),
        ("a.csv", b"id,text\n", "{} contains no text, only blank lines or rows; remove it from the corpus or fill it"),
        ("a.md", b"x", "{} has an unknown format; allowed: " + FORMATS + "; rename or convert it"),
        ("a.gz", b"x", "{} has an unknown format; allowed: " + FORMATS + "; rename or convert it"),
        (
            "a.txt",
            b"ab\0c",
            "{} is a binary file (a NUL byte at offset 2), not text; give UTF-8 text or name the file for what it is",
        ),
        (
            "a.txt",
            gzip.compress(b"text\n", mtime=0),
            "{} is a gzip file, not text; give UTF-8 text or name the file for what it is",
        ),
        ("a.csv", b"%PDF-1.4\n", "{} is a PDF file, not text; give UTF-8 text or name the file for what it is"),
        ("a.txt", "ab".encode("utf-16"), "{} is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW"),
        ("a.txt.gz", b"plain\n", "{} is not a gzip file, though its name says so; rename it or compress it"),
        ("a.txt.zst", b"plain\n", "{} is not a zstd file, though its name says so; rename it or compress it"),
        (
            "a.txt",
            "one\ntwo\ncaf\u00e9\n".encode("latin-1"),
            "{} : line 3 is not UTF-8 (byte 11 is 0xe9); convert the file, "
            "for example: iconv -f LATIN1 -t UTF-8 OLD > NEW",
        ),
        (
            "a.csv",
            b"\xef\xbb\xbftext\n\xff\n",
            "{} : line 2 is not UTF-8 (byte 8 is 0xff); convert the file, "
            "for example: iconv -f LATIN1 -t UTF-8 OLD > NEW",
        ),
        (
            "a.jsonl",
            b'{"text": "x"}\n\n{"text": "y"\n',
            '{} : line 3 is not valid JSON (Expecting \',\' delimiter); write one object per line: {{"text": "y"',
        ),
        (
            "a.jsonl",
            b'{"text": 1' + b"0" * 5000 + b"}\n",
            "{} : line 1 is not valid JSON (Exceeds the limit (4300 digits) for integer string conversion: value has "
            "5001 digits; use sys.set_int_max_str_digits() to increase the limit); write one object per line: "
            '{{"text": 1' + "0" * 50 + "...",
        ),
        (
            "a.json",
            b'[\n{"text": "x"}\n]\n',
            "{} : line 1 begins a JSON array; write one object per line, for example: jq -c '.[]' {} > NEW.jsonl",
        ),
        ("a.jsonl", b'"text"\n', '{} : line 1 is not a JSON object such as {{"text": "..."}}: "text"'),
        ("a.jsonl", b'{"text": "x"}\n{"txt": "y", "n": 1}\n', "{} : line 2 has no column 'text'; its columns: txt, n"),
        (
            "a.jsonl",
            b'{"text": "x"}\n{"text": ["y"]}\n',
            "{} : line 2: column 'text' must hold text, not a list (join its parts into one text, or give each a row): "
            '{{"text": ["y"]}}',
        ),
        (
            "a.jsonl",
            b'{"text": "x \\ud83d y"}\n',
            "{} : line 1 holds half a character, \\ud83d without its pair; repair or drop the line",
        ),
        ("a.jsonl", b'{"n": 1}\n', "{} has no column of text; its columns: n"),
        (
            "a.jsonl",
            b'{"question": "q", "answer": "a", "n": 1}\n',
            "{} has several columns of text; name the one to read, one of: question, answer",
        ),
        (
            "a.csv",
            b"id,text\n1,a\n2,b,c\n",
            "{} : line 3 has 3 values, the header has 2; put quotes around a value that holds the separator",
        ),
        (
            "a.tsv",
            b"\n \nid\ttext\n1\ta\n\n \n2\n",
            "{} : line 7 has 1 values, the header has 2; put quotes around a value that holds the separator",
        ),
        (
            "a.csv",
            b'text\nx\n"never closed\n',
            "{} : line 3 is not a row of values (unexpected end of data); check its quotes",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path) == message.replace("{} :", "{}:").format(path, path)


def test_deeply_nested_json_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": ' + "[" * 200_000 + "\n")
    expected = f"{path}: line 1 is not valid JSON (nested too deep); write one object per line: "
    assert refusal(path) == expected + '{"text": ' + "[" * 51 + "..."


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_wrong_column_is_refused_with_the_columns_there_are(tmp_path, name):
    path = tmp_path / name
    WRITERS[path.suffix](path, ["x"])
    columns = {"a.jsonl": "id, text, label", "a.csv": "id, text", "a.parquet": "id, name, text"}[name]
    assert refusal(path, "txt") == f"{path} has no column 'txt'; its columns: {columns}"


def test_many_columns_are_not_all_listed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({f"c{i}": i for i in range(30)}) + "\n")
    assert refusal(path).endswith("c18, c19, and 10 more")


def test_a_column_of_plain_text_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    write_txt(path, ["x"])
    with pytest.raises(InputError) as caught:
        read_documents(path, "text")  # before anything is read
    assert str(caught.value) == f"column 'text' was given, but plain text has no columns ({path}); leave it out"
    write_jsonl(tmp_path / "b.jsonl", ["y"])
    assert texts_of(tmp_path, "text") == ["x", "y"]


def test_what_is_not_there_is_refused(tmp_path):
    assert refusal([]) == "no corpus was given; name at least one file, folder or glob"
    assert refusal(tmp_path / "no.txt") == f"{tmp_path}/no.txt does not exist; check the path"
    assert refusal(tmp_path) == f"folder {tmp_path} has no corpus file; looked for {FORMATS}"
    expected = f"no corpus file matches {tmp_path}/*.txt; allowed: {FORMATS}"
    assert refusal(str(tmp_path / "*.txt")) == expected
    assert refusal("/dev/null") == "/dev/null is not a file or folder; write its content to a file first"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_that_is_cut_short_is_refused(tmp_path, suffix):
    path = tmp_path / "a.txt"
    write_txt(path, [str(i * i) for i in range(100_000)])
    path = compress(path, suffix)
    path.write_bytes(path.read_bytes()[:-20])
    expected = f"{path} is cut short or damaged (Truncated compressed stream); copy or download it again"
    assert refusal(path) == expected


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 but then nothing of the kind")
    assert refusal(path).startswith(f"{path} is not a Parquet file, or is damaged: Parquet magic bytes not found")
    parquet.write_table(pyarrow.table({"n": [1], "text": ["x"]}), path)
    assert refusal(path, "n") == f"{path}: column 'n' must hold text, not int64; its text columns: text"


def test_a_text_about_a_protein_called_par1_is_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("PAR1 is a receptor.\n")
    assert texts_of(path) == ["PAR1 is a receptor."]


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_txt(path, ["x"])
    path.chmod(0)

    def refuse(self, *_):
        # for root the permission bits mean nothing
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(path) == f"{path} may not be read (permission denied); change its permissions"


def test_hashes_are_of_content_format_and_order(tmp_path):
    names = ["a.txt", "b.txt", "c.jsonl"]
    for name, text in zip(names, ("x\n", "y\n", "x\n"), strict=True):
        (tmp_path / name).write_text(text)
    a, b, c = (tmp_path / name for name in names)
    assert hash_sources([a, b]) != hash_sources([b, a])
    assert hash_sources(a) != hash_sources(c)
    before = hash_sources([a, b])
    renamed = a.rename(tmp_path / "z.txt")
    assert hash_sources([renamed, b]) == before
    renamed.write_text("x.\n")
    assert hash_sources([renamed, b]) != before
    record = describe_sources(b)
    assert record == [{"path": str(b), "bytes": 2, "sha256": record[0]["sha256"]}]
    assert record[0]["sha256"] == subprocess.run(["sha256sum", b], capture_output=True, text=True).stdout.split()[0]


MEMORY_PROBE = """
import re, sys
from diffmask.text.corpus.documents import read_documents
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
list(read_documents(sys.argv[1]))
before = peak()
num_chars = sum(len(document.text) for document in read_documents(sys.argv[2]))
print(num_chars, peak() - before)
"""


@pytest.mark.parametrize(
    "suffix", [".jsonl.gz", pytest.param(".csv", marks=SLOW), pytest.param(".parquet", marks=SLOW)]
)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_corpus(tmp_path, suffix):
    kind = "." + suffix.split(".")[1]
    small, large = tmp_path / f"small{kind}", tmp_path / f"large{kind}"
    WRITERS[kind](small, ["few words"])
    line = "some words that are all alike " * 40
    WRITERS[kind](large, [f"{i} {line}" for i in range(45_000)])
    if suffix.endswith(".gz"):
        small, large = compress(small, ".gz"), compress(large, ".gz")
    command = [sys.executable, "-c", MEMORY_PROBE, str(small), str(large)]
    root = Path(__file__).parents[3]
    num_chars, megabytes = map(float, re.split(r"\s", subprocess.check_output(command, text=True, cwd=root).strip()))
    assert num_chars > 50e6
    assert megabytes < 30


def test_known_columns_come_in_a_fixed_order():
    assert blocks.TEXT_COLUMNS[:2] == ("text", "content")


def test_a_data_set_in_memory_is_refused_with_how_to_write_it():
    import datasets

    rows = datasets.Dataset.from_dict({"text": ["a", "b"]})
    for source in (rows, [rows]):
        with pytest.raises(InputError, match="a datasets.Dataset is in memory; write it with its method save_to_disk"):
            list_files(source)
    with pytest.raises(InputError, match="a datasets.IterableDataset is in memory; write it with its method to_parq"):
        list_files(rows.to_iterable_dataset())
    with pytest.raises(InputError, match="not by a value of type dict; give their paths"):
        list_files([{"text": "a"}])
    with pytest.raises(InputError, match="not by a value of type NoneType; give their paths"):
        list_files(None)


def test_links_in_a_circle_end_and_files_of_other_formats_are_told_once(tmp_path, caplog):
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.txt").write_text(f"text of {name}\n")
        (tmp_path / name / "1").symlink_to(tmp_path / other)
        (tmp_path / name / "2").symlink_to(tmp_path / other)
    for name in ("paper.pdf", "b.PDF", "Makefile", ".draft.txt", ".hidden"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.txt")
    for _ in range(2):
        found = [str(path.relative_to(tmp_path)) for path in list_files(tmp_path)]
        assert found == ["a/1/text.txt", "a/text.txt"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(
        f"{tmp_path}: files that are no corpus are left out (2 .pdf, 1 .txt, 1 hidden, 1 without a suffix); looked for"
    )
    with pytest.raises(InputError, match="no corpus file matches"):
        list_files(f"{tmp_path}/pipe*")
