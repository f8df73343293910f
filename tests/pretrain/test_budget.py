import datasets
import numpy as np
import pytest

from diffmask.pretrain import text
from diffmask.pretrain.budget import Budget


def test_tokens_of_rows_are_counted_as_a_loop_counts_them(monkeypatch):
    monkeypatch.setattr(text, "_ROWS_AT_A_TIME", 7)
    generator = np.random.default_rng(0)
    lists = [generator.integers(-1, 3, size=generator.integers(0, 9)).tolist() for _ in range(60)]
    rows = datasets.Dataset.from_dict({"unit_ids": lists})
    for chosen in (range(60), range(5, 40), [3, 1, 59, 20, 20, 0]):
        slow = [sum(unit >= 0 for unit in lists[index]) for index in chosen]
        assert text._maskable_lengths(rows.select(chosen)).tolist() == slow


def test_masked_tokens_are_those_of_every_row_and_step():
    generator = np.random.default_rng(1)
    lengths, ratios = generator.integers(0, 40, size=50), generator.random(30) * 0.3
    slow = np.mean([[max(ratio * length, 1) if length else 0 for length in lengths] for ratio in ratios])
    assert Budget(30, 4, lengths, False).masked_per_step(ratios.tolist()) == pytest.approx(4 * slow)
    assert Budget(30, 4, lengths, False).tokens_per_step == pytest.approx(4 * lengths.mean())
