import pytest
import torch

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import linear_weights, softmax_weights
from diffmask.core.units import Units
from diffmask.policies.difference import Difference
from diffmask.policies.feature import Feature, Salient
from diffmask.policies.loss_weighted import LossWeighted
from diffmask.policies.mixture import Component, Mixture
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import _join_words

TABLE = torch.tensor([0.0, 1.0, 2.0])
SALIENT = torch.tensor([[-1, 0, 4, -1], [-1, -1, -1, -1]])


def units():
    eligible = torch.tensor([[True, True, True, True], [True, True, True, False]])
    features = {"salient": SALIENT, "gain": torch.tensor([[1.0, 2.0, 3.0, 4.0]] * 2)}
    return Units(None, eligible, torch.arange(2), torch.tensor([[0, 1, 2, 0]] * 2), features)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_weights_are_the_mixed_distributions(share):
    mixed = Mixture(Component(Difference(TABLE), softmax_weights), Component(Salient(), linear_weights), share)
    weights = Masker(mixed).weights(units(), 0.0)
    first = torch.stack([torch.tensor([0.0, 1, 2, 0]).softmax(0), torch.tensor([0.0, 1, 2, -torch.inf]).softmax(0)])
    second = torch.tensor([[0, 0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3, 0]])  # without a salient unit: at random
    assert torch.allclose(weights, (1 - share) * first + share * second, atol=1e-6)


def test_over_spans_the_share_is_of_whole_spans():
    salient = torch.tensor([[-1] * 10 + [0] * 5 + [-1] * 5])
    words = Units(
        torch.arange(20)[None], torch.ones(1, 20, dtype=torch.bool), torch.arange(1), None, {"salient": salient}
    )
    starts = torch.ones(1, 20, dtype=torch.bool)
    starts[0, 11:15] = False
    spans = _join_words(words, starts)  # sixteen units, the eleventh of five words
    for share in (0.25, 0.5, 0.75):
        mixed = Mixture(Component(Uniform(), softmax_weights), Component(Salient(), linear_weights), share)
        weights = Masker(mixed).weights(spans, 0.0)
        assert weights[0, 10].item() == pytest.approx((1 - share) / 16 + share, abs=1e-5)


def test_both_learn_and_their_states_are_kept_apart():
    def mixture():
        learner = LossWeighted(("a", "b"), Uniform(), softmax_weights)
        other = LossWeighted(("a", "b", "c"), Uniform(), softmax_weights)
        return Mixture(Component(learner, softmax_weights), Component(other, softmax_weights))

    given = units()
    given = Units(None, given.eligible, given.sample_ids, None, {"classes": torch.tensor([[0, 1, 0, 1]] * 2)})
    policy, copy = mixture(), mixture()
    policy.observe(given, given.eligible, torch.rand(2, 4))
    policy.learn(lambda value: value)
    kept = ("loss_weighted.losses", "loss_weighted.times", "loss_weighted.names")
    assert policy.state_dict().keys() == {f"{place}.{name}" for place in ("first", "second") for name in kept}
    copy.load_state_dict(policy.state_dict())
    assert torch.equal(copy.score(given), policy.score(given))
    with pytest.raises(InputError, match="the checkpoint holds the state of another policy"):
        mixture().load_state_dict({"loss_weighted.losses": torch.zeros(2)})


def test_a_share_without_a_mixture_is_refused():
    with pytest.raises(InputError, match=r"share 1 is outside \(0, 1\)"):
        Mixture(Component(Uniform(), softmax_weights), Component(Salient(), linear_weights), 1.0)


def test_a_feature_is_its_own_score_and_a_missing_one_is_named():
    assert torch.equal(Feature("gain").score(units()), units().features["gain"])
    with pytest.raises(ValueError, match=r"no feature `attention` \(they have: gain, salient\)"):
        Feature("attention").score(units())


def test_salient_units_come_before_all_others():
    masker = Masker(Salient(), weighting=linear_weights)
    masked = masker(units(), 0, 1)  # one unit of each row
    assert masked.sum(1).tolist() == [1, 1]
    assert not (masked[0] & (SALIENT[0] < 0)).any()
