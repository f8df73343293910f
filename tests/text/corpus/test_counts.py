"""Counting by map-reduce: the same counts in any division, merged by addition, kept in a file."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from diffmask.core.errors import InputError
from diffmask.text.corpus import counts as count
from diffmask.text.corpus.counts import Counts, check_output, count_corpus
from diffmask.text.corpus.documents import read_blocks
from diffmask.text.corpus.words import split_words

REPO = Path(__file__).parents[3]
DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data"))
TEXTS = ["The kinase binds the ligand.", "Größe ist GRÖSSE", "细胞 p53", "don't 3.14 the"]


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(TEXTS * 50) + "\n")
    with gzip.open(folder / "b.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": f"{text} {i}"}) + "\n" for i, text in enumerate(TEXTS * 50))
    return folder


def slow_counts():
    counts = Counter()
    for i, text in enumerate(TEXTS * 50):
        counts.update(split_words(text))
        counts.update(split_words(f"{text} {i}"))
    return counts


def test_counts_equal_a_slow_loop_for_any_block_size_and_number_of_processes(corpus, monkeypatch):
    expected = slow_counts()
    whole = count_corpus(corpus)
    assert whole.counts == expected
    assert (whole.num_documents, whole.num_words) == (400, expected.total())
    monkeypatch.setattr(count, "_BLOCK_BYTES", 200)
    monkeypatch.setattr(count, "_SENT_BLOCK_BYTES", 300)
    monkeypatch.setattr("diffmask.files.streams._HEAD_BYTES", 10)
    assert count_corpus(corpus) == whole
    assert count_corpus(corpus, num_processes=2) == whole


def test_shards_add_up_to_the_whole(corpus):
    parts = [count_corpus(corpus / name) for name in ("a.txt", "b.jsonl.gz")]
    merged = Counts.merge(parts)
    assert merged == count_corpus(corpus)
    assert [Path(source["path"]).name for source in merged.sources] == ["a.txt", "b.jsonl.gz"]
    assert parts[0] == count_corpus(corpus / "a.txt"), "merging changed its inputs"
    assert Counts.merge([]) == Counts(Counter(), 0)


def test_counts_are_saved_in_order_of_frequency_and_read_again(tmp_path, corpus):
    counts, path = count_corpus(corpus), tmp_path / "counts.parquet"
    counts.save(path)
    assert Counts.load(path) == counts
    assert Counts.are_in(path)
    rows = parquet.read_table(path).to_pylist()
    assert rows[0] == {"type": "the", "count": counts.counts["the"]}
    assert rows == sorted(rows, key=lambda row: (-row["count"], row["type"]))
    assert sorted(child.name for child in tmp_path.iterdir()) == ["corpus", "counts.parquet"]


def test_the_same_counts_are_the_same_file(tmp_path):
    first = Counts(Counter({"b": 1, "a": 1, "c": 2}), 1)
    second = Counts(Counter({"c": 2, "a": 1, "b": 1}), 1)
    first.save(tmp_path / "1.parquet")
    second.save(tmp_path / "2.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_a_file_that_exists_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "counts.parquet"
    Counts(Counter({"old": 1}), 1).save(path)
    new = Counts(Counter({"new": 2}), 1)
    with pytest.raises(InputError) as caught:
        new.save(path)
    assert str(caught.value) == f"the output {path} exists; use --overwrite to replace it, or give another name with -o"
    assert Counts.load(path).counts == {"old": 1}
    new.save(path, overwrite=True)
    assert Counts.load(path).counts == {"new": 2}


def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "counts.parquet"
    Counts(Counter({"old": 1}), 1).save(path)

    def write_half(_table, where):
        Path(where).write_bytes(b"PAR1 half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write_table", write_half)
    with pytest.raises(InputError, match="could not be written .No space left"):
        Counts(Counter({"new": 2}), 1).save(path, overwrite=True)
    assert Counts.load(path).counts == {"old": 1}
    assert [child.name for child in tmp_path.iterdir()] == ["counts.parquet"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("counts.csv", "the output {} is no file of counts; give a name that ends with .parquet"),
        ("no/counts.parquet", "the folder {.parent} of the output does not exist; create it first"),
    ],
)
def test_an_output_that_cannot_be_is_refused(tmp_path, name, message):
    path = tmp_path / name
    with pytest.raises(InputError) as caught:
        check_output(path)
    assert str(caught.value) == message.format(path)


def test_what_is_not_a_counts_file_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    with pytest.raises(InputError) as caught:
        Counts.load(path)
    assert str(caught.value) == f"{path} does not exist; make a counts file with: diffmask count DATA -o {path}"
    parquet.write_table(pyarrow.table({"text": ["x"]}), path)
    expected = f"{path} is not a counts file; make one with: diffmask count DATA -o COUNTS.parquet"
    for content in (path.read_bytes(), b"not Parquet at all"):
        path.write_bytes(content)
        assert not Counts.are_in(path)
        with pytest.raises(InputError) as caught:
            Counts.load(path)
        assert str(caught.value) == expected
    assert not Counts.are_in(tmp_path)


def test_counting_a_file_twice_is_refused(corpus):
    path = corpus / "a.txt"
    once = count_corpus(path)
    copy = corpus / "copy.txt"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(InputError) as caught:
        Counts.merge([once, count_corpus(copy)])
    same = f"{path} and {copy} have the same content"
    assert str(caught.value) == f"the counts to add up overlap: {same}; count each file once"


def test_no_process_is_refused(corpus):
    with pytest.raises(InputError) as caught:
        count_corpus(corpus, num_processes=0)
    assert str(caught.value) == "num_processes=0 is below 1; 1 counts without other processes"


@pytest.mark.parametrize("num_processes", [1, 2])
def test_bad_input_is_refused_wherever_it_is_parsed(tmp_path, num_processes):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x"}\n{"text": \n')
    with pytest.raises(InputError) as caught:
        count_corpus(path, num_processes=num_processes)
    expected = f"{path}: line 2 is not valid JSON (Expecting value); write one object per line: "
    assert str(caught.value) == expected + '{"text":'


def test_a_file_without_text_and_a_column_of_plain_text_are_refused(corpus):
    with pytest.raises(InputError, match="column 'body' was given, but plain text has no columns"):
        count_corpus(corpus / "a.txt", "body")
    (corpus / "z.txt").write_text("\n\n")
    with pytest.raises(InputError, match=re.escape(f"{corpus}/z.txt contains no text")):
        count_corpus(corpus)


def test_blocks_wait_for_the_workers(corpus, monkeypatch):
    monkeypatch.setattr("diffmask.files.streams._HEAD_BYTES", 10)
    taken, done = 0, 0
    blocks = list(read_blocks(corpus / "b.jsonl.gz", None, 100))

    def counted():
        nonlocal taken
        for block in blocks:
            taken += 1
            assert taken - done <= 2 * 2 + 1
            yield block

    for _ in count._count_all(counted(), Counter(), 2):
        done += 1
    assert done == len(blocks) > 20


def test_counts_agree_with_scikit_learn_where_the_definitions_agree():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    vectorizer = text.CountVectorizer(token_pattern=r"[^\W_]+")
    documents = ["The p53, IL-2 and naïve café's", "snake_case 3.14 don't", "ΑΛΦΑ Straße ÉTÉ"]
    totals = vectorizer.fit_transform(documents).sum(axis=0).A1
    found = {word: int(totals[i]) for word, i in vectorizer.vocabulary_.items()}
    assert count.count_words(documents) == found


@pytest.mark.slow
def test_counts_of_real_text_agree_with_scikit_learn():
    path = DATA / "text" / "domain" / "bio_sentences.txt.gz"
    if not path.exists():
        pytest.skip("the shared data are not here")
    text = pytest.importorskip("sklearn.feature_extraction.text")
    vectorizer = text.CountVectorizer(token_pattern=r"[^\W_]+")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        totals = vectorizer.fit_transform(lines).sum(axis=0).A1
    found = {word: int(totals[i]) for word, i in vectorizer.vocabulary_.items()}
    counts = count_corpus(path)
    assert counts.counts == found
    assert counts.num_documents == 150_883


MEMORY_PROBE = """
import re, sys
from diffmask.text.corpus.counts import count_corpus
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
count_corpus(sys.argv[1])
before = peak()
print(count_corpus(sys.argv[2]).num_words, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    line = "some words of a vocabulary that does not grow\n"
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_text(line * 200_000)
    large.write_text(line * 800_000)
    command = [sys.executable, "-c", MEMORY_PROBE, str(small), str(large)]
    num_words, megabytes = map(float, subprocess.check_output(command, text=True, cwd=REPO).split())
    assert num_words == 9 * 800_000
    assert megabytes < 8, "36 MB of text were counted after 9 MB"


def test_counts_of_an_earlier_rule_are_added_up_by_type(tmp_path):
    path = tmp_path / "counts.parquet"
    Counts(Counter({"because": 3, "be\u00adcause": 2, "cafe\u0301": 1}), 1).save(path)
    table = parquet.read_table(path)
    record = json.loads(table.schema.metadata[b"diffmask.counts"])
    del record["words"]
    parquet.write_table(table.replace_schema_metadata({b"diffmask.counts": json.dumps(record)}), path)
    counts = Counts.load(path)
    assert counts.counts == {"because": 5, "café": 1}
    assert counts.num_words == 6
