import math

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import softmax_weights
from diffmask.core.schedule import Constant
from diffmask.core.units import Units
from diffmask.policies.difference import Difference
from diffmask.policies.loss_weighted import LossWeighted
from diffmask.policies.uniform import Uniform

NAMES = ("noun", "verb", "adverb", "punctuation")


def policy(inner=None, **settings):
    return LossWeighted(NAMES, inner or Uniform(), softmax_weights, **settings)


def learned(policy, losses):
    """Give a policy the losses of its classes."""
    policy.load_state_dict(policy.state_dict() | {"loss_weighted.losses": torch.tensor(losses, dtype=torch.float64)})


def batch(step, rows=6, words=20):
    """Return units of one to three positions with classes, a mask and losses that depend on the class."""
    generator = torch.Generator().manual_seed(step)
    lengths = torch.randint(1, 4, (rows, words), generator=generator)
    rows_of_ids = [torch.repeat_interleave(torch.arange(words), row) for row in lengths]
    ids = pad_sequence(rows_of_ids, batch_first=True, padding_value=-1)
    classes = torch.randint(-1, 3 + step % 2, (rows, words), generator=generator)  # the last only in some steps
    units = Units(ids, torch.ones(rows, words, dtype=torch.bool), torch.arange(rows), None, {"classes": classes})
    masked = torch.rand(rows, words, generator=generator) < 0.3
    loss = (torch.rand(rows, words, generator=generator) + classes) * masked
    return units, masked, loss


def slow_reference(num_steps, momentum):
    """The published rule, one position at a time."""
    losses = [0.0] * len(NAMES)
    for step in range(num_steps):
        units, masked, loss = batch(step)
        seen = {name: [] for name in range(len(NAMES))}
        for row, unit in torch.nonzero(masked).tolist():
            name = int(units.features["classes"][row, unit])
            length = int((units.unit_ids[row] == unit).sum())
            if name >= 0:
                seen[name] += [float(loss[row, unit])] * length
        for name, found in seen.items():
            if found:
                losses[name] = momentum * losses[name] + (1 - momentum) * sum(found) / len(found)
    mean = sum(losses) / len(losses)
    std = math.sqrt(sum((each - mean) ** 2 for each in losses) / (len(losses) - 1))
    return losses, [1 / (1 + math.exp(-2 * (each - mean) / std)) for each in losses]


@pytest.mark.parametrize("momentum", [0.999, 0.9])
def test_losses_and_weights_over_200_steps_equal_a_slow_reference(momentum):
    found = policy(momentum=momentum)
    for step in range(200):
        found.observe(*batch(step))
        found.learn(lambda value: value)
    losses, weights = slow_reference(200, momentum)
    assert found.losses.tolist() == pytest.approx(losses, abs=1e-9)
    assert found.class_weights().tolist() == pytest.approx(weights, abs=1e-9)
    named = {f"class_loss/{name}": loss for name, loss in zip(NAMES, losses, strict=True)}
    assert found.report() == pytest.approx(named)


def test_corrected_losses_are_means_of_what_was_seen():
    found, momentum = policy(momentum=0.9, corrected=True), 0.9
    seen = {name: [] for name in range(4)}
    for step in (0, 2, 4, 6):  # the last class is in none of these
        units, masked, loss = batch(step)
        found.observe(units, masked, loss)
        found.learn(lambda value: value)
        for name in range(4):
            inside = masked & (units.features["classes"] == name)
            if inside.any():
                lengths = units.lengths[inside].double()
                seen[name].append(float((loss[inside].double() * lengths).sum() / lengths.sum()))
    weights = {name: [momentum**age for age in reversed(range(len(values)))] for name, values in seen.items()}
    expected = [
        sum(w * v for w, v in zip(weights[name], seen[name], strict=True)) / sum(weights[name]) for name in range(3)
    ]
    assert not seen[3]
    assert found.losses.tolist() == pytest.approx([*expected, sum(expected) / 3])
    assert found.class_weights()[3] == pytest.approx(0.5)
    again = policy(momentum=0.9, corrected=True)
    again.load_state_dict(found.state_dict())
    assert torch.equal(again.losses, found.losses)


def test_before_anything_is_learned_the_inner_policy_decides_alone():
    units, *_ = batch(0)
    assert policy().class_weights().tolist() == [0.5] * 4
    table = torch.tensor([0.0, 1.0, 2.0])
    typed = Units(units.unit_ids, units.eligible, units.sample_ids, torch.arange(20).expand(6, 20) % 3, units.features)
    alone = Masker(Difference(table)).weights(typed, 0.0)
    assert torch.allclose(Masker(policy(Difference(table))).weights(typed, 0.0), alone, atol=1e-6)


def test_the_weights_multiply_those_of_the_inner_policy():
    units, *_ = batch(0)
    units = Units(units.unit_ids, units.eligible, units.sample_ids, torch.arange(20).expand(6, 20) % 3, units.features)
    table = torch.tensor([0.0, 1.0, 2.0])
    found = policy(Difference(table))
    learned(found, [1.0, 2.0, 3.0, 0.5])
    of_class = torch.cat([found.class_weights(), torch.tensor([0.5])]).float()
    expected = table.exp()[units.types] * of_class[units.features["classes"]]
    weights = Masker(found).weights(units, 0.0)
    assert torch.allclose(weights, expected / expected.sum(1, keepdim=True), atol=1e-6)


def test_hard_classes_are_masked_more_often():
    units, *_ = batch(0, rows=300)
    found = policy()
    learned(found, [1.0, 3.0, 1.0, 1.0])
    masked = Masker(found, ratio=Constant(0.15))(units, 0, 1)
    verbs = units.features["classes"] == 1
    assert masked[verbs].double().mean() > 1.5 * masked[units.features["classes"] == 0].double().mean()


def test_ranks_that_share_their_sums_learn_what_one_learns_alone():
    alone, ranks = policy(), [policy(), policy()]
    for step in range(5):
        units, masked, loss = batch(step)
        alone.observe(units, masked, loss)
        halves = [slice(0, 2), slice(2, 6)]
        for rank, half in zip(ranks, halves, strict=True):
            features = {"classes": units.features["classes"][half]}
            part = Units(units.unit_ids[half], units.eligible[half], units.sample_ids[half], None, features)
            rank.observe(part, masked[half], loss[half])
        alone.learn(lambda value: value)
        total = ranks[0]._seen + ranks[1]._seen
        for rank in ranks:
            rank.learn(lambda value, total=total: total)
    for rank in ranks:
        assert torch.allclose(rank.losses, alone.losses, atol=1e-12)


def of(*names):
    return LossWeighted(names, Uniform(), softmax_weights).state_dict()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "the checkpoint holds no losses of classes, and this run weighs 4"),
        (of("a", "b"), "holds those of 2 other classes, and this run weighs 4"),
        (
            of("verb", "noun", "adverb", "punctuation"),
            r"those of 4 other classes, .* \(noun, verb, adverb, punctuation\)",
        ),
        (
            of(*NAMES) | {"first.mean": torch.zeros(1)},
            r"state of another policy \(first.mean\), and Uniform needs none",
        ),
    ],
)
def test_the_state_of_another_policy_is_refused(state, message):
    with pytest.raises(InputError, match=message):
        policy().load_state_dict(state)


def test_what_cannot_be_weighed_is_refused():
    with pytest.raises(InputError, match="was given 1 classes; it needs at least two"):
        LossWeighted(("all",), Uniform(), softmax_weights)
    with pytest.raises(InputError, match=r"the momentum 1 is outside \[0, 1\)"):
        policy(momentum=1.0)
    with pytest.raises(ValueError, match="needs units with the feature `classes`"):
        policy().score(Units(None, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
