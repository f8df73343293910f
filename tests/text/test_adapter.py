import pytest
import torch
from support.tiny import tiny_rows, tiny_tokenizer

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.schedule import Constant
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import text_adapter


@pytest.mark.parametrize("granularity", ["word", "token"])
def test_units_equal_a_slow_reference(granularity):
    rows = tiny_rows()
    adapter = text_adapter(tiny_tokenizer(), granularity)
    units = adapter.units(adapter.pad(rows), 0)
    for row, given in enumerate(rows):
        eligible = torch.nonzero(units.eligible[row]).flatten().tolist()
        if granularity == "word":
            expected = dict(enumerate(given["types"]))
            members = {unit: [p for p, u in enumerate(given["unit_ids"]) if u == unit] for unit in expected}
        else:
            expected = {p: given["types"][word] for p, word in enumerate(given["unit_ids"]) if word >= 0}
            members = {unit: [unit] for unit in expected}
        assert {unit: int(units.types[row, unit]) for unit in eligible} == expected
        one = torch.zeros_like(units.eligible)
        for unit in eligible:
            one[row] = False
            one[row, unit] = True
            assert torch.nonzero(units.to_positions(one)[row]).flatten().tolist() == members[unit]
        assert {u: int(units.lengths[row, u]) for u in eligible} == {u: len(p) for u, p in members.items()}


@pytest.mark.parametrize("granularity", ["word", "token"])
def test_special_tokens_and_padding_are_never_masked(granularity):
    adapter = text_adapter(tiny_tokenizer(), granularity)
    batch = adapter.pad(tiny_rows())
    units = adapter.units(batch, 0)
    inputs = adapter.corrupt(batch, units, Masker(Uniform(), ratio=Constant(1.0))(units, 0, 1), 0)
    special = batch["input_ids"] < 5
    assert torch.equal(inputs["input_ids"][special], batch["input_ids"][special])
    assert torch.equal(inputs["labels"], batch["input_ids"].where(~special, -100))


def test_words_are_masked_whole():
    adapter = text_adapter(tiny_tokenizer())
    batch = adapter.pad(tiny_rows())
    units = adapter.units(batch, 0)
    labels = adapter.corrupt(batch, units, Masker(Uniform(), ratio=Constant(0.4))(units, 0, 1), 0)["labels"]
    for row in range(len(labels)):
        for word in range(int(batch["num_units"][row])):
            assert len({bool(label != -100) for label in labels[row, batch["unit_ids"][row] == word]}) == 1


def test_padding_reaches_a_multiple_of_eight():
    batch = text_adapter(tiny_tokenizer()).pad(tiny_rows(3))
    longest = max(len(row["input_ids"]) for row in tiny_rows(3))
    assert batch["input_ids"].shape == (3, -(-longest // 8) * 8)
    assert batch["attention_mask"].sum(1).tolist() == [len(row["input_ids"]) for row in tiny_rows(3)]
    assert (batch["input_ids"][batch["attention_mask"] == 0] == 0).all()


def test_unknown_units_are_refused():
    with pytest.raises(InputError, match="unknown units 'sentence'; choose from: word, token"):
        text_adapter(tiny_tokenizer(), "sentence")
