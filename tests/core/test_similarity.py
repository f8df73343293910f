"""Scores from embeddings, against loops over types and anchors."""

import math

import pytest
import torch

from diffmask.core import similarity
from diffmask.core.errors import InputError
from diffmask.core.policy import rank_weights
from diffmask.core.similarity import anchor_similarity, contrast, domain_scores, likeness, standardise

NUM_TYPES, WIDTH = 23, 5


def made(num, seed):
    return torch.randn(num, WIDTH, generator=torch.Generator().manual_seed(seed)) + 0.5


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


SLOW = {
    "max": max,
    "min": min,
    "mean": lambda cosines: sum(cosines) / len(cosines),
    "nearest": lambda cosines: sum(sorted(cosines)[-3:]) / len(sorted(cosines)[-3:]),
}


@pytest.mark.parametrize("reduce", SLOW)
@pytest.mark.parametrize("num_anchors", [1, 2, 3, 7])
def test_similarity_is_a_loop_over_anchors(reduce, num_anchors, monkeypatch):
    monkeypatch.setattr(similarity, "_CHUNK", 4)
    types, anchors = made(NUM_TYPES, 0), made(num_anchors, 1)
    slow = [SLOW[reduce]([cosine(e, a) for a in anchors.tolist()]) for e in types.tolist()]
    assert anchor_similarity(types, anchors, reduce).tolist() == pytest.approx(slow, abs=1e-6)


def test_the_contrast_takes_away_what_is_near_to_common_words():
    types, anchors, common = made(NUM_TYPES, 0), made(4, 1), made(6, 2)
    slow = [
        SLOW["nearest"]([cosine(e, a) for a in anchors.tolist()])
        - SLOW["nearest"]([cosine(e, c) for c in common.tolist()])
        for e in types.tolist()
    ]
    assert contrast(types, anchors, common, "nearest").tolist() == pytest.approx(slow, abs=1e-6)
    assert contrast(types, anchors, anchors).tolist() == [0.0] * NUM_TYPES


def slow_likeness(types, votes, voters):
    chosen = [row for row in range(len(types)) if voters[row]]
    mean = [sum(types[row][d] for row in chosen) / len(chosen) for d in range(WIDTH)]
    centred = [[x - m for x, m in zip(e, mean, strict=True)] for e in types]
    units = [[x / math.sqrt(sum(y * y for y in e)) for x in e] for e in centred]
    average = sum(votes[row] for row in chosen) / len(chosen)
    direction = [sum((votes[row] - average) * units[row][d] for row in chosen) for d in range(WIDTH)]
    return [cosine(e, direction) for e in units]


def test_likeness_is_the_sum_of_votes():
    types, votes = made(NUM_TYPES, 0), torch.randn(NUM_TYPES, generator=torch.Generator().manual_seed(3))
    voters = torch.arange(NUM_TYPES) % 4 != 1
    slow = slow_likeness(types.tolist(), votes.tolist(), voters.tolist())
    assert likeness(types, votes, voters).tolist() == pytest.approx(slow, abs=1e-5)


def test_who_has_no_vote_changes_no_score_of_others():
    types, votes = made(NUM_TYPES, 0), torch.randn(NUM_TYPES)
    voters = torch.arange(NUM_TYPES) != 2
    before = likeness(types, votes, voters)
    votes[2] = 1e6
    assert torch.equal(likeness(types, votes, voters), before)


def test_a_chance_word_gets_the_score_of_its_kind():
    """A word of one cluster with the TF-ICF of the other is scored with its cluster."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.tensor([3.0, 0.0, 0.0, 1.0, 0.0])
    domain = centre + 0.3 * torch.randn(20, WIDTH, generator=generator)
    general = centre.flip(0) + 0.3 * torch.randn(20, WIDTH, generator=generator)
    tf_icf = torch.cat([torch.full((20,), 50.0), torch.full((20,), 0.1)])
    tf_icf[0], tf_icf[20] = tf_icf[20].item(), tf_icf[0].item()
    scores = likeness(torch.cat([domain, general]), tf_icf.log(), torch.ones(40, dtype=torch.bool))
    assert scores[:20].min() > scores[20:].max()


def test_the_default_is_four_parts_likeness_and_one_part_contrast():
    types, anchors, common = made(NUM_TYPES, 0), made(4, 1), made(6, 2)
    tf_icf = torch.rand(NUM_TYPES, dtype=torch.float64) + 0.1
    voters = torch.ones(NUM_TYPES, dtype=torch.bool)
    likely, near = likeness(types, tf_icf.log(), voters), contrast(types, anchors, common, "max")
    expected = 0.8 * standardise(likely) + 0.2 * standardise(near)
    scores = domain_scores(types, tf_icf, voters, anchors, common, reduce="max")
    assert torch.allclose(scores, expected, atol=1e-6)
    assert scores.dtype == torch.float32


def test_an_anchor_moves_the_words_near_it():
    types, common = made(NUM_TYPES, 0), made(6, 2)
    tf_icf, voters = torch.rand(NUM_TYPES) + 0.1, torch.ones(NUM_TYPES, dtype=torch.bool)
    for row in range(NUM_TYPES):
        far = domain_scores(types, tf_icf, voters, -types[row : row + 1], common)
        near = domain_scores(types, tf_icf, voters, types[row : row + 1], common)
        assert near[row] > far[row]


def test_published_scores_and_rank_weights_give_the_published_probabilities():
    """Weight N - rank of the order by the maximum cosine, normalised over the words of a sentence."""
    types, anchors = made(6, 4), made(3, 5)
    scores = anchor_similarity(types, anchors, "max")
    slow = [max(cosine(e, a) for a in anchors.tolist()) for e in types.tolist()]
    order = sorted(range(6), key=lambda row: -slow[row])
    weights = {row: 6 - rank for rank, row in enumerate(order)}
    given = rank_weights(scores[None], torch.ones(1, 6, dtype=torch.bool))[0]
    assert (given / given.sum()).tolist() == pytest.approx([weights[row] / 21 for row in range(6)])


def test_standardise_gives_mean_zero_and_deviation_one():
    scores = standardise(torch.tensor([1.0, 2.0, 3.0, 10.0]))
    assert scores.mean().item() == pytest.approx(0, abs=1e-6)
    assert scores.std(correction=0).item() == pytest.approx(1)
    assert standardise(torch.full((4,), 0.1)).tolist() == [0.0] * 4


def test_scores_stay_finite_where_embeddings_are_equal():
    same = torch.ones(4, WIDTH)
    scores = domain_scores(same, torch.ones(4), torch.ones(4, dtype=torch.bool), same[:1], same[1:2])
    assert scores.isfinite().all()


def test_an_unknown_reduction_is_refused():
    with pytest.raises(InputError, match="^unknown reduction 'median'; choose from: max, mean, min, nearest$"):
        anchor_similarity(made(2, 0), made(2, 1), "median")
