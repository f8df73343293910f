"""What every policy promises. A new policy is added to POLICIES and passes before it is listed."""

import pytest
import torch

from diffmask.core.masker import Masker
from diffmask.core.units import Units
from diffmask.policies.difference import Difference
from diffmask.policies.uniform import Uniform

POLICIES = {
    "uniform": Uniform,
    "difference": lambda: Difference(torch.randn(11, generator=torch.Generator().manual_seed(0))),
}
SHAPES = [(1, 1), (3, 7)]

every_policy = pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
every_shape = pytest.mark.parametrize("shape", SHAPES)


def units(rows, length):
    generator = torch.Generator().manual_seed(rows)
    eligible = torch.rand(rows, length, generator=generator) < 0.8
    eligible[0] = True
    if rows > 1:
        eligible[1] = False
    types = torch.randint(-1, 11, (rows, length), generator=generator)
    return Units(torch.arange(length).expand(rows, length), eligible, torch.arange(rows), types)


@every_policy
@every_shape
def test_scores_are_finite_and_of_the_units_shape(make, shape):
    given = units(*shape)
    scores = make().score(given)
    assert scores.shape == given.eligible.shape
    assert scores.is_floating_point()
    assert scores.device == given.eligible.device
    assert scores[given.eligible].isfinite().all()


@every_policy
@every_shape
def test_scores_do_not_depend_on_the_order_of_units(make, shape):
    given = units(*shape)
    order = torch.randperm(shape[1], generator=torch.Generator().manual_seed(1))
    turned = Units(given.unit_ids, given.eligible[:, order], given.sample_ids, given.types[:, order])
    assert torch.equal(make().score(given)[:, order], make().score(turned))


@every_policy
@every_shape
def test_padding_changes_nothing(make, shape):
    given = units(*shape)
    wide = Units(
        torch.nn.functional.pad(given.unit_ids, (0, 3), value=-1),
        torch.nn.functional.pad(given.eligible, (0, 5)),
        given.sample_ids,
        torch.nn.functional.pad(given.types, (0, 5), value=-1),
    )
    assert torch.equal(make().score(wide)[:, : shape[1]], make().score(given))
    masker = Masker(make())
    assert torch.equal(masker(wide, 0, 1)[:, : shape[1]], masker(given, 0, 1))


@every_policy
@every_shape
def test_scoring_twice_gives_the_same(make, shape):
    policy = make()
    assert torch.equal(policy.score(units(*shape)), policy.score(units(*shape)))


@every_policy
@every_shape
def test_an_empty_row_stays_empty_and_every_other_has_a_mask(make, shape):
    given = units(*shape)
    masked = Masker(make())(given, 0, 1)
    assert torch.equal(masked.any(1), given.eligible.any(1))
    assert not (masked & ~given.eligible).any()


@every_policy
def test_state_comes_back(make):
    policy, other = make(), make()
    other.load_state_dict(policy.state_dict())
    assert torch.equal(policy.score(units(3, 7)), other.score(units(3, 7)))
