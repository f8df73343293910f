from support.tiny import tiny_model, tiny_tokenizer

from diffmask.assemble.text import TEXT_POLICIES
from diffmask.bench import policies, select
from diffmask.text.model.load import LoadedModel


def test_every_policy_and_the_feedback_are_measured(monkeypatch):
    def small(vocabulary, rows=4, length=64):
        batch = select.make_batch(2000, min(rows, 4), min(length, 64))
        return batch | {"input_ids": batch["input_ids"].remainder(25) + 5}

    monkeypatch.setattr(policies, "make_batch", small)
    rows = policies.run(LoadedModel("tiny", tiny_model(), tiny_tokenizer(), ()), rounds=1)
    assert {row["name"] for row in rows[:-1]} == TEXT_POLICIES.keys()
    assert rows[0]["name"] == "whole-word" and rows[0]["ratio"] == 1.0
    assert rows[-1]["name"].startswith("feedback") and 0 < rows[-1]["ratio"] < 1
    assert all(row["milliseconds"] > 0 for row in rows)
