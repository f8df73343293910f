"""Scores as sums over texts, held against scikit-learn, and draws of texts, held against loops."""

import numpy as np
import pytest

from diffmask.evaluate.resampling import Draws, count, ratio
from diffmask.tasks.metrics import score

LABELS = ["O", "a", "b", "c", "never"]
METRICS = ("micro_f1", "macro_f1", "accuracy")


def labelled(kind, num_texts, random):
    """Return targets and predictions; the last label occurs in neither."""

    def rows():
        if kind == "single-label":
            return random.integers(0, 4, num_texts).tolist()
        if kind == "multi-label":
            return [np.flatnonzero(random.random(4) < 0.4).tolist() for _ in range(num_texts)]
        return [random.integers(0, 4, length).tolist() for length in lengths]

    lengths = random.integers(0, 6, num_texts)
    lengths[0] = 3
    return rows(), rows()


def take(rows, places):
    return [rows[place] for place in places]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["single-label", "multi-label", "tokens"])
def test_scores_from_sums_are_those_of_scikit_learn(kind, metric):
    random = np.random.default_rng(0)
    for num_texts in (1, 2, 50):
        targets, predictions = labelled(kind, num_texts, random)
        sums = count(metric, kind, LABELS, targets, predictions)
        assert sums.shape[:2] == (num_texts, 2)
        expected = score(kind, LABELS, targets, predictions)[metric]
        assert ratio(sums.sum(axis=0)) == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["single-label", "multi-label", "tokens"])
def test_resampled_scores_are_those_of_the_texts_that_were_drawn(kind, metric):
    random = np.random.default_rng(1)
    targets, first = labelled(kind, 12, random)
    if kind == "tokens":
        second = [random.permutation(each).tolist() for each in first]
    else:
        second = labelled(kind, 12, random)[0]
    draws = Draws(12, 12, 5)
    results = [[count(metric, kind, LABELS, targets, each)] * 2 for each in (first, second)]
    drawn = draws.resampled(results)
    times = np.concatenate(list(draws._chunks(0))).astype(int)
    assert (times.sum(axis=1) == 12).all()
    for row, each in enumerate(times):
        places = np.repeat(np.arange(12), each)
        for result, predictions in zip(drawn, (first, second), strict=True):
            if not any(take(targets, places)):
                continue  # of no word at all scikit-learn has no accuracy
            expected = score(kind, LABELS, take(targets, places), take(predictions, places))[metric]
            assert result[row] == pytest.approx([expected, expected])


@pytest.mark.parametrize("metric", METRICS)
def test_exchanged_differences_are_those_of_predictions_that_changed_places(metric):
    random = np.random.default_rng(2)
    targets, first = labelled("single-label", 15, random)
    _, second = labelled("single-label", 15, random)
    draws = Draws(15, 12, 5)
    sums = [[count(metric, "single-label", LABELS, targets, each)] for each in (first, second)]
    found = draws.exchanged(*sums)
    swaps = np.concatenate(list(draws._chunks(1))).astype(bool)
    assert 0.3 < swaps.mean() < 0.7
    for row, swapped in enumerate(swaps):
        one = np.where(swapped, second, first).tolist()
        other = np.where(swapped, first, second).tolist()
        scores = [score("single-label", LABELS, targets, each)[metric] for each in (one, other)]
        assert found[row, 0] == pytest.approx(scores[0] - scores[1])


def test_all_seeds_exchange_the_same_texts():
    random = np.random.default_rng(3)
    targets, first = labelled("single-label", 20, random)
    _, second = labelled("single-label", 20, random)
    sums = [[count("accuracy", "single-label", LABELS, targets, each)] * 3 for each in (first, second)]
    found = Draws(20, 50, 0).exchanged(*sums)
    assert (found == found[:, :1]).all()
    assert len(np.unique(found[:, 0])) > 3


def test_draws_are_the_same_whether_they_are_kept_or_not(monkeypatch):
    kept = np.concatenate(list(Draws(30, 100, 0)._chunks(0)))
    monkeypatch.setattr("diffmask.evaluate.resampling._KEPT", 0)
    again = Draws(30, 100, 0)
    assert (np.concatenate(list(again._chunks(0))) == kept).all()
    assert (np.concatenate(list(again._chunks(0))) == kept).all()
    monkeypatch.setattr("diffmask.evaluate.resampling._CHUNK", 300)
    assert [len(each) for each in Draws(30, 25, 0)._chunks(0)] == [10, 10, 5]


def test_no_class_at_all_scores_nothing():
    assert ratio(np.zeros((2, 3))) == 0.0
