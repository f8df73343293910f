import numpy as np
import pytest
import torch
from support.tiny import tiny_rows, tiny_tokenizer

from diffmask.core.masker import Masker
from diffmask.core.noise import SEGMENT, keys, uniforms
from diffmask.core.schedule import Constant
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import _GEOMETRIC_P, _LONGEST_SPAN, _join_words, _random_starts, text_adapter


def words(num_rows=24):
    adapter = text_adapter(tiny_tokenizer())
    return adapter.units(adapter.pad(tiny_rows(num_rows)), 0)


def long_rows(num_rows=64, num_words=200):
    rows = [
        {"input_ids": [5] * num_words, "unit_ids": list(range(num_words)), "types": [0] * num_words, "sample_id": row}
        for row in range(num_rows)
    ]
    return text_adapter(tiny_tokenizer(), "span", seed=3).pad(rows)


def test_groups_equal_a_slow_reference():
    given = words()
    starts = torch.rand(given.eligible.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    spans = _join_words(given, starts)
    for row in range(len(given.eligible)):
        expected, number = [], -1
        for word in range(int(given.eligible[row].sum())):
            number += bool(starts[row, word]) or word == 0
            expected.append(number)
        padding = given.eligible.shape[1] - len(expected)
        assert spans.part_units[row].tolist() == expected + [-1] * padding
        assert spans.eligible[row].tolist() == [unit <= number for unit in range(len(spans.eligible[row]))]
        of_position = [expected[word] if word >= 0 else -1 for word in given.unit_ids[row].tolist()]
        assert spans.unit_ids[row].tolist() == of_position
    assert torch.equal(spans.lengths.sum(1), given.lengths.sum(1))
    masked = torch.rand(spans.eligible.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    assert torch.equal(spans.to_positions(masked), given.to_positions(spans.to_smallest(masked)))


def test_lengths_of_random_spans_equal_a_slow_reference():
    given = words()
    found = _random_starts(given, seed=7, step=2, ratio=0.3)
    weights = [_GEOMETRIC_P * (1 - _GEOMETRIC_P) ** (length - 1) for length in range(1, _LONGEST_SPAN + 1)]
    bounds = np.cumsum(weights) / sum(weights)
    num_words = given.eligible.shape[1]
    for row, sample in enumerate(given.sample_ids):
        noise = uniforms(keys(7, 2, sample[None], stream=SEGMENT), torch.arange(num_words)).tolist()
        expected, place = [False] * num_words, 0
        for u in noise:
            if place < num_words:
                expected[place] = True
            place += min(1 + sum(u > bound for bound in bounds[:-1]), max(1, int(0.3 * int(given.eligible[row].sum()))))
        assert found[row].tolist() == expected


def test_masked_spans_have_the_lengths_of_spanbert():
    adapter, batch = text_adapter(tiny_tokenizer(), "span", seed=3), long_rows()
    lengths, shares = [], []
    for step in range(40):
        units = adapter.units(batch, step, 0.15)
        masked = Masker(Uniform(), ratio=Constant(0.15))(units, step, 40)
        inner = masked.clone()
        inner.scatter_(1, (units.eligible.sum(1, keepdim=True) - 1), False)  # the last span is cut off by the row's end
        lengths.append(units.lengths[inner])
        shares.append(units.to_positions(masked).double().mean(0))
    found = torch.cat(lengths)
    expected = torch.tensor([(1 - _GEOMETRIC_P) ** n for n in range(_LONGEST_SPAN)])
    expected /= expected.sum()
    counts = torch.bincount(found.long(), minlength=_LONGEST_SPAN + 1)[1:] / len(found)
    assert torch.allclose(counts, expected, atol=4 * (0.25 / len(found)) ** 0.5 + 0.01)
    assert float(found.mean()) == pytest.approx(3.8, abs=0.15)
    every = torch.stack(shares).mean(0)
    assert float(every.mean()) == pytest.approx(0.15, abs=2e-3)
    assert float(every.min()) > 0.11 and float(every.max()) < 0.19  # no place of a row is preferred


def test_spans_change_with_the_step_and_with_nothing_else():
    adapter = text_adapter(tiny_tokenizer(), "span", seed=3)
    batch = adapter.pad(tiny_rows(8))
    assert torch.equal(adapter.units(batch, 1).unit_ids, adapter.units(batch, 1).unit_ids)
    assert not torch.equal(adapter.units(batch, 1).unit_ids, adapter.units(batch, 2).unit_ids)
    alone = adapter.units(adapter.pad(tiny_rows(8)[3:4]), 1)
    length = alone.unit_ids.shape[1]
    assert torch.equal(alone.unit_ids[0], adapter.units(batch, 1).unit_ids[3, :length])


def test_groups_of_the_column_starts_are_masked_whole():
    rows = tiny_rows(12)
    for row in rows:
        row["starts"] = [int(place % 3 == 0) for place in range(len(row["types"]))]
    adapter = text_adapter(tiny_tokenizer(), "group")
    batch = adapter.pad(rows)
    units = adapter.units(batch, 0)
    masked = units.to_positions(Masker(Uniform(), ratio=Constant(0.5))(units, 0, 1))
    for row, given in enumerate(rows):
        for group in range(-(-len(given["types"]) // 3)):
            inside = [place for place, word in enumerate(given["unit_ids"]) if word >= 0 and word // 3 == group]
            assert len({bool(masked[row, place]) for place in inside}) == 1


@pytest.mark.parametrize("ratio", [0.05, 0.15, 0.3])
def test_short_rows_keep_their_ratio(ratio):
    adapter, batch = text_adapter(tiny_tokenizer(), "span", seed=3), long_rows(200, 24)
    shares = []
    for step in range(40):
        units = adapter.units(batch, step, ratio)
        assert int(units.lengths.max()) <= max(1, int(24 * ratio))
        masked = units.to_positions(Masker(Uniform(), ratio=Constant(ratio))(units, step, 40))
        shares.append(float(masked.double().mean()))
    assert sum(shares) / 40 == pytest.approx(ratio, abs=3e-3)
