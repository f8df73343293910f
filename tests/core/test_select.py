import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from diffmask.core.noise import SELECT, keys, row_uniforms, uniforms
from diffmask.core.select import LEAST_WEIGHT, draw_one, mask_count, select
from diffmask.core.units import Units

WEIGHTS = [0.5, 0.25, 0.2, 0.05]


def token_units(rows, length):
    ids = torch.arange(length).expand(rows, length)
    return Units(ids, torch.ones(rows, length, dtype=torch.bool), torch.arange(rows))


def word_units(rows, length, seed=0):
    """Words of one to four tokens in every row, the last one cut by the end of the row."""
    sizes = np.random.default_rng(seed).choice([1, 2, 3, 4], p=[0.7, 0.18, 0.08, 0.04], size=(rows, length))
    starts = np.zeros((rows, length), dtype=bool)
    for row, size in zip(starts, sizes, strict=True):
        edges = np.concatenate([[0], size.cumsum()])
        row[edges[edges < length]] = True
    ids = torch.from_numpy(starts.cumsum(1) - 1)
    eligible = torch.arange(int(ids.max()) + 1)[None] <= ids[:, -1:]
    return Units(ids, eligible, torch.arange(rows))


def even(units):
    return torch.ones(units.eligible.shape)


def sequences(weights, count):
    """Probability of every ordered draw without replacement."""
    for order in itertools.permutations(range(len(weights)), count):
        probability, left = 1.0, 1.0
        for unit in order:
            probability *= weights[unit] / left
            left -= weights[unit]
        yield order, probability


def slow_select(weights, units, ratio, seed, step):
    """Selection written out: one row and one unit at a time."""
    masked = torch.zeros_like(units.eligible)
    for row in range(len(weights)):
        sample = units.sample_ids[row : row + 1]
        noise = uniforms(keys(seed, step, sample, stream=SELECT), torch.arange(weights.shape[1]))
        border = float(row_uniforms(keys(seed, step, sample, stream=SELECT)))
        eligible = [unit for unit in range(weights.shape[1]) if units.eligible[row, unit]]
        eligible.sort(key=lambda unit: -math.log(noise[unit]) / max(float(weights[row, unit]), LEAST_WEIGHT))
        lengths = [(units.unit_ids[row] == unit).sum().item() for unit in eligible]
        room = ratio * sum(lengths)
        fitting = [place for place, length in enumerate(lengths) if length <= room]
        if lengths and lengths[0] > room and fitting:
            # one unit in any case: the first, or the next that fits, so that `room` positions are expected
            other = lengths[fitting[0]]
            masked[row, eligible[0 if border < (room - other) / (lengths[0] - other) else fitting[0]]] = True
            continue
        for place, (unit, length) in enumerate(zip(eligible, lengths, strict=True)):
            masked[row, unit] = room > border * length or place == 0
            room -= length
            if room <= 0:
                break
    return masked


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.6, 0.75])
def test_inclusion_equals_enumeration(ratio):
    rows = 200_000
    got = select(torch.tensor([WEIGHTS]).expand(rows, 4), token_units(rows, 4), ratio, seed=1, step=2)
    count, rest = int(4 * ratio), 4 * ratio - int(4 * ratio)
    expected = np.zeros(4)
    for size, share in ((count, 1 - rest), (count + 1, rest)):
        for order, probability in sequences(WEIGHTS, size) if share else ():
            expected[list(order)] += share * probability
    error = np.abs(got.double().mean(0).numpy() - expected)
    assert (error < 4.5 * np.sqrt(expected * (1 - expected) / rows) + 1e-12).all()


def test_sets_follow_numpy_choice_without_replacement():
    rows, count = 60_000, 2
    got = select(torch.tensor([WEIGHTS]).expand(rows, 4), token_units(rows, 4), count / 4, seed=0, step=0)
    generator = np.random.default_rng(0)
    theirs = np.stack([generator.choice(4, count, replace=False, p=WEIGHTS) for _ in range(rows)])
    code = np.array([1, 2, 4, 8])
    table = np.zeros((2, 16))
    np.add.at(table[0], (got.numpy() * code).sum(1), 1)
    np.add.at(table[1], code[theirs].sum(1), 1)
    assert stats.chi2_contingency(table[:, table.sum(0) > 0]).pvalue > 0.01


@pytest.mark.parametrize("make", [token_units, word_units])
@pytest.mark.parametrize("ratio", [0.02, 0.15, 0.4, 0.9])
def test_realised_ratio_is_unbiased(make, ratio):
    units = make(2000, 512)
    preference = torch.rand(units.eligible.shape, generator=torch.Generator().manual_seed(0)) ** 4
    masked = select(preference, units, ratio, seed=3, step=4)
    assert abs(units.to_positions(masked).double().mean() - ratio) < 1e-3


@pytest.mark.parametrize("make", [token_units, word_units])
def test_each_row_has_its_own_ratio_and_rows_with_equal_ratios_are_those_of_one(make):
    units, ratios = make(6, 24), torch.tensor([0.05, 0.15, 0.4, 0.4, 0.9, 1.0], dtype=torch.float64)
    preference = torch.rand(units.eligible.shape, generator=torch.Generator().manual_seed(0))
    for step in range(20):
        together = select(preference, units, ratios, seed=3, step=step)
        for row, ratio in enumerate(ratios.tolist()):
            assert torch.equal(together[row], select(preference, units, ratio, seed=3, step=step)[row])
            assert torch.equal(together[row], slow_select(preference, units, ratio, 3, step)[row])


def test_ratios_that_do_not_fit_the_rows_are_refused():
    units = token_units(3, 4)
    with pytest.raises(ValueError, match=r"the ratios have shape \(2,\); give one for each of 3 rows"):
        select(even(units), units, torch.tensor([0.1, 0.2]), seed=0, step=0)
    with pytest.raises(ValueError, match="uniform=True masks as many positions in every row; give one ratio"):
        select(even(units), units, torch.tensor([0.1, 0.2, 0.3]), seed=0, step=0, uniform=True)


@pytest.mark.parametrize("ratio", [0.15, 0.3])
def test_units_longer_than_the_budget_leave_the_ratio_as_it_is(ratio):
    sizes = torch.tensor([1, 6, 2, 5, 1, 4, 1])  # budgets of 3 and 6 of 20 positions
    ids = torch.repeat_interleave(torch.arange(7), sizes).expand(40_000, 20)
    units = Units(ids, torch.ones(40_000, 7, dtype=torch.bool), torch.arange(40_000))
    preference = torch.tensor([[1.0, 5.0, 1.0, 5.0, 1.0, 3.0, 1.0]]).expand(40_000, 7)
    masked = select(preference, units, ratio, seed=3, step=4)
    per_row = units.to_positions(masked).double().sum(1)
    assert float(per_row.mean()) == pytest.approx(20 * ratio, abs=4.5 * float(per_row.std()) / 200)
    assert masked.any(1).all()
    # what is preferred still is, counted in positions
    assert 6 * masked[:, 1].double().mean() > 1.5 * 2 * masked[:, 2].double().mean()


def test_one_that_fits_is_found_wherever_it_is_drawn():
    sizes = torch.tensor([8, 2, *[30] * 20])  # a budget of 12.2 positions, and twenty units that do not fit
    ids = torch.repeat_interleave(torch.arange(22), sizes).expand(20_000, 610)
    units = Units(ids, torch.ones(20_000, 22, dtype=torch.bool), torch.arange(20_000))
    masked = select(even(units), units, 0.02, seed=3, step=4)
    per_row = units.to_positions(masked).double().sum(1)
    assert float(per_row.mean()) == pytest.approx(12.2, abs=4.5 * float(per_row.std()) / 20_000**0.5)


@pytest.mark.parametrize(("length", "ratio"), [*((40, ratio) for ratio in (0.0, 0.02, 0.15, 0.5, 1.0)), (12, 0.2)])
def test_equals_the_slow_reference(length, ratio):
    units = word_units(60, length)
    weights = torch.rand(units.eligible.shape, generator=torch.Generator().manual_seed(1)) ** 3
    weights[:, ::5] = 0
    got = select(weights, units, ratio, seed=5, step=6)
    assert torch.equal(got, slow_select(weights, units, ratio, 5, 6))


def test_weight_zero_comes_last_and_is_drawn_evenly():
    rows = 30_000
    weights = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(rows, 4)
    got = select(weights, token_units(rows, 4), 0.5, seed=0, step=0).double().mean(0)
    assert got[0] == 1
    assert torch.allclose(got[1:], torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.01)


def test_at_least_one_unit_where_any_is_eligible():
    units = token_units(100, 3)
    units.eligible[::2] = False
    got = select(even(units), units, 0.02, seed=0, step=0)
    assert got[1::2].sum(1).eq(1).all()
    assert not got[::2].any()


def test_only_eligible_units_are_masked():
    units = word_units(50, 64)
    units.eligible[:, ::3] = False
    assert not (select(even(units), units, 0.9, seed=0, step=0) & ~units.eligible).any()
    everything = select(even(units), units, 1.0, seed=0, step=0)
    assert torch.equal(everything, units.eligible)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75, 0.9, 0.95])
def test_uniform_gives_every_row_the_same_count(ratio):
    ids = (torch.arange(64) // 2).expand(20, 64)
    units = Units(ids, torch.ones(20, 32, dtype=torch.bool), torch.arange(20))
    masked = select(torch.rand(20, 32), units, ratio, seed=0, step=0, uniform=True)
    assert masked.sum(1).eq(mask_count(32, ratio)).all()
    assert units.to_positions(masked).sum(1).eq(2 * mask_count(32, ratio)).all()


def test_uniform_never_prefers_the_start_of_a_row():
    units = token_units(20_000, 10)
    share = select(even(units), units, 0.5, seed=0, step=0, uniform=True).double().mean(0)
    assert (share - 0.5).abs().max() < 4.5 * 0.5 / 20_000**0.5


def test_uniform_refuses_units_of_different_lengths():
    units = word_units(3, 20)
    with pytest.raises(ValueError, match="uniform=True needs units of one length"):
        select(even(units), units, 0.5, seed=0, step=0, uniform=True)


@pytest.mark.parametrize(
    ("length", "ratio", "count"),
    [
        (10, 0.9, 9),
        (100, 0.9, 90),
        (1568, 0.9, 1411),
        (196, 0.9, 176),
        (196, 0.75, 147),
        (3, 0.5, 2),
        (7, 0, 0),
        (7, 1, 7),
    ],
)
def test_mask_count_rounds_half_up(length, ratio, count):
    assert mask_count(length, ratio) == count


def test_masks_do_not_depend_on_the_batch_around_a_row():
    units = word_units(8, 64)
    weights = torch.rand(units.eligible.shape, generator=torch.Generator().manual_seed(2))
    whole = select(weights, units, 0.3, seed=1, step=9)
    for rows in ([3], [7, 0], list(range(4, 8))):
        part = Units(units.unit_ids[rows], units.eligible[rows], units.sample_ids[rows])
        assert torch.equal(select(weights[rows], part, 0.3, seed=1, step=9), whole[rows])
    wide = Units(
        torch.nn.functional.pad(units.unit_ids, (0, 37), value=-1),
        torch.nn.functional.pad(units.eligible, (0, 50)),
        units.sample_ids,
    )
    padded = select(torch.nn.functional.pad(weights, (0, 50)), wide, 0.3, seed=1, step=9)
    assert torch.equal(padded[:, : whole.shape[1]], whole)
    assert not padded[:, whole.shape[1] :].any()


@pytest.mark.parametrize("change", [{"seed": 2}, {"step": 10}])
def test_seed_and_step_change_the_mask(change):
    units = token_units(4, 100)
    a = select(even(units), units, 0.3, seed=1, step=9)
    b = select(even(units), units, 0.3, **({"seed": 1, "step": 9} | change))
    assert 0.4 < (a ^ b).double().mean() / (2 * 0.3 * 0.7) < 1.6


def test_rows_without_units():
    units = Units(torch.full((2, 4), -1), torch.zeros(2, 0, dtype=torch.bool), torch.arange(2))
    masked = select(torch.zeros(2, 0), units, 0.15, seed=0, step=0)
    assert masked.shape == (2, 0)
    assert not units.to_positions(masked).any()


@pytest.mark.parametrize("ratio", [-0.1, 1.5, math.nan])
def test_a_ratio_outside_its_range_is_refused(ratio):
    units = token_units(1, 4)
    with pytest.raises(ValueError, match=rf"ratio={ratio} is outside \[0, 1\]"):
        select(even(units), units, ratio, seed=0, step=0)


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"weights have shape \(1, 5\); the units have \(1, 4\)"):
        select(torch.ones(1, 5), token_units(1, 4), 0.5, seed=0, step=0)


def test_one_candidate_is_drawn_in_proportion():
    log_weights = torch.tensor(WEIGHTS).log() + 5
    eligible = torch.tensor([True, True, False, True])
    rows = torch.arange(20_000)[:, None]
    noise = uniforms(keys(0, 0, rows, stream=SELECT), torch.arange(4)[None])
    drawn = draw_one(log_weights.expand(20_000, 4), eligible.expand(20_000, 4), noise)
    expected = np.array(WEIGHTS) * eligible.numpy()
    counts = np.bincount(drawn, minlength=4)
    assert counts[2] == 0
    assert stats.chisquare(counts[eligible], 20_000 * (expected / expected.sum())[eligible]).pvalue > 0.01


def test_a_row_without_candidates_gives_the_first():
    drawn = draw_one(torch.zeros(1, 3), torch.zeros(1, 3, dtype=torch.bool), torch.full((1, 3), 0.5))
    assert drawn.tolist() == [0]
