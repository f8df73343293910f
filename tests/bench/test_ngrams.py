"""The race of counting n-grams: who takes part, and that we keep our promise."""

import os
from pathlib import Path

import pytest

from diffmask.bench.ngrams import CUTTING, OURS, PEER, run

REPO = Path(__file__).parents[2]
DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data"))


@pytest.mark.slow
def test_all_take_part_and_the_ratio_is_of_their_speeds(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("some words, to count\n" * 20_000)
    rows = run(path)
    assert [row["name"] for row in rows] == [PEER, OURS, CUTTING]
    assert rows[0]["ratio"] == 1
    for row in rows:
        assert row["ratio"] == pytest.approx(row["words_per_second"] / rows[0]["words_per_second"])
        assert row["words_per_second"] * row["seconds"] == pytest.approx(80_000)


@pytest.mark.slow
def test_ngrams_are_counted_faster_in_less_memory_and_found_fast():
    path = DATA / "text" / "domain" / "chem_sentences.txt.gz"
    if not path.exists():
        pytest.skip("the shared data are not here")
    peer, ours, cutting = run(path)
    assert ours["ratio"] > 2
    assert cutting["words_per_second"] > 200_000
    if peer["peak_mb"] is not None:
        assert ours["peak_mb"] < peer["peak_mb"]
