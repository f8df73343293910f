"""Counting n-grams: what follows what, the same counts in any division, files that add up, memory that stays flat."""

import gzip
import json
import random
from collections import Counter

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from diffmask.core.errors import InputError
from diffmask.text.corpus.counts import count_corpus
from diffmask.text.corpus.words import LETTER, PUNCT, SPACE, UNSPACED, char_classes
from diffmask.text.ngrams import counts as ngram_counts
from diffmask.text.ngrams.counts import NGramSettings, count_ngrams, count_texts
from diffmask.text.ngrams.ngrams import JOINERS, JoinedWords

TEXTS = [
    "In vitro, the beta-catenin of beta-catenin cells",
    "don't and/or don ' t; the p53 - mutant -- cells",
    "Größe ist GRÖSSE in vitro",
    "细胞 p53 细胞。细胞 in vitro",
    "one two three four five six seven",
    "?!",
    "ha ha ha ha",
]


def slow_ngrams(text, max_n):
    """Character by character: words, and what stands between them."""
    words, gaps, word, gap = [], [], "", ""
    for char, kind in zip(text + "\n", [*char_classes(text).tolist(), SPACE], strict=True):
        if word and (kind in (SPACE, PUNCT, UNSPACED) or char_classes(word)[-1] == UNSPACED and kind == LETTER):
            words.append(word.lower())
            word = ""
        if kind in (SPACE, PUNCT):
            gap += char
        else:
            if not word:
                gaps.append(gap)
                gap = ""
            word += char
    ngrams = [word for word in words if max_n >= 1]
    for n in range(2, max_n + 1):
        for first in range(len(words) - n + 1):
            between = ["".join(gap.split()) for gap in gaps[first + 1 : first + n]]
            if all(gap == "" or gap in list(JOINERS) for gap in between):
                ngrams.append(" ".join(words[first : first + n]))
    return ngrams


def slow_counts(texts, max_n=5):
    counts = Counter()
    for text in texts:
        counts.update(slow_ngrams(text, max_n))
    return counts


def counts_of(table):
    counts = dict(zip(table["ngram"].to_pylist(), table["count"].to_pylist(), strict=True))
    assert len(counts) == len(table), "an n-gram comes twice"
    return counts


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(TEXTS * 20) + "\n")
    with gzip.open(folder / "b.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": f"{text} {i}"}) + "\n" for i, text in enumerate(TEXTS * 20))
    return folder


ALL_TEXTS = TEXTS * 20 + [f"{text} {i}" for i, text in enumerate(TEXTS * 20)]


@pytest.mark.parametrize("max_n", [2, 3, 5])
def test_counts_of_texts_equal_a_slow_loop(max_n):
    assert counts_of(count_texts(TEXTS, max_n)) == slow_counts(TEXTS, max_n)
    noise = random.Random(0)
    texts = ["".join(noise.choices("ab  -'/,.细é\u2019\n", k=40)).strip() or "a" for _ in range(300)]
    assert counts_of(count_texts(texts, max_n)) == slow_counts(texts, max_n)


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("in vitro", True),
        ("in\n vitro", True),
        ("beta-catenin", True),
        ("beta\u2010catenin", True),
        ("dose\u2013response", True),
        ("p53 - mutant", True),
        ("don't", True),
        ("don\u2019t", True),
        ("manufacturer ' s", True),
        ("and/or", True),
        ("细胞", True),
        ("cells -- which", False),
        ("cells, which", False),
        ("cells. Which", False),
        ("cells (which", False),
        ('cells "which', False),
        ("cells' - which", False),
        ("cells \u2014 which", False),
        ("1.5", False),
    ],
)
def test_what_may_stand_between_two_words(text, joined):
    words = JoinedWords.find(text, char_classes(text), np.array([0]))
    assert words.joined.tolist() == [False, joined]


def test_ngrams_do_not_cross_texts():
    assert "b c" not in counts_of(count_texts(["a b", "c d"], 2))
    assert counts_of(count_texts(["a b\nc d"], 2))["b c"] == 1
    assert len(count_texts([], 2)) == len(count_texts(["...", "?"], 5)) == 0


def test_counts_of_a_corpus_equal_a_slow_loop_in_any_division(corpus, monkeypatch):
    expected = slow_counts(ALL_TEXTS)
    whole = count_ngrams(corpus, settings=NGramSettings(min_count=1))
    assert counts_of(whole.table) == expected
    lengths = [len(ngram.split()) for ngram in expected]
    assert whole.num_types == tuple(np.bincount(lengths)[1:].tolist())
    assert whole.totals == tuple(np.bincount(lengths, list(expected.values()))[1:].tolist())
    assert whole.num_documents == 280
    words = {ngram: count for ngram, count in expected.items() if " " not in ngram}
    assert words == count_corpus(corpus).counts
    monkeypatch.setattr(ngram_counts, "_BLOCK_BYTES", 300)
    monkeypatch.setattr(ngram_counts, "_PART_BYTES", 3000)
    monkeypatch.setattr("diffmask.files.streams._HEAD_BYTES", 10)
    pieces = count_ngrams(corpus, settings=NGramSettings(min_count=1))
    assert counts_of(pieces.table) == expected
    frequent = count_ngrams(corpus, settings=NGramSettings(min_count=30))
    assert counts_of(frequent.table) == {ngram: count for ngram, count in expected.items() if count >= 30}
    assert (frequent.totals, frequent.num_types) == (whole.totals, whole.num_types)


@pytest.mark.parametrize("part_bytes", [1 << 30, pytest.param(30_000, marks=pytest.mark.slow)])
def test_two_processes_count_the_same(corpus, tmp_path, monkeypatch, part_bytes):
    monkeypatch.setattr(ngram_counts, "_BLOCK_BYTES", 2000)
    monkeypatch.setattr(ngram_counts, "_PART_BYTES", part_bytes)
    for number in (1, 2):
        settings = NGramSettings(min_count=1, num_processes=number)
        counts = count_ngrams(corpus, settings=settings, save_to=tmp_path / f"{number}.parquet")
        assert counts_of(counts.table) == slow_counts(ALL_TEXTS)
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_counts_that_were_saved_add_up_to_those_of_all_together(corpus, tmp_path):
    saved = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    settings = NGramSettings(min_count=25)
    parts = [
        count_ngrams(corpus / name, settings=settings, save_to=path)
        for name, path in zip(("a.txt", "b.jsonl.gz"), saved, strict=True)
    ]
    assert counts_of(parquet.read_table(saved[0])) == slow_counts(TEXTS * 20), "rare n-grams are saved, too"
    assert counts_of(parts[0].table) == {ngram: n for ngram, n in slow_counts(TEXTS * 20).items() if n >= 25}
    whole = count_ngrams(corpus, settings=settings)
    for merged in (
        count_ngrams(counts_files=saved, settings=settings, scratch=tmp_path),
        count_ngrams(corpus / "b.jsonl.gz", saved[:1], settings, save_to=tmp_path / "ab.parquet"),
        count_ngrams(counts_files=[tmp_path / "ab.parquet"], settings=settings),
    ):
        assert counts_of(merged.table) == counts_of(whole.table)
        assert (merged.totals, merged.num_types, merged.num_documents) == (whole.totals, whole.num_types, 280)
        assert merged.sources == whole.sources
    shorter = NGramSettings(max_n=3, min_count=25)
    merged, whole = count_ngrams(counts_files=saved, settings=shorter), count_ngrams(corpus, settings=shorter)
    assert counts_of(merged.table) == counts_of(whole.table)
    assert (merged.totals, merged.num_types) == (whole.totals, whole.num_types)


def test_nothing_is_left_behind(corpus, tmp_path, monkeypatch):
    count_ngrams(corpus, save_to=tmp_path / "a.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "corpus"]

    def interrupt(part, **settings):
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".diffmask-ngrams-")]
        raise KeyboardInterrupt

    monkeypatch.setattr(ngram_counts, "_add_up", interrupt)
    before = (tmp_path / "a.parquet").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        count_ngrams(corpus, save_to=tmp_path / "a.parquet", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "corpus"]
    assert (tmp_path / "a.parquet").read_bytes() == before


def refusal(*args, **options):
    with pytest.raises(InputError) as caught:
        count_ngrams(*args, **options)
    return str(caught.value)


def test_what_cannot_be_counted_is_refused(corpus, tmp_path):
    (tmp_path / "blank.txt").write_text(" \n\n")
    with pytest.raises(InputError) as caught:
        count_corpus(tmp_path / "blank.txt")
    assert refusal(tmp_path / "blank.txt") == str(caught.value)
    assert refusal() == "no corpus was given; name at least one file, folder or glob"
    count_ngrams(corpus / "a.txt", settings=NGramSettings(max_n=2), save_to=tmp_path / "a.parquet")
    expected = f"{tmp_path}/a.parquet holds n-grams of up to 2 words, not 5; give --max-n 2"
    assert refusal(counts_files=[tmp_path / "a.parquet"]) == expected
    short = NGramSettings(max_n=2)
    same = f"{corpus}/a.txt and {corpus}/a.txt have the same content"
    expected = f"the counts to add up overlap: {same}; count each file once"
    assert refusal(corpus, [tmp_path / "a.parquet"], short) == expected
    assert refusal(counts_files=[tmp_path / "a.parquet"] * 2, settings=short) == expected
    exists = "exists; use --overwrite to replace it, or give another name with --save-counts"
    assert refusal(corpus, save_to=tmp_path / "a.parquet") == f"the output {tmp_path}/a.parquet {exists}"
    make = "make one with: diffmask pmi DATA -o FOLDER --save-counts"
    expected = f"{tmp_path}/no.parquet does not exist; {make} {tmp_path}/no.parquet"
    assert refusal(counts_files=[tmp_path / "no.parquet"]) == expected
    count_corpus(corpus).save(tmp_path / "words.parquet")
    (tmp_path / "text.parquet").write_text("text")
    for name in ("words.parquet", "text.parquet"):
        expected = f"{tmp_path}/{name} is not a file of n-gram counts; {make} {tmp_path}/{name}"
        assert refusal(counts_files=[tmp_path / name]) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_n": 1}, "max_n=1 is outside [2, 5]; n-grams have two to 5 words"),
        ({"max_n": 6}, "max_n=6 is outside [2, 5]; n-grams have two to 5 words"),
        ({"min_count": 0}, "min_count=0 must be at least 1; 1 keeps every n-gram, 11 is the paper's"),
        ({"num_processes": 0}, "num_processes=0 must be at least 1; 1 counts without other processes"),
    ],
)
def test_settings_out_of_range_are_refused(values, message):
    with pytest.raises(InputError) as caught:
        NGramSettings(**values)
    assert str(caught.value) == message


def test_the_counts_file_is_a_plain_table(corpus, tmp_path):
    count_ngrams(corpus, save_to=tmp_path / "a.parquet")
    schema = parquet.read_schema(tmp_path / "a.parquet").remove_metadata()
    assert schema == pyarrow.schema([("ngram", pyarrow.string()), ("count", pyarrow.int64())])


def test_what_nobody_sees_stands_between_no_words():
    text = "beta\u00ad-\u200bcatenin be\u00adta \u200e- catenin"
    found = JoinedWords.find(text, char_classes(text), np.array([0]))
    assert found.types == ["beta", "catenin"] * 2
    assert found.joined.tolist() == [False, True, True, True]
