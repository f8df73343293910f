"""What every way of cutting a text and the corrupter promise, whatever is masked."""

import pytest
import torch
from support.domain import SENTENCES, domain_anchors
from support.tiny import tiny_tokenizer

from diffmask.assemble.text import GRANULARITIES, TextMasking
from diffmask.cli import main
from diffmask.config import TextMaskingConfig
from diffmask.core.masker import Masker
from diffmask.core.schedule import Constant
from diffmask.files.blocks import Block
from diffmask.policies.uniform import Uniform
from diffmask.text.segment.tokenise import TokeniseSettings, row_maker

POLICY_OF = {
    "word": "whole-word",
    "token": "random-token",
    "span": "random-span",
    "salient": "salient-span",
    "pmi": "pmi",
}
TEXTS = [*SENTENCES, "Kinase.", "The RAT, (the cell) in Phosphorylation of Kinases of the Cell Protein: 漢字 to it 7."]
SPECIAL = 5
"""Tokens below are special ones."""

every_unit = pytest.mark.parametrize("units", GRANULARITIES)


@pytest.fixture(scope="module")
def ngrams(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pmi")
    (folder / "texts.txt").write_text("\n".join(SENTENCES * 5) + "\n")
    few = ("--min-count", "2", "--min-pmi", "0.5")
    assert main(["pmi", str(folder / "texts.txt"), "-o", str(folder / "pmi"), *few]) == 0
    return str(folder / "pmi")


def cut(units, ngrams, texts=TEXTS, max_length=32):
    """Return the adapter and the rows of some texts, through all that a run puts them through."""
    config = TextMaskingConfig(policy=POLICY_OF[units], ngrams=ngrams if units == "pmi" else None, seed=7)
    tokenizer = tiny_tokenizer()
    masking = TextMasking.resolve(config)
    settings = TokeniseSettings(max_length, annotators=masking.annotators(None))
    made = row_maker(tokenizer, settings, domain_anchors().types)(Block("texts", 1, 1.0, list(texts))).batch
    rows = [row | {"sample_id": number} for number, row in enumerate(made.to_pylist())]
    return masking.adapter(tokenizer), rows


def ordinary(batch):
    known = batch["input_ids"] >= SPECIAL
    return known & (batch["attention_mask"] == 1)


@every_unit
def test_every_ordinary_token_is_in_one_unit_and_no_other_is(units, ngrams):
    adapter, rows = cut(units, ngrams)
    batch = adapter.pad(rows)
    made = adapter.units(batch, 3)
    everything = made.to_positions(made.eligible)
    assert torch.equal(everything, ordinary(batch))
    assert torch.equal(made.lengths.sum(1), ordinary(batch).sum(1).float())


@every_unit
def test_units_hold_whole_words_that_follow_one_another(units, ngrams):
    adapter, rows = cut(units, ngrams)
    batch = adapter.pad(rows)
    made = adapter.units(batch, 3)
    one = torch.zeros_like(made.eligible)
    for row, unit in torch.nonzero(made.eligible).tolist():
        one.fill_(False)
        one[row, unit] = True
        places = torch.nonzero(made.to_positions(one)[row]).flatten()
        words = batch["unit_ids"][row, places].unique()
        assert words.tolist() == list(range(int(words[0]), int(words[-1]) + 1))
        if units != "token":
            whole = sum(int((batch["unit_ids"][row] == word).sum()) for word in words)
            assert whole == len(places)


@every_unit
def test_units_larger_than_words_occur(units, ngrams):
    """The texts hold what the unit is made for; otherwise the other tests would show nothing."""
    adapter, rows = cut(units, ngrams)
    made = adapter.units(adapter.pad(rows), 3)
    num_words = sum(row["num_units"] for row in rows)
    assert (int(made.eligible.sum()) < num_words) == (units in ("span", "salient", "pmi"))


@every_unit
def test_a_row_does_not_depend_on_its_batch_or_on_padding(units, ngrams):
    adapter, rows = cut(units, ngrams)
    together = adapter.units(adapter.pad(rows), 3)
    masked = together.to_positions(Masker(Uniform(), seed=7)(together, 3, 10))
    for number, row in enumerate(rows):
        alone = adapter.units(adapter.pad([row]), 3)
        found = alone.to_positions(Masker(Uniform(), seed=7)(alone, 3, 10))[0]
        assert torch.equal(found[: len(row["input_ids"])], masked[number, : len(row["input_ids"])])


@every_unit
def test_the_same_step_gives_the_same_units_and_only_spans_change_with_it(units, ngrams):
    adapter, rows = cut(units, ngrams)
    batch = adapter.pad(rows)
    first, again, later = (adapter.units(batch, step) for step in (3, 3, 4))
    places = torch.arange(batch["input_ids"].shape[1]).expand(batch["input_ids"].shape)
    ids = [places if each.unit_ids is None else each.unit_ids for each in (first, again, later)]
    assert torch.equal(ids[0], ids[1])
    assert torch.equal(ids[0], ids[2]) == (units != "span")


@every_unit
def test_an_empty_text_makes_no_row_and_a_word_alone_is_masked(units, ngrams):
    adapter, rows = cut(units, ngrams, ["", "   ", "Kinase", "漢"])
    assert len(rows) == 1
    made = adapter.units(adapter.pad(rows), 0)
    assert Masker(Uniform())(made, 0, 1).sum() == 1


@every_unit
def test_the_ratio_is_the_same_for_all_units(units, ngrams):
    adapter, rows = cut(units, ngrams, [" ".join(SENTENCES * 3)] * 12, max_length=64)
    batch = adapter.pad(rows)
    shares = []
    for step in range(200):
        made = adapter.units(batch, step)
        masked = made.to_positions(Masker(Uniform(), ratio=Constant(0.15), seed=1)(made, step, 200))
        shares.append(float(masked.sum() / ordinary(batch).sum()))
    assert sum(shares) / len(shares) == pytest.approx(0.15, abs=2e-3)


@every_unit
@pytest.mark.parametrize("ratio", [0.15, 1.0])
def test_corruption_leaves_what_is_not_masked_and_labels_what_is(units, ngrams, ratio):
    adapter, rows = cut(units, ngrams)
    batch = adapter.pad(rows)
    made = adapter.units(batch, 3)
    masked = Masker(Uniform(), ratio=Constant(ratio))(made, 3, 10)
    places = made.to_positions(masked)
    first, again = (adapter.corrupt(batch, made, masked, 3) for _ in range(2))
    assert torch.equal(first["input_ids"], again["input_ids"])
    assert torch.equal(first["input_ids"][~places], batch["input_ids"][~places])
    assert torch.equal(first["labels"], batch["input_ids"].where(places, -100))
    inserted = first["input_ids"][places & (first["input_ids"] != batch["input_ids"])]
    assert ((inserted == tiny_tokenizer().mask_token_id) | (inserted >= SPECIAL)).all()
    other = adapter.corrupt(batch, made, masked, 4)["input_ids"]
    if ratio == 1.0:
        assert not torch.equal(first["input_ids"], other)
