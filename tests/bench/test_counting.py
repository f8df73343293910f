"""The race of counting words and n-grams: who takes part, and that we keep our promises."""

import os
from pathlib import Path

import pytest

from diffmask.bench.counting import NGRAMS, WORDS, run_ngrams, run_words

REPO = Path(__file__).parents[2]
DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data")) / "text" / "domain"


def shared(name):
    if not (DATA / name).exists():
        pytest.skip("the shared data are not here")
    return DATA / name


@pytest.mark.slow
def test_all_count_words_and_the_ratio_is_of_their_speeds(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("some words to count\n" * 20_000)
    rows = run_words(path, num_repeats=1)
    assert [row["name"] for row in rows] == list(WORDS)
    assert rows[0]["ratio"] == 1
    for row in rows:
        assert row["ratio"] == pytest.approx(row["mb_per_second"] / rows[0]["mb_per_second"])
        assert row["mb_per_second"] * row["seconds"] == pytest.approx(0.38)


@pytest.mark.slow
def test_all_count_ngrams_and_the_ratio_is_of_their_speeds(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("some words, to count\n" * 20_000)
    rows = run_ngrams(path)
    assert [row["name"] for row in rows] == list(NGRAMS)
    assert rows[0]["ratio"] == 1
    for row in rows:
        assert row["ratio"] == pytest.approx(row["words_per_second"] / rows[0]["words_per_second"])
        assert row["words_per_second"] * row["seconds"] == pytest.approx(80_000)


@pytest.mark.slow
def test_counting_is_twice_as_fast_as_scikit_learn_and_needs_less_memory():
    peer, ours, with_reading = run_words(shared("bio_sentences.txt.gz"))
    assert ours["ratio"] > 2
    assert with_reading["ratio"] > 2
    if peer["peak_mb"] is not None:
        assert with_reading["peak_mb"] < peer["peak_mb"]


@pytest.mark.slow
def test_ngrams_are_counted_faster_in_less_memory_and_found_fast():
    peer, ours, finding = run_ngrams(shared("chem_sentences.txt.gz"))
    assert ours["ratio"] > 2
    assert finding["words_per_second"] > 200_000
    if peer["peak_mb"] is not None:
        assert ours["peak_mb"] < peer["peak_mb"]
