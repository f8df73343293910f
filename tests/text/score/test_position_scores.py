"""Scores of rows: pooled from positions to units, computed once, found again."""

import datasets
import pytest
import torch
from support.tiny import tiny_model, tiny_rows, tiny_tokenizer

from diffmask.core.errors import InputError
from diffmask.text.score import position_scores as scored
from diffmask.text.score.position_scores import (
    LOG_MEAN_EXP,
    MEAN,
    _pool,
    add_scores,
    check_vocabulary,
    hash_model,
    unit_scores,
)
from diffmask.text.segment.pad import Pad


class Scorer:
    """Scores that depend on the token and its place; counts what it was asked."""

    def __init__(self, key="a", pooling=MEAN):
        self.key, self.pooling, self.column = key, pooling, "gain"
        self.shapes = []

    def __call__(self, input_ids, attention_mask):
        self.shapes.append(tuple(input_ids.shape))
        places = torch.arange(input_ids.shape[1])[None]
        return torch.where(attention_mask.bool(), (input_ids * 0.25 - places * 0.5).sin(), float("nan"))


def rows_of(number=40):
    rows = tiny_rows(number)
    return datasets.Dataset.from_list([row | {"num_units": len(row["types"])} for row in rows])


def slow_scores(scorer, row):
    """Return the score of each unit of one row, with loops."""
    ids = torch.tensor([row["input_ids"]])
    scores = scorer(ids, torch.ones_like(ids))[0]
    found = []
    for unit in range(row["num_units"]):
        members = [scores[place] for place, other in enumerate(row["unit_ids"]) if other == unit]
        if scorer.pooling == MEAN:
            found.append(float(sum(members) / len(members)))
        else:
            found.append(float(torch.log(sum(member.exp() for member in members) / len(members))))
    return found


@pytest.mark.parametrize("pooling", [MEAN, LOG_MEAN_EXP])
def test_rows_get_the_scores_of_the_slow_reference(tmp_path, pooling):
    rows = rows_of()
    scorer = Scorer(pooling=pooling)
    made = add_scores(rows, scorer, tmp_path, batch_size=3)
    assert made.column_names == [*rows.column_names, "gain"]
    for row, before in zip(made, rows, strict=True):
        assert {name: row[name] for name in before} == before
        assert row["gain"] == pytest.approx(slow_scores(scorer, row), abs=1e-5)


@pytest.mark.parametrize("pooling", [MEAN, LOG_MEAN_EXP])
def test_a_padded_batch_gets_the_same_scores(tmp_path, pooling):
    rows = list(add_scores(rows_of(7), Scorer(pooling=pooling), tmp_path))
    batch = Pad(0)([{name: row[name] for name in row if name != "gain"} for row in rows])
    found = unit_scores(Scorer(pooling=pooling), batch)
    assert found.shape == batch["types"].shape
    for row, scores in zip(rows, found, strict=True):
        assert scores[: row["num_units"]].tolist() == pytest.approx(row["gain"], abs=1e-5)
        assert not scores[row["num_units"] :].any()


def test_log_shares_of_any_size_are_pooled():
    scores = torch.tensor([[-200.0, -201.0, 150.0, 0.0]])
    unit_ids = torch.tensor([[0, 0, 1, -1]])
    found = _pool(scores, unit_ids, 3, LOG_MEAN_EXP)
    # a share that is e**-350 of the row's highest is told apart from none only so far
    assert found[0, 0] == pytest.approx(150 - 87.3, abs=0.1)
    assert found[0, 1:].tolist() == [150.0, 0.0]


def test_rows_without_units_are_pooled():
    assert _pool(torch.zeros(2, 3), torch.full((2, 3), -1), 0, LOG_MEAN_EXP).shape == (2, 0)
    assert _pool(torch.zeros(2, 3), torch.full((2, 3), -1), 2, LOG_MEAN_EXP).tolist() == [[0.0, 0.0]] * 2


def test_batches_are_sorted_by_length(tmp_path):
    scorer = Scorer()
    add_scores(rows_of(), scorer, tmp_path, batch_size=4)
    lengths = [length for _, length in scorer.shapes]
    assert len(lengths) == 10
    assert lengths == sorted(lengths)


def test_memory_does_not_grow_with_the_corpus(tmp_path, monkeypatch):
    """Rows are sorted a few batches at a time, and stay in their order."""
    monkeypatch.setattr(scored, "_SORTED_BATCHES", 2)
    scorer = Scorer()
    made = add_scores(rows_of(), scorer, tmp_path, batch_size=4)
    lengths = [length for _, length in scorer.shapes]
    assert lengths != sorted(lengths)
    assert made["gain"] == add_scores(rows_of(), Scorer("b"), tmp_path, batch_size=40)["gain"]


def test_scores_are_found_again(tmp_path):
    rows = rows_of()
    first = add_scores(rows, Scorer(), tmp_path)
    again, other = Scorer(), Scorer("b")
    assert list(add_scores(rows, again, tmp_path)) == list(first)
    assert not again.shapes
    add_scores(rows, other, tmp_path)
    assert other.shapes
    fewer = Scorer()
    assert len(add_scores(rows.select(range(5)), fewer, tmp_path)) == 5
    assert fewer.shapes


def test_selected_rows_are_scored_in_their_order(tmp_path):
    rows = rows_of().select([7, 3, 30])
    made = add_scores(rows, Scorer(), tmp_path)
    assert [row["sample_id"] for row in made] == [7, 3, 30]
    assert [row["gain"] for row in made] == [pytest.approx(slow_scores(Scorer(), row), abs=1e-5) for row in rows]


def test_a_score_that_is_no_number_is_found(tmp_path):
    class Broken(Scorer):
        def __call__(self, input_ids, attention_mask):
            return torch.full(input_ids.shape, float("nan"))

    with pytest.raises(AssertionError, match="gain gave a score that is not finite"):
        add_scores(rows_of(), Broken(), tmp_path)
    assert not list(tmp_path.glob("*.arrow"))


def test_the_hash_of_a_model_tells_weights_and_settings(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    assert hash_model(type(model).from_pretrained(tmp_path)) == hash_model(model)
    key = hash_model(model, "cls", 1)
    assert key == hash_model(tiny_model(), "cls", 1)
    assert key != hash_model(model, "received", 1)
    assert key != hash_model(tiny_model(seed=1), "cls", 1)


def test_another_vocabulary_is_refused():
    other = tiny_tokenizer()
    other.add_tokens(["enzyme"])
    check_vocabulary("the teacher 'x'", tiny_tokenizer(), tiny_tokenizer(), "")
    with pytest.raises(InputError) as caught:
        check_vocabulary("the teacher 'x'", other, tiny_tokenizer(), "use another")
    assert str(caught.value) == (
        "the teacher 'x' has another vocabulary than the model that is trained (31 and 30 tokens; they differ at "
        "'enzyme'), so it cannot read its token ids; use another"
    )
