"""A corpus becomes rows once: nothing is lost, the result depends on its content only, and a cache is not trusted."""

import gzip
import json
import logging
import resource
import time

import numpy as np
import pytest
from support.families import FAMILIES, broken_tokenizer, tokenizer_of

from diffmask.core.errors import InputError
from diffmask.text.corpus.words import split_words
from diffmask.text.segment import rows
from diffmask.text.segment import tokenise as dataset
from diffmask.text.segment.segmenter import segmenter_for
from diffmask.text.segment.tokenise import TokeniseSettings, tokenise

LINES = [
    "The p53 kinase doesn't phosphorylate mutated cells (in vitro).",
    "细胞 grow with the protein 激酶 👍🏽, and " + "the cells of the kinase inhibitors, " * 12 + "end.",
    "Short.",
    "phosphorylation " * 30,
]
TYPES = ["the", "cells", "kinase", "细"]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES * 20), encoding="utf-8")
    return path


def rows_of(sources, family, types, cache, **settings):
    return tokenise(sources, tokenizer_of(family), TokeniseSettings(**settings), types, cache)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in ("GPT-NeoX", "T5")])
@pytest.mark.parametrize("overlap", [0, 5])
def test_every_token_of_the_text_is_in_a_row_of_its_family(corpus, tmp_path, family, overlap):
    tokenizer = tokenizer_of(family)
    found = rows_of(corpus, family, TYPES, tmp_path / "cache", max_length=24, overlap=overlap)
    documents = [tokenizer(line.strip(), add_special_tokens=False)["input_ids"] for line in LINES * 20]
    before, after = tokenizer("a")["input_ids"][:1], tokenizer("a")["input_ids"][-1:]
    tokens = []
    for row in found:
        assert len(row["input_ids"]) <= 24
        assert (row["input_ids"][:1], row["input_ids"][-1:]) == (before, after)
        assert (row["unit_ids"][0], row["unit_ids"][-1]) == (-1, -1)
        tokens.append(row["input_ids"][1:-1])
    if overlap == 0:
        assert sum(tokens, []) == sum(documents, [])
    else:
        assert sum(map(len, tokens)) > sum(map(len, documents))
    assert found["sample_id"][:] == list(range(len(found)))


def test_units_and_types_of_rows_are_the_words_of_their_text(corpus, tmp_path):
    tokenizer = tokenizer_of("BERT")
    found = rows_of(corpus, "BERT", TYPES, tmp_path / "cache", max_length=16)
    words = []
    for row in found:
        units, num_units = row["unit_ids"][1:-1], row["num_units"]
        assert sorted(set(units) - {-1}) == list(range(num_units))
        assert len(row["types"]) == num_units
        for unit, type_row in enumerate(row["types"]):
            pieces = [t for t, u in zip(row["input_ids"][1:-1], units, strict=True) if u == unit]
            word = tokenizer.decode(pieces).replace(" ", "")
            words.append(word)
            assert type_row == (TYPES.index(word) if word in TYPES else -1)
    spoken = [word for word in words if any(char.isalnum() for char in word)]
    assert spoken == [word for line in LINES * 20 for word in split_words(line)]


def test_windows_do_not_cut_words_that_fit(corpus, tmp_path):
    found = rows_of(corpus, "XLM-R", None, tmp_path / "cache", max_length=24)
    whole = segmenter_for(tokenizer_of("XLM-R"))([line.strip() for line in LINES * 20])
    assert sum(found["num_units"]) == len(whole.words)
    assert "cut" not in found.info.description


def test_a_word_longer_than_a_window_is_cut_and_counted(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("The cells grow.\nThe DNA " + "ACGT" * 50 + "\nThe cells grow.\n", encoding="utf-8")
    found = rows_of(path, "RoBERTa", ["acgt" * 50], tmp_path / "cache", max_length=10)
    assert "1 words longer than a window cut" in found.info.description
    assert sum(0 in types for types in found["types"]) > 5  # each part of the word keeps its type


def test_without_types_all_are_unknown(corpus, tmp_path):
    for types in (None, []):
        found = rows_of(corpus, "BERT", types, tmp_path / "cache")
        assert {row for types in found["types"] for row in types} == {-1}


def test_token_units_are_single_tokens(corpus, tmp_path):
    found = rows_of(corpus, "BERT", TYPES, tmp_path / "cache", units="token")
    for row in found:
        assert [u for u in row["unit_ids"] if u >= 0] == list(range(row["num_units"]))


def test_any_number_of_processes_makes_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "_BLOCK_BYTES", 2000)
    path = tmp_path / "corpus.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for number in range(300):
            file.write(json.dumps({"text": f"{LINES[number % 4]} {number}"}) + "\n")
    caches = [tmp_path / name for name in ("one", "two")]
    for cache, num_processes in zip(caches, (1, 2), strict=True):
        rows_of(path, "RoBERTa", TYPES, cache, max_length=32, num_processes=num_processes)
    one, two = (next(cache.glob("*.arrow")) for cache in caches)
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def test_the_batches_that_texts_are_segmented_in_change_nothing(corpus, tmp_path, monkeypatch):
    one = rows_of(corpus, "XLM-R", TYPES, tmp_path / "a", max_length=24, overlap=4)
    monkeypatch.setattr(rows, "_BATCH_CHARS", 100)
    other = rows_of(corpus, "XLM-R", TYPES, tmp_path / "b", max_length=24, overlap=4)
    assert one[:] == other[:]
    assert one.info.description == other.info.description


def test_a_second_run_finds_the_rows_and_a_change_makes_them_anew(corpus, tmp_path, caplog):
    cache = tmp_path / "cache"
    first = rows_of(corpus, "BERT", TYPES, cache, max_length=24)
    (arrow,) = cache.glob("*.arrow")
    written = arrow.stat().st_mtime_ns
    copy = tmp_path / "copy.txt"
    copy.write_bytes(corpus.read_bytes())
    with caplog.at_level(logging.INFO):
        again = rows_of(copy, "BERT", TYPES, cache, max_length=24, num_processes=2)
    assert f"found {arrow}" in caplog.text
    assert again[:] == first[:]
    assert again.info.description == first.info.description
    assert arrow.stat().st_mtime_ns == written
    copy.write_text("other text", encoding="utf-8")
    changed = [
        rows_of(copy, "BERT", TYPES, cache, max_length=24),
        rows_of(corpus, "BERT, cased", TYPES, cache, max_length=24),
        rows_of(corpus, "BERT", TYPES[:2], cache, max_length=24),
        rows_of(corpus, "BERT", None, cache, max_length=24),
        rows_of(corpus, "BERT", [], cache, max_length=24),
        rows_of(corpus, "BERT", TYPES, cache, max_length=25),
        rows_of(corpus, "BERT", TYPES, cache, max_length=24, overlap=2),
        rows_of(corpus, "BERT", TYPES, cache, max_length=24, units="token"),
    ]
    assert len(list(cache.glob("*.arrow"))) == len(changed) + 1
    assert len(list(cache.iterdir())) == 3 * (len(changed) + 1)  # rows, record, lock


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_length": 513},
            "max_length=513 is more than the 512 tokens that this tokenizer's model reads; "
            "give at most 512, longer documents become several windows",
        ),
        ({"max_length": 2}, "max_length=2 leaves no room for text beside 2 special tokens; give at least 3"),
        (
            {"max_length": 10, "overlap": 8},
            "overlap=8 is outside [0, 7], what max_length=10 and 2 special tokens allow; give a smaller overlap",
        ),
        (
            {"max_length": 10, "overlap": -1},
            "overlap=-1 is outside [0, 7], what max_length=10 and 2 special tokens allow; give a smaller overlap",
        ),
        ({"num_processes": 0}, "num_processes=0 must be at least 1; 1 works without other processes"),
        ({"units": "span"}, "unknown units 'span'; choose from: word, token"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(corpus, tmp_path, settings, message):
    with pytest.raises(InputError) as error:
        rows_of(corpus, "BERT", None, tmp_path / "cache", **settings)
    assert str(error.value) == message


def test_a_tokenizer_without_mask_token_is_refused(corpus, tmp_path):
    with pytest.raises(InputError) as error:
        rows_of(corpus, "T5", None, tmp_path / "cache")
    assert str(error.value) == (
        "the tokenizer 'T5Tokenizer' has no mask token; "
        "use the tokenizer of a masked language model (BERT, RoBERTa, DeBERTa, ModernBERT, ...)"
    )


def test_a_corpus_without_a_known_token_is_refused(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("ꙮꙮ ꙮ\nꙮ\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        rows_of(path, "BERT", None, tmp_path / "cache")
    assert str(error.value) == (
        "the corpus has 2 documents and 3 tokens, but none that the tokenizer knows; "
        "give other text or a tokenizer of its language"
    )
    assert not list((tmp_path / "cache").glob("*.arrow"))


def test_windows_without_a_known_token_are_left_out_and_counted(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("The cells grow.\nꙮ\nThe cells grow.\n", encoding="utf-8")
    found = rows_of(path, "BERT", None, tmp_path / "cache")
    assert len(found) == 2
    assert "1 windows without a known token left out; 1 unknown or special tokens" in found.info.description


def test_a_collapsed_grouping_is_refused_with_what_to_do(corpus, tmp_path):
    tokenizer = broken_tokenizer()
    with pytest.raises(InputError) as error:
        tokenise(corpus, tokenizer, TokeniseSettings(max_length=32), None, tmp_path / "cache")
    assert str(error.value) == (
        "units=word finds 80 units in 640 tokens, because the tokens of 60 of 80 documents do not fall into words; "
        "use masking.policy=random-token, or another with masking.units=token, and masking.eval_units=token"
    )
    tokenise(corpus, tokenizer, TokeniseSettings(max_length=32, units="token"), None, tmp_path / "cache")


def test_one_genome_in_a_corpus_is_no_collapse_but_a_corpus_of_them_is(tmp_path):
    genome = "".join(np.random.default_rng(0).choice(list("ACGT"), 3000))
    path = tmp_path / "corpus.txt"
    path.write_text(f"The cells grow.\n{genome}\nThe cells grow.\n", encoding="utf-8")
    assert len(rows_of(path, "RoBERTa", None, tmp_path / "cache")) > 3
    path.write_text(f"{genome}\n{genome[::-1]}\nThe cells grow.\n", encoding="utf-8")
    message = r"the tokens of 2 of 3 documents do not fall into words; use masking.policy=random-token"
    with pytest.raises(InputError, match=message):
        rows_of(path, "RoBERTa", None, tmp_path / "cache")


def test_a_source_with_blank_lines_only_is_refused(corpus, tmp_path):
    blank = tmp_path / "blank.txt"
    blank.write_text(" \n\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"blank.txt contains no text"):
        rows_of([corpus, blank], "BERT", None, tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["BERT", "RoBERTa", "DeBERTa-v2"])
@pytest.mark.parametrize("separator", [" ", ""])
def test_a_line_of_ten_megabytes_is_read_in_bounded_time(tmp_path, family, separator):
    path = tmp_path / "corpus.txt"
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < 10_000_000:
            file.write(separator.join(["The", "cells", "grow", "in", "vitro"]) + separator)
        file.write("\nThe end.\nThe end.\n")
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = rows_of(path, family, None, tmp_path / "cache")
    assert time.process_time() - started < 120
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # KiB
    assert len(found) > (10_000 if separator else 1)
