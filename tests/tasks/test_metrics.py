"""Scores against loops and hand-made tables."""

import pytest
import torch

from diffmask.evaluate.resampling import count, ratio
from diffmask.tasks.metrics import score

LABELS = ["a", "b", "c"]


def reference(labels, pairs):
    """F1 of each label from counts of (target set, prediction set), one by one."""
    found = {}
    for row, name in enumerate(labels):
        hits = sum(row in target and row in guess for target, guess in pairs)
        guessed, given = sum(row in guess for _, guess in pairs), sum(row in target for target, _ in pairs)
        found[name] = (hits, guessed, given)
    return found


def f1(hits, guessed, given):
    return 2 * hits / (guessed + given) if guessed + given else 0.0


def draw(kind, seed=0, number=60):
    generator = torch.Generator().manual_seed(seed)

    def one():
        if kind == "single-label":
            return int(torch.randint(3, (1,), generator=generator))
        if kind == "tokens":
            return torch.randint(3, (4,), generator=generator).tolist()
        return (torch.rand(3, generator=generator) < 0.4).nonzero().flatten().tolist()

    return [one() for _ in range(number)], [one() for _ in range(number)]


@pytest.mark.parametrize("kind", ["single-label", "multi-label", "tokens"])
def test_scores_are_those_of_a_loop(kind):
    targets, predictions = draw(kind)
    if kind == "single-label":
        pairs = [({t}, {p}) for t, p in zip(targets, predictions, strict=True)]
    elif kind == "multi-label":
        pairs = [(set(t), set(p)) for t, p in zip(targets, predictions, strict=True)]
    else:
        pairs = [({t}, {p}) for ts, ps in zip(targets, predictions, strict=True) for t, p in zip(ts, ps, strict=True)]
    found, counts = score(kind, LABELS, targets, predictions), reference(LABELS, pairs)
    totals = [sum(each[place] for each in counts.values()) for place in range(3)]
    assert found["accuracy"] == pytest.approx(sum(t == p for t, p in pairs) / len(pairs))
    assert found["micro_f1"] == pytest.approx(f1(*totals))
    assert found["macro_f1"] == pytest.approx(sum(f1(*each) for each in counts.values()) / 3)
    for name, (hits, guessed, given) in counts.items():
        each = found["per_class"][name]
        assert each["f1"] == pytest.approx(f1(hits, guessed, given)) and each["support"] == given
        assert each["precision"] == pytest.approx(hits / guessed) and each["recall"] == pytest.approx(hits / given)


def test_confusion_is_targets_by_predictions():
    found = score("single-label", LABELS, [0, 0, 1], [0, 2, 1])
    assert found["confusion"] == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert score("multi-label", LABELS, [[0]], [[0, 1]])["confusion"] is None


def test_micro_f1_of_one_label_each_is_accuracy():
    targets, predictions = draw("single-label", seed=3)
    found = score("single-label", LABELS, targets, predictions)
    assert found["micro_f1"] == pytest.approx(found["accuracy"])


def test_a_class_that_nobody_names_is_left_out_of_the_mean():
    assert score("single-label", LABELS, [0, 1], [0, 1])["macro_f1"] == 1.0
    assert score("single-label", LABELS, [0, 1], [0, 2])["macro_f1"] == pytest.approx(1 / 3)


def test_words_outside_count_for_accuracy_and_for_no_f1():
    found = score("tokens", ["O", "X"], [[0, 0, 1], [1]], [[0, 1, 1], [0]])
    assert found["accuracy"] == 0.5
    assert found["micro_f1"] == found["macro_f1"] == pytest.approx(0.5)  # X: one hit, two guessed, two given
    assert score("tokens", ["O", "X"], [[0, 0]], [[0, 0]])["macro_f1"] == 0.0


@pytest.mark.parametrize(("outside", "expected"), [("0", 0.4), (None, 4 / 7), ("1", 2 / 3)])
def test_any_label_may_be_outside(outside, expected):
    targets, predictions = [[0, 0, 0, 1], [1, 0, 0]], [[0, 0, 1, 1], [0, 1, 0]]
    kept = [row for row, name in enumerate("01") if name != outside]
    pairs = [(t, p) for ts, ps in zip(targets, predictions, strict=True) for t, p in zip(ts, ps, strict=True)]
    hits = sum(t == p and t in kept for t, p in pairs)
    named = sum((t in kept) + (p in kept) for t, p in pairs)
    found = score("tokens", ["0", "1"], targets, predictions, outside=outside)
    assert found["micro_f1"] == pytest.approx(2 * hits / named) == expected
    sums = count("micro_f1", "tokens", ["0", "1"], targets, predictions, outside=outside)
    assert ratio(sums.sum(axis=0)) == pytest.approx(found["micro_f1"])
