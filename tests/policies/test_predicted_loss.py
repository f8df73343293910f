import pytest
import torch

from diffmask.core.errors import InputError
from diffmask.core.units import Units
from diffmask.policies.feature import Feature
from diffmask.policies.predicted_loss import SHIFTS, PredictedLoss


def make_units(rows=16, length=50, seed=0, dim=6):
    features = torch.randn(rows, length, dim, generator=torch.Generator().manual_seed(seed))
    eligible = torch.ones(rows, length, dtype=torch.bool)
    return Units(None, eligible, torch.arange(rows), features={"appearance": features})


def losses(units):
    """Hard is what has a high first feature and a low second one; the scale falls, as losses do."""
    seen = units.features["appearance"]
    return (seen[..., 0] - 0.5 * seen[..., 1]).exp()


def taught(num_steps=60, parts=1):
    policy = PredictedLoss("appearance", 6)
    for step in range(num_steps):
        units = make_units(seed=step)
        masked = torch.rand(units.eligible.shape, generator=torch.Generator().manual_seed(step)) < 0.7
        loss = losses(units) * masked * 0.98**step
        for rows in torch.arange(16).chunk(parts):
            part = Units(None, units.eligible[rows], rows, features={"appearance": units.features["appearance"][rows]})
            policy.observe(part, masked[rows], loss[rows])
        policy.learn(lambda value: value)
    return policy


def test_before_anything_is_learned_nothing_is_preferred():
    assert PredictedLoss("appearance", 6).score(make_units()).unique().numel() == 1


def test_it_learns_which_units_are_hard():
    policy, units = taught(), make_units(seed=1234)
    found, hard = policy.score(units), losses(units)
    pairs = [(i, j) for i in range(50) for j in range(i)]
    right = sum(bool((found[0, i] > found[0, j]) == (hard[0, i] > hard[0, j])) for i, j in pairs)
    assert right / len(pairs) > 0.95
    assert policy.report()["hard_patch_accuracy"] > 0.9


def test_a_step_is_the_same_in_micro_batches():
    whole, parts = taught(5), taught(5, parts=4)
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, parts.state_dict()[name], atol=1e-5), name


def test_the_gradient_is_that_of_a_loop_over_pairs():
    policy, units = taught(2), make_units(2, 9, seed=3)
    masked = torch.rand(2, 9, generator=torch.Generator().manual_seed(0)) < 0.8
    loss = losses(units)
    policy.observe(units, masked, loss)
    parameters = list(policy._network.parameters())
    scores = policy._network(units.features["appearance"])[..., 0]
    total, count, shifts = scores.new_zeros(()), 0, [shift for shift in SHIFTS if shift < 9]
    for row in range(2):
        for shift in shifts:
            for i in range(9):
                j = (i - shift) % 9
                if masked[row, i] and masked[row, j]:
                    sign = 1.0 if loss[row, i] > loss[row, j] else -1.0
                    total = total - torch.nn.functional.logsigmoid(sign * (scores[row, i] - scores[row, j]))
                    count += 1
    expected = torch.cat([gradient.flatten() for gradient in torch.autograd.grad(total, parameters)])
    assert torch.allclose(policy._gradient, expected, atol=1e-4)
    assert policy._pairs[0] == count


def test_what_is_not_masked_teaches_nothing():
    policy, units = PredictedLoss("appearance", 6), make_units()
    before = policy.state_dict()["predicted_loss.weights"]
    policy.observe(units, torch.zeros_like(units.eligible), losses(units))
    policy.learn(lambda value: value)
    assert torch.equal(policy.state_dict()["predicted_loss.weights"], before)


def test_its_state_comes_back():
    policy, other = taught(5), PredictedLoss("appearance", 6, seed=9)
    other.load_state_dict(policy.state_dict())
    units = make_units(seed=7)
    assert torch.equal(policy.score(units), other.score(units))
    for each in (policy, other):
        each.observe(units, units.eligible, losses(units))
        each.learn(lambda value: value)
    assert torch.equal(policy.score(units), other.score(units))
    with pytest.raises(InputError, match="the checkpoint holds the state of another policy"):
        other.load_state_dict({"losses": torch.zeros(2)})


def test_what_it_cannot_use_is_refused():
    with pytest.raises(InputError, match="the predictor's learning rate 0 must be above 0; 0.01 is usual"):
        PredictedLoss("appearance", 6, learning_rate=0.0)
    bare = Units(None, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))
    with pytest.raises(ValueError, match="the units have no feature `appearance`"):
        PredictedLoss("appearance", 6).score(bare)


def test_a_standardised_feature_has_the_same_scale_in_every_row():
    values = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 6)[:, None] * 100 + 7
    eligible = torch.rand(5, 40, generator=torch.Generator().manual_seed(1)) < 0.7
    units = Units(None, eligible, torch.arange(5), features={"motion": values})
    found = Feature("motion", standardised=True).score(units)
    for row in range(5):
        own = values[row][eligible[row]]
        expected = (own - own.mean()) / own.std(correction=0)
        assert torch.allclose(found[row][eligible[row]], expected, atol=1e-4)
    flat = Units(None, eligible, torch.arange(5), features={"motion": torch.full((5, 40), 3.0)})
    assert Feature("motion", standardised=True).score(flat).eq(0).all()
