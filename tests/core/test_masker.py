import math

import pytest
import torch
from scipy import stats

from diffmask.core.masker import Masker, entropy
from diffmask.core.noise import RATIO, keys, row_uniforms
from diffmask.core.policy import linear_weights, softmax_weights
from diffmask.core.schedule import Constant, Linear, Random
from diffmask.core.units import Units
from diffmask.policies.difference import Difference
from diffmask.policies.uniform import Uniform

TABLE = torch.tensor([0.0, 0.5, 1.0, 4.0])


def units(rows=400, length=40):
    types = torch.arange(length).remainder(4).expand(rows, length)
    eligible = torch.ones(rows, length, dtype=torch.bool)
    return Units(torch.arange(length).expand(rows, length), eligible, torch.arange(rows), types)


def share(masked):
    """Share of each type among the masked units."""
    counts = masked.view(len(masked), -1, 4).sum((0, 1)).double()
    return counts / counts.sum()


def test_ratio_follows_its_schedule():
    masker = Masker(Uniform(), ratio=Linear(0.4, 0.1))
    realised = [masker(units(), step, 4).double().mean().item() for step in range(5)]
    assert realised == pytest.approx([0.4, 0.325, 0.25, 0.175, 0.1], abs=2e-3)


def test_a_random_ratio_is_drawn_for_each_row_evenly_and_kept_exactly_by_it_on_average():
    rows, length, steps = 20_000, 20, 20
    masker, given = Masker(Uniform(), ratio=Random(0.15, 0.9), seed=5), units(rows, length)
    ratios = torch.stack([masker.ratios(given.sample_ids, step, steps) for step in range(steps)])
    assert stats.kstest(ratios.flatten().numpy(), stats.uniform(0.15, 0.75).cdf).pvalue > 0.01
    assert abs(torch.corrcoef(ratios[:2])[0, 1]) < 0.03
    assert abs(torch.corrcoef(ratios[:, :2].T)[0, 1]) < 0.9
    for step in range(2):
        counts = masker(given, step, steps).sum(1)
        exact = ratios[step] * length
        # each row masks one of the two whole numbers about its budget, and the nearer one more often, as is exact
        assert ((counts - exact).abs() < 1).all()
        for part in (exact - exact.floor() < 0.3, exact - exact.floor() > 0.7):
            up = (counts > exact)[part].double()
            error = up.mean() - (exact - exact.floor())[part].mean()
            assert abs(error) < 4 * up.std() / math.sqrt(int(part.sum()))


def test_a_random_ratio_depends_on_seed_step_and_sample_and_on_nothing_else():
    masker, ids = Masker(Uniform(), ratio=Random(0.15, 0.9), seed=5), torch.tensor([7, 3, 11])
    slow = [0.15 + 0.75 * float(row_uniforms(keys(5, 2, torch.tensor([each]), stream=RATIO))) for each in (7, 3, 11)]
    assert masker.ratios(ids, 2, 100).tolist() == pytest.approx(slow)
    assert torch.equal(masker.ratios(ids.flip(0), 2, 7), masker.ratios(ids, 2, 100).flip(0))


def test_buckets_are_drawn_as_often_as_one_another():
    drawn = Masker(Uniform(), ratio=Random(0.1, 0.5, 0.1)).ratios(torch.arange(50_000), 0, 1)
    values, counts = drawn.mul(10).round().unique(return_counts=True)
    assert torch.allclose(drawn.mul(10), drawn.mul(10).round())
    assert values.tolist() == [1, 2, 3, 4, 5]
    assert stats.chisquare(counts).pvalue > 0.01


def test_rows_that_draw_their_ratio_must_be_known():
    masker = Masker(Uniform(), ratio=Random(0.1, 0.9))
    with pytest.raises(ValueError, match="each row draws its ratio, so the batch must say which samples they are"):
        masker.ratios(None, 0, 1)
    assert Masker(Uniform(), ratio=Constant(0.3)).ratios(None, 0, 1) == 0.3


def test_with_fixed_shapes_all_rows_of_a_step_share_one_ratio_that_differs_between_steps():
    masker, given = Masker(Uniform(), ratio=Random(0.15, 0.9), uniform=True), units(8, 100)
    counts = [masker(given, step, 400).sum(1) for step in range(400)]
    assert all(len(each.unique()) == 1 for each in counts)
    shares = torch.stack(counts)[:, 0].double() / 100
    assert 0.15 <= shares.min() < 0.17 and 0.88 < shares.max() <= 0.9
    assert shares.mean().item() == pytest.approx(0.525, abs=4 * 0.75 / math.sqrt(12 * 400))


def test_a_policy_may_draw_a_share_of_a_random_ratio():
    masker = Masker(Difference(TABLE), ratio=Random(0.2, 0.8), guided_share=Constant(0.5))
    given = units(4000, 40)
    assert masker(given, 0, 1).double().mean().item() == pytest.approx(0.5, abs=0.012)
    assert share(masker(given, 0, 1))[3] > 0.28


def test_difference_prefers_what_scores_high_and_strength_decides_how_much():
    tilts = [share(Masker(Difference(TABLE), strength=Constant(s))(units(), 0, 1))[3] for s in (0.0, 0.5, 1.0)]
    assert tilts[0] == pytest.approx(0.25, abs=0.02)
    assert tilts[0] < tilts[1] < tilts[2]


def test_weights_are_the_distribution_of_the_first_draw():
    given = units(2, 4)
    weights = Masker(Difference(TABLE), weighting=softmax_weights).weights(given, 0.0)
    assert torch.allclose(weights, TABLE.softmax(0).expand(2, 4))
    weights = Masker(Difference(TABLE), weighting=linear_weights, strength=Constant(0.5)).weights(given, 0.0)
    assert torch.allclose(weights, (0.5 / 4 + 0.5 * TABLE / TABLE.sum()).expand(2, 4))


def test_a_score_that_is_not_finite_is_an_error_only_where_eligible():
    class Broken(Uniform):
        def score(self, units):
            return torch.full(units.eligible.shape, math.nan)

    given = units(1, 4)
    with pytest.raises(ValueError, match="Broken gave an eligible unit a score that is not finite"):
        Masker(Broken())(given, 0, 1)
    given.eligible.fill_(False)
    assert not Masker(Broken())(given, 0, 1).any()


def test_a_strength_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"strength=1.5 is outside \[0, 1\]"):
        Masker(Uniform(), strength=Constant(1.5))(units(1), 0, 1)


def test_entropy_is_one_without_preference_and_zero_without_choice():
    weights = torch.tensor([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    assert entropy(weights, torch.ones(3, 4, dtype=torch.bool)).tolist() == pytest.approx([1.0, 0.0, 0.5])


def test_hints_stay_visible_and_set_in_with_the_strength():
    given = units(200, 8)
    visible = Masker(Difference(TABLE), hint_share=0.25, ratio=Constant(0.5))
    assert not visible(given, 0, 1)[:, 3::4].any()  # the two best of eight
    assert visible(given, 0, 1).double().mean() == pytest.approx(0.5)
    weights = Masker(Difference(TABLE), hint_share=0.25, strength=Constant(0.0)).weights(given, 0.0)
    assert torch.allclose(weights, torch.tensor(1 / 8))
    half = Masker(Difference(TABLE), hint_share=0.25, strength=Constant(0.5)).weights(given, 0.0)
    assert torch.allclose(half[:, 3::4], torch.tensor(0.5 / 8))


def test_the_direction_turns_the_preference_round():
    shown = share(Masker(Difference(TABLE), hide=False)(units(), 0, 1))
    assert shown.tolist() == sorted(shown.tolist(), reverse=True)


def test_the_guided_share_of_the_budget_is_drawn_by_the_policy_and_the_rest_at_random():
    only = Difference(torch.tensor([0.0, 0.0, 0.0, 1.0]))  # a quarter of the 40 units has any weight
    for share_of_budget in (0.0, 0.25, 0.5, 1.0):
        masker = Masker(
            only, Constant(0.25), weighting=linear_weights, uniform=True, guided_share=Constant(share_of_budget)
        )
        masked = masker(units(), 0, 1)
        assert (masked.sum(1) == 10).all()
        guided = round(10 * share_of_budget + 1e-9)
        # of the 10 - g others, drawn from 40 - g units, the 10 - g preferred ones that are left get their part
        expected = guided + (10 - guided) * (10 - guided) / (40 - guided)
        found = masked.view(len(masked), -1, 4)[:, :, 3].sum(1).double()
        assert found.mean().item() == pytest.approx(expected, abs=0.25)
        assert (found >= guided).all()


def test_what_is_drawn_at_random_is_independent_of_the_guided_part():
    """Had both parts the same noise, units that the policy nearly took would come last."""
    weights = torch.tensor([3.0, 1.0, 1.0, 1.0]).repeat(10).expand(4000, 40)
    given = units(4000)
    masker = Masker(Uniform(), Constant(0.5), uniform=True, guided_share=Constant(0.5))
    masked = masker.draw(weights, given, 0, 1)
    first = Masker(Uniform(), Constant(0.25), uniform=True, guided_share=Constant(1.0))
    # law of a weighted draw of 10, then of an even draw of 10 of the other 30, by simulation one unit at a time
    generator = torch.Generator().manual_seed(1)
    counts = torch.zeros(40)
    for row in weights[:4000]:
        taken = torch.multinomial(row, 10, generator=generator)
        rest = torch.ones(40)
        rest[taken] = 0
        counts[taken] += 1
        counts[torch.multinomial(rest, 10, generator=generator)] += 1
    heavy = slice(0, None, 4)
    assert first.draw(weights, given, 0, 1).sum(1).eq(10).all()
    assert masked.float().mean(0)[heavy].mean().item() == pytest.approx((counts / 4000)[heavy].mean().item(), abs=0.01)


def test_a_guided_share_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"guided_share=1.5 is outside \[0, 1\]; 0.5 lets the policy draw half"):
        Masker(Uniform(), guided_share=Constant(1.5))(units(2), 0, 1)


@pytest.mark.parametrize("share_of_budget", [0.0, 0.5, 1.0])
def test_hints_stay_visible_whatever_part_is_guided(share_of_budget):
    scores = Difference(torch.tensor([0.0, 0.5, 1.0, 4.0]))
    masker = Masker(scores, Constant(0.5), uniform=True, hint_share=0.25, guided_share=Constant(share_of_budget))
    masked = masker(units(), 0, 1).view(400, -1, 4)
    assert not masked[:, :, 3].any()  # the best quarter
    assert masked.flatten(1).sum(1).eq(20).all()
