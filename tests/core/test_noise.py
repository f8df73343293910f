import numpy as np
import pytest
import torch
from scipy import stats

from diffmask.core.noise import CORRUPT, NEGATIVES, SELECT, keys, pair_keys, row_uniforms, uniforms

WORD, LONG = (1 << 32) - 1, (1 << 64) - 1


def draw(seed=0, step=0, samples=64, indices=512, stream=SELECT):
    rows = torch.arange(samples)[:, None]
    return uniforms(keys(seed, step, rows, stream=stream), torch.arange(indices)[None])


def slow(seed, step, sample, index, stream):
    """The same number in plain Python integers."""
    golden = 0x9E3779B97F4A7C15

    def splitmix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & LONG
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & LONG
        return z ^ (z >> 31)

    def mix(value):
        return splitmix((value * golden + golden) & LONG)

    key = splitmix((sample * golden + mix(mix(mix(seed) ^ step) + stream)) & LONG)
    x = ((key & WORD) + index * 0x9E3779B9) & WORD
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & WORD
    x = x ^ (x >> 15) ^ (key >> 32)
    x = (x * 0x846CA68B) & WORD
    x = x ^ (x >> 16)
    signed = x - (1 << 32) if x >> 31 else x
    return (signed + 2**31 + (index + 0.5) / 2**20) / 2**32


@pytest.mark.parametrize("sample", [0, 1, 77, 2**31, 2**40 + 3, 2**62])
@pytest.mark.parametrize(("seed", "step", "stream"), [(0, 0, SELECT), (7, 3, CORRUPT), (-1, 2**31 + 5, CORRUPT)])
def test_equals_the_slow_reference(seed, step, sample, stream):
    got = uniforms(keys(seed, step, torch.tensor([[sample]]), stream=stream), torch.arange(5)[None])
    assert got[0].tolist() == [slow(seed, step, sample, index, stream) for index in range(5)]


def test_uniform_in_the_open_interval():
    values = draw(samples=2000, indices=512).flatten().numpy()
    assert values.min() > 0
    assert values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 0.01
    counts = np.histogram(values, bins=1024, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("change", [{"seed": 1}, {"step": 1}, {"stream": CORRUPT}, {"seed": 1 << 32}])
def test_every_argument_gives_independent_numbers(change):
    a, b = draw(samples=500), draw(samples=500, **change)
    assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 4 / a.numel() ** 0.5
    assert (a != b).all()


@pytest.mark.parametrize("lag", [1, 2, 3, 64])
@pytest.mark.parametrize("axis", [0, 1])
def test_neighbours_are_independent(axis, lag):
    values = draw(samples=600)
    a, b = values.narrow(axis, 0, values.shape[axis] - lag), values.narrow(axis, lag, values.shape[axis] - lag)
    assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 4 / a.numel() ** 0.5


def test_consecutive_steps_are_independent_at_one_place():
    values = torch.stack([draw(step=step, samples=8, indices=16) for step in range(4000)]).flatten(1)  # (4000, 128)
    correlation = np.corrcoef(values.numpy(), rowvar=False)
    off = correlation[~np.eye(128, dtype=bool)]
    assert np.abs(off).max() < 5.5 / 4000**0.5
    lagged = [np.corrcoef(values[:-1, i], values[1:, i])[0, 1] for i in range(128)]
    assert np.abs(lagged).max() < 4.5 / 4000**0.5


def test_no_two_indices_of_a_sample_tie():
    values = draw(samples=4, indices=200_000)
    assert all(len(row.unique()) == 200_000 for row in values)


def test_rows_may_be_taken_one_by_one():
    rows, columns = torch.tensor([2, 0, 2]), torch.tensor([5, 1, 0])
    full = draw(samples=3, indices=6)
    some = uniforms(keys(0, 0, torch.arange(3), stream=SELECT).take(rows), columns)
    assert torch.equal(some, full[rows, columns])


def test_the_number_of_a_row_is_uniform_and_says_nothing_of_its_units():
    row_keys = keys(0, 0, torch.arange(20_000)[:, None], stream=SELECT)
    rows = row_uniforms(row_keys)
    assert stats.kstest(rows.flatten().numpy(), "uniform").pvalue > 0.01
    units = uniforms(row_keys, torch.arange(64)[None])
    for column in range(64):
        assert abs(np.corrcoef(rows[:, 0], units[:, column])[0, 1]) < 4.5 / 20_000**0.5
    best = units.argmax(1)
    assert stats.chisquare(torch.bincount(best[rows[:, 0] < 0.1], minlength=64).numpy()).pvalue > 0.01
    assert stats.ks_2samp(units.amax(1)[rows[:, 0] < 0.5], units.amax(1)[rows[:, 0] >= 0.5]).pvalue > 0.01


def test_pairs_of_samples_have_independent_numbers():
    one, other = torch.arange(400)[:, None], torch.arange(400)[None]
    noise = pair_keys(0, 3, one, other, stream=NEGATIVES)
    values = [uniforms(noise, torch.full((1, 1), side)) for side in (0, 1)]
    flat = [each.flatten().numpy() for each in (*values, values[0].T)]
    assert len(np.unique(flat[0])) > 0.999 * flat[0].size
    assert stats.kstest(flat[0], "uniform").pvalue > 0.01
    for first, second in [(0, 1), (0, 2)]:  # sides, and the order within a pair
        off = flat[first] != flat[second]
        assert abs(np.corrcoef(flat[first][off], flat[second][off])[0, 1]) < 4 / off.sum() ** 0.5
    assert torch.equal(pair_keys(0, 3, one[7], other[0], stream=NEGATIVES).low, noise.low[7])
