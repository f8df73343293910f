"""How often comparing is wrong: simulated methods with and without a difference."""

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from diffmask.evaluate.resampling import holm, interval, noise, p_value

TOOL = Path(__file__).parents[2] / "tools" / "simulate_compare.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("simulate_compare", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks for its module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def said(tool, world, effect, num_seeds, simulations, texts=400):
    args = argparse.Namespace(
        texts=texts, draws=1000, simulations=simulations, seed=0, metric="micro_f1", command="power"
    )
    found = list(tool.trials(world, effect, num_seeds, args))
    return {name: np.mean([each[name] for each in found]) for name in found[0]}


def test_no_effect_is_rarely_taken_for_one_and_a_large_one_is_found(tool):
    # a test that is right at 5 % says more than 12 times in 100 with a chance of 1 in 1,000
    world = tool.WORLDS[0]
    assert said(tool, world, 0.0, 5, 100)["compare"] <= 0.12
    found = said(tool, world, 0.08, 5, 40)
    assert found["compare"] >= 0.9
    assert found["wrong sign"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_false_alarms_of_a_thousand_simulations(tool, num_seeds):
    for world in tool.WORLDS:
        found = said(tool, world, 0.0, num_seeds, 1000, texts=500)
        # where it is the t-test over seeds, at 5 %, more than 64 of 1,000 have a chance of 1 in 40
        assert found["compare"] <= (0.064 if world.name == "much noise of seeds" else 0.05), world.name
        assert found["covered"] >= (0.936 if world.name == "much noise of seeds" else 0.95), world.name


@pytest.mark.slow
def test_more_seeds_and_larger_effects_are_detected_more_often(tool):
    world = tool.WORLDS[0]
    power = {num: [said(tool, world, effect, num, 200)["compare"] for effect in (0.02, 0.04)] for num in (3, 10)}
    assert power[3][0] < power[3][1] < power[10][1]
    assert power[3][0] < power[10][0]


def test_without_noise_of_texts_it_is_the_t_test_over_seeds():
    values = np.array([0.01, 0.03, 0.02, 0.05])
    nothing, random = np.zeros((200_000, 4)), np.random.default_rng(0)
    assert p_value(values, nothing, random) == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, abs=0.003)
    expected = stats.t.interval(0.95, 3, values.mean(), values.std(ddof=1) / 2)
    assert interval(values, nothing, random) == pytest.approx(expected, abs=0.001)


def test_with_one_seed_it_is_the_permutation_test_over_texts():
    random = np.random.default_rng(0)
    drawn = random.normal(0.0, 0.01, (2000, 1))
    value = 0.015
    expected = (1 + np.sum(np.abs(drawn) >= value)) / 2001
    assert p_value(np.array([value]), drawn, random) == pytest.approx(expected)


def test_noise_of_seeds_that_the_texts_explain_is_counted_once():
    random = np.random.default_rng(0)
    # the seeds differ by as much as their own reading of the texts makes them differ
    own = random.normal(0.0, 0.01, (100_000, 40))
    scores = np.resize([0.01, -0.01], 40) * np.sqrt(39 / 40)
    drawn = noise(scores, own, random)
    assert drawn.std() == pytest.approx(0.01 / np.sqrt(40), rel=0.15)


def test_p_is_never_0_and_never_above_1():
    random, nothing = np.random.default_rng(0), np.zeros((1000, 3))
    assert p_value(np.array([1.0, 1.0, 1.0]), nothing, random) == pytest.approx(1 / 1001)
    assert p_value(np.zeros(3), nothing, random) == 1.0


def test_correction_is_that_of_holm():
    def slow(values):
        corrected = []
        for value in values:
            smaller = sorted(each for each in values if each <= value)
            corrected.append(min(1.0, max(each * (len(values) - sorted(values).index(each)) for each in smaller)))
        return corrected

    values = [0.01, 0.2, 0.03, 0.04, 0.011]
    assert holm(values) == pytest.approx(slow(values))
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
