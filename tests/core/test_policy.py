import math

import pytest
import torch

from diffmask.core.policy import Policy, linear_weights, mix, rank_weights, softmax_weights
from diffmask.policies.uniform import Uniform


def example():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(-4, 4, (6, 9), generator=generator).float() / 2
    eligible = torch.rand(6, 9, generator=generator) < 0.7
    eligible[0] = True
    eligible[-1] = False
    return scores, eligible


def slow_ranks(scores, eligible):
    weights = torch.zeros_like(scores)
    for row in range(len(scores)):
        distinct = sorted({float(s) for s, e in zip(scores[row], eligible[row], strict=True) if e}, reverse=True)
        for unit in range(scores.shape[1]):
            if eligible[row, unit]:
                weights[row, unit] = len(distinct) - distinct.index(float(scores[row, unit]))
    return weights


def test_rank_weights_equal_the_slow_reference():
    scores, eligible = example()
    assert torch.equal(rank_weights(scores, eligible), slow_ranks(scores, eligible))


def test_published_tilt_of_the_inclusion_probability():
    # PAPERS C.5: by decile of rank, .275 .245 .221 .196 .169 .138 .111 .078 .050 .019 at 15 %
    from diffmask.core.select import select
    from diffmask.core.units import Units

    rows, length = 20_000, 100
    eligible = torch.ones(rows, length, dtype=torch.bool)
    units = Units(torch.arange(length).expand(rows, length), eligible, torch.arange(rows))
    weights = rank_weights(torch.arange(length, 0, -1.0).expand(rows, length), eligible)
    deciles = select(weights, units, 0.15, seed=0, step=0).double().mean(0).view(10, 10).mean(1)
    published = torch.tensor([0.275, 0.245, 0.221, 0.196, 0.169, 0.138, 0.111, 0.078, 0.050, 0.019]).double()
    assert (deciles - published).abs().max() < 0.006


def test_softmax_weights_are_proportional_to_exponentials():
    scores, eligible = example()
    weights = softmax_weights(scores, eligible, temperature=0.5)
    expected = (scores * 2).exp() * eligible
    assert torch.allclose(weights[:-1], (expected / expected.sum(1, keepdim=True))[:-1])
    assert not weights[~eligible].any()


def test_softmax_weights_stand_large_scores():
    weights = softmax_weights(torch.tensor([[1e30, 0.0]]), torch.ones(1, 2, dtype=torch.bool))
    assert weights.tolist() == [[1.0, 0.0]]


def test_linear_weights_clip_at_zero():
    scores, eligible = example()
    assert torch.equal(linear_weights(scores, eligible), scores.relu() * eligible)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.999])
def test_mix_is_a_distribution_between_uniform_and_policy(strength):
    scores, eligible = example()
    weights = linear_weights(scores, eligible)
    got = mix(weights, eligible, strength)
    for row in range(5):
        count, total = eligible[row].sum(), weights[row].sum()
        policy = weights[row] / total if total > 0 else eligible[row] / count
        assert torch.allclose(got[row], (1 - strength) * eligible[row] / count + strength * policy)
    assert not got[-1].any()


def test_full_strength_leaves_the_weights_as_they_are():
    scores, eligible = example()
    weights = linear_weights(scores, eligible)
    assert torch.equal(mix(weights, eligible, 1.0), weights)


def test_a_policy_without_state_refuses_that_of_another():
    policy: Policy = Uniform()
    assert policy.state_dict() == {}
    message = r"state of another policy \(mean\), and Uniform needs none; resume with the policy"
    with pytest.raises(ValueError, match=message):
        policy.load_state_dict({"mean": torch.tensor(math.pi)})
