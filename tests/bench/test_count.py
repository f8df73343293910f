"""The race of counting: who takes part, and that we keep our promise."""

import os
from pathlib import Path

import pytest

from diffmask.bench.count import OURS, OURS_WITH_READING, PEER, run

REPO = Path(__file__).parents[2]
DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data"))


@pytest.mark.slow
def test_all_take_part_and_the_ratio_is_of_their_speeds(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("some words to count\n" * 20_000)
    rows = run(path, num_repeats=1)
    assert [row["name"] for row in rows] == [PEER, OURS, OURS_WITH_READING]
    assert rows[0]["ratio"] == 1
    for row in rows:
        assert row["ratio"] == pytest.approx(row["mb_per_second"] / rows[0]["mb_per_second"])
        assert row["mb_per_second"] * row["seconds"] == pytest.approx(0.38)


@pytest.mark.slow
def test_counting_is_twice_as_fast_as_scikit_learn_and_needs_less_memory():
    path = DATA / "text" / "domain" / "bio_sentences.txt.gz"
    if not path.exists():
        pytest.skip("the shared data are not here")
    peer, ours, with_reading = run(path)
    assert ours["ratio"] > 2
    assert with_reading["ratio"] > 2
    if peer["peak_mb"] is not None:
        assert with_reading["peak_mb"] < peer["peak_mb"]
