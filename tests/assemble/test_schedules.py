import math
import random

import pytest

from diffmask.assemble.schedules import COMMON, PRESETS, RATIO_FLOOR, SCHEDULES, build_schedule
from diffmask.config import ScheduleConfig
from diffmask.core.errors import InputError
from diffmask.core.schedule import Buckets, Random, mean

QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
P = 0.15

# The table of Yang et al. 2023 as published: values at 0, T/4, T/2, 3T/4, T, and the mean.
TABLE = {
    "mrd-linear": (0.300, 0.225, 0.150, 0.075, 0.0, 0.150),
    "mrd-cosine": (0.320, 0.276, 0.170, 0.064, 0.020, 0.170),
    "mrd-ascending": (0.0, 0.075, 0.15, 0.225, 0.30, 0.150),
    "mrd-square-above": (0.310, 0.291, 0.235, 0.141, 0.010, 0.210),
    "mrd-square-below": (0.300, 0.169, 0.075, 0.019, 0.0, 0.100),
    "mrd-tent": (0.0, 0.15, 0.30, 0.15, 0.0, 0.150),
    "mrd-vee": (0.31, 0.16, 0.01, 0.16, 0.31, 0.160),
    "mrd-warmup-decay": (0.0, 0.2446, 0.1630, 0.0815, 0.0, 0.150),
}

# Its formulas, with t the step.
FORMULAS = {
    "mrd-linear": lambda t, steps: (1 - t / steps) * 2 * P,
    "mrd-cosine": lambda t, steps: P * (1 + math.cos(math.pi * t / steps)) + 0.02,
    "mrd-ascending": lambda t, steps: t / steps * 2 * P,
    "mrd-square-above": lambda t, steps: 2 * P + 0.01 - 2 * P * (t / steps) ** 2,
    "mrd-square-below": lambda t, steps: 2 * P * (1 - t / steps) ** 2,
    "mrd-tent": lambda t, steps: 4 * P * t / steps if t < steps / 2 else 4 * P * (1 - t / steps),
    "mrd-vee": lambda t, steps: abs(1 - 2 * t / steps) * 2 * P + 0.01,
    "mrd-warmup-decay": lambda t, steps: (
        2 * P * t / 80_000 if t < 80_000 else 2 * P * (1 - (t - 80_000) / (steps - 80_000))
    ),
    "30-15": lambda t, steps: 0.30 - 0.15 * t / steps,
    "30-15-5": lambda t, steps: 0.30 if t < 2300 / 3000 * steps else 0.15 if t < 2900 / 3000 * steps else 0.05,
}

OF_EACH = {
    "constant": {"start": 0.2},
    "linear": {"start": 0.3, "end": 0.1},
    "cosine": {"start": 0.3, "end": 0.0},
    "polynomial": {"start": 0.3, "end": 0.0, "power": 3.0, "ease": "in"},
    "tent": {"start": 0.1, "middle": 0.4},
    "vee": {"start": 0.4, "middle": 0.0},
    "warmup_decay": {"start": 0.0, "peak": 0.3, "end": 0.1, "warmup": 0.1},
    "steps": {"at": (0.0, 0.3, 0.8), "values": (0.3, 0.01, 0.2)},
    "piecewise": {"at": (0.0, 0.3, 1.0), "values": (0.3, 0.1, 0.2)},
    "random": {"low": 0.2, "high": 0.8},
}

UNSCALED = ("constant", "random")  # their means are said by their settings


def build(schedule, default_floor=RATIO_FLOOR, **settings):
    return build_schedule(ScheduleConfig(schedule, **settings), "masking.ratio", default_floor)


@pytest.mark.parametrize("name", TABLE)
def test_presets_have_the_values_of_the_published_table(name):
    schedule = PRESETS[name].schedule
    assert [schedule(progress) for progress in QUARTERS] == pytest.approx(TABLE[name][:-1], abs=5.1e-4)
    assert mean(schedule) == pytest.approx(TABLE[name][-1], abs=1e-9)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_follow_their_formulas_step_by_step(name):
    num_steps, schedule = 1_000_000, PRESETS[name].schedule
    for step in range(0, num_steps + 1, 997):
        assert schedule(step / num_steps) == pytest.approx(FORMULAS[name](step, num_steps), abs=1e-12)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_followed_over_the_floor(name):
    schedule, raw = build(name), PRESETS[name].schedule
    for progress in (index / 500 for index in range(501)):
        assert schedule(progress) == max(0.02, raw(progress))


def test_phases_of_mmbert():
    schedule = build("30-15-5")
    assert [schedule(t) for t in (0.0, 0.766, 0.767, 0.966, 0.967, 1.0)] == [0.3, 0.3, 0.15, 0.15, 0.05, 0.05]
    assert mean(schedule) == pytest.approx((2300 * 0.3 + 600 * 0.15 + 100 * 0.05) / 3000, abs=1e-9)


def test_every_schedule_has_an_example_here():
    assert OF_EACH.keys() == SCHEDULES.keys()


@pytest.mark.parametrize("name", [*OF_EACH, *PRESETS])
@pytest.mark.parametrize("floor", [0.0, 0.02])
def test_what_is_built_lies_between_floor_and_one(name, floor):
    generator = random.Random(name)
    settings = OF_EACH.get(name, {})
    built = [build(name, floor, **settings)]
    if name not in UNSCALED:
        built += [build(name, floor, **settings, normalise="mean", mean=target) for target in (0.1, 0.15, 0.5)]
        built.append(build(name, floor, **settings, bucket=0.07))
    for schedule in built:
        for progress in (-0.5, 0.0, 1.0, 1.5, *(generator.random() for _ in range(200))):
            assert floor <= schedule(progress) <= 1.0


@pytest.mark.parametrize("name", [name for name in (*OF_EACH, *PRESETS) if name not in UNSCALED])
@pytest.mark.parametrize("target", [None, 0.06, 0.3, 0.6])
def test_normalised_means_are_exact_on_a_fine_grid(name, target):
    schedule = build(name, **OF_EACH.get(name, {}), normalise="mean", mean=target)
    assert mean(schedule) == pytest.approx(target or 0.15, abs=1e-6)
    num_points = 30_000
    slow = sum(schedule((index + 0.5) / num_points) for index in range(num_points)) / num_points
    # where it jumps, the grid is off by half a point
    assert slow == pytest.approx(target or 0.15, abs=2e-5)


def test_normalising_keeps_the_shape():
    raw, schedule = PRESETS["mrd-cosine"].schedule, build("mrd-cosine", normalise="mean")
    factors = [schedule(t) / raw(t) for t in (0.0, 0.3, 0.6)]
    assert factors == pytest.approx([factors[0]] * 3)


def test_buckets_and_mean_go_together():
    schedule = build("mrd-cosine", normalise="mean", mean=0.2, bucket=0.05)
    values = {schedule(index / 1000) for index in range(1001)}
    assert values <= {0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45}
    assert len(values) > 4
    assert mean(schedule) == pytest.approx(0.2, abs=1e-6)
    assert isinstance(build("mrd-linear", bucket=0.05), Buckets)
    assert build("mrd-linear", bucket=0.05)(1.0) == 0.05


def test_strength_may_rise_from_nothing_and_fall_back():
    rising = build("linear", 0.0, start=0.0, end=1.0)
    assert (rising(0.0), rising(1.0)) == (0.0, 1.0)
    assert build("cosine", 0.0, start=1.0, end=0.0)(1.0) == 0.0


def test_a_ratio_that_is_drawn_has_the_mean_of_its_ends():
    drawn = build("random", low=0.15, high=0.9)
    assert mean(drawn) == pytest.approx(0.525)
    assert drawn.range(0.3) == (0.15, 0.9)
    assert build("random", low=0.15, high=0.9, bucket=0.05) == Random(0.15, 0.9, 0.05)
    assert build("random", low=0.01, high=0.9, floor=0.005) == Random(0.01, 0.9)


REFUSED = [
    ("random", {"low": 0.2}, "`masking.ratio` is random and has no high; add masking.ratio.high="),
    ("random", {"low": 0.9, "high": 0.15}, "is drawn between 0.9 and 0.15; give a high above the low"),
    ("random", {"low": 0.01, "high": 0.5}, "is drawn from 0.01 on, which is under its floor of 0.02; raise masking"),
    ("random", {"low": 0.2, "high": 0.5, "floor": 0.1}, "has a floor of 0.1 but never falls under 0.2; drop"),
    ("random", {"low": 0.2, "high": 0.5, "bucket": 0.2}, r"buckets of 0.2, and its high \(0.5\) is no multiple of it"),
    (
        "random",
        {"low": 0.2, "high": 0.5, "normalise": "mean"},
        "is drawn at random, so its mean is halfway between low",
    ),
    ("linear", {"start": 0.3, "end": 0.1, "low": 0.1}, r"is linear and has a low \(0.1\), which it does not use"),
    (
        "linier",
        {},
        "unknown schedule in `masking.ratio` 'linier'; choose from: constant, .*; or a preset: 30-15, 30-15-5",
    ),
    ("linear", {"start": 0.3}, "`masking.ratio` is linear and has no end; add masking.ratio.end=..."),
    ("linear", {"end": 0.3}, "`masking.ratio` is linear and has no start; add masking.ratio.start=..."),
    ("warmup_decay", {"start": 0.0, "peak": 0.3, "end": 0.0}, "is warmup_decay and has no warmup"),
    ("steps", {}, "`masking.ratio` is steps and has no at; add masking.ratio.at="),
    (
        "linear",
        {"start": 0.3, "end": 0.1, "power": 2.0},
        r"is linear and has a power \(2.0\), which it does not use; drop power \(linear takes start, end\)",
    ),
    ("constant", {"start": 0.3, "end": 0.1}, r"`masking.ratio` is constant and has an end \(0.1\)"),
    ("tent", {"start": 0.0, "middle": 0.3, "end": 0.1}, r"is tent and has an end \(0.1\), .*tent takes start, middle"),
    ("steps", {"at": (0.0, 0.5), "values": (0.3, 0.1), "start": 0.3}, r"is steps and has a start \(0.3\)"),
    (
        "mrd-cosine",
        {"start": 0.3},
        r"`masking.ratio` is the preset mrd-cosine and has a start \(0.3\), which it does not use; drop start",
    ),
    ("mrd-cosine", {"at": (0.0, 1.0)}, r"is the preset mrd-cosine and has at \(\(0.0, 1.0\)\), which it does not use"),
    ("constant", {"start": 1.5}, r"masking.ratio.start=1.5 is outside \[0, 1\]; 0.15 means 15 %"),
    ("constant", {"start": math.nan}, r"masking.ratio.start=nan is outside \[0, 1\]"),
    ("linear", {"start": 0.3, "end": -0.1}, r"masking.ratio.end=-0.1 is outside \[0, 1\]"),
    ("tent", {"start": 0.3, "middle": 1.1}, r"masking.ratio.middle=1.1 is outside \[0, 1\]"),
    (
        "steps",
        {"at": (0.0, 0.5), "values": (0.3, 2.0)},
        r"masking.ratio.values=\[0.3, 2.0\] must hold numbers in \[0, 1\]",
    ),
    ("mrd-linear", {"floor": 1.2}, r"masking.ratio.floor=1.2 is outside \[0, 1\]"),
    (
        "tent",
        {"start": 0.3, "middle": 0.1},
        r"is a tent whose middle \(0.1\) is not above its start \(0.3\); .* use vee",
    ),
    (
        "vee",
        {"start": 0.1, "middle": 0.3},
        r"is a vee whose middle \(0.3\) is not under its start \(0.1\); .* use tent",
    ),
    (
        "warmup_decay",
        {"start": 0.0, "peak": 0.3, "end": 0.0, "warmup": 1.0},
        r"masking.ratio.warmup=1 is outside \(0, 1\); 0.08 means 8 % of training",
    ),
    (
        "polynomial",
        {"start": 0.3, "end": 0.0, "power": 0.0},
        "masking.ratio.power=0 must be above 0; 1 is a line, 2 a square",
    ),
    (
        "polynomial",
        {"start": 0.3, "end": 0.0, "ease": "slow"},
        "unknown masking.ratio.ease 'slow'; choose from: in, out",
    ),
    (
        "steps",
        {"at": (0.0, 0.8, 0.5), "values": (0.3, 0.2, 0.1)},
        r"`masking.ratio.at` is \[0, 0.8, 0.5\]; it must rise from 0 and stay under 1, such as \[0, 0.5\]",
    ),
    ("steps", {"at": (0.1, 0.5), "values": (0.3, 0.2)}, r"is \[0.1, 0.5\]; it must rise from 0"),
    ("steps", {"at": (0.0, 1.0), "values": (0.3, 0.2)}, r"is \[0, 1\]; it must rise from 0 and stay under 1"),
    ("steps", {"at": (0.0, 0.5, 0.5), "values": (0.3, 0.2, 0.1)}, r"is \[0, 0.5, 0.5\]; it must rise from 0"),
    (
        "piecewise",
        {"at": (0.0, 0.5), "values": (0.3, 0.2)},
        r"`masking.ratio.at` is \[0, 0.5\]; it must rise from 0 to 1, such as \[0, 0.5, 1\]",
    ),
    (
        "piecewise",
        {"at": (0.0, 0.9, 0.5, 1.0), "values": (0.3,) * 4},
        r"is \[0, 0.9, 0.5, 1\]; it must rise from 0 to 1",
    ),
    (
        "steps",
        {"at": (0.0, 0.5), "values": (0.3,)},
        "has 2 numbers in `at` and 1 in `values`; give two or more, and as",
    ),
    ("steps", {"at": (0.0,), "values": (0.3,)}, "has 1 numbers in `at` and 1 in `values`; give two or more"),
    (
        "mrd-linear",
        {"mean": 0.2},
        r"has a mean \(0.2\), which takes effect with normalise only; add masking.ratio.normalise=mean, or drop mean",
    ),
    ("mrd-linear", {"normalise": "max"}, "unknown masking.ratio.normalise 'max'; choose from: mean"),
    ("mrd-linear", {"normalise": "mean", "mean": 1.5}, r"masking.ratio.mean=1.5 is outside \(0, 1\]"),
    ("constant", {"start": 0.2, "normalise": "mean"}, "is constant, so its mean is its value; drop normalise, and set"),
    (
        "mrd-linear",
        {"normalise": "mean", "mean": 0.01},
        "cannot have a mean of 0.01 over training: with its floor of 0.02 the mean is over 0.02, however far it is "
        "scaled down; raise masking.ratio.mean, or lower masking.ratio.floor",
    ),
    (
        "steps",
        {"at": (0.0, 0.5), "values": (0.3, 0.0), "normalise": "mean", "mean": 0.8},
        "cannot have a mean of 0.8 over training: its mean stays under 0.51, however far it is scaled up, because no "
        "value exceeds 1; lower masking.ratio.mean",
    ),
    (
        "steps",
        {"at": (0.0, 0.5), "values": (0.3, 0.2), "normalise": "mean", "mean": 0.17, "bucket": 0.1},
        "cannot have a mean of 0.17 over training: with its buckets the nearest means are 0.150000 and 0.200000; set "
        "masking.ratio.mean to one of them, or drop bucket",
    ),
    (
        "constant",
        {"start": 0.01},
        "`masking.ratio` never rises over its floor of 0.02; raise it, or set masking.ratio.fl",
    ),
    (
        "30-15",
        {"floor": 0.1},
        "`masking.ratio` has a floor of 0.1 but never falls under 0.15; drop masking.ratio.floor",
    ),
    ("mrd-linear", {"bucket": 0.0}, r"masking.ratio.bucket=0 is outside \(0, 1\]; 0.05 gives 5 %"),
    (
        "linear",
        {"start": 0.9, "end": 0.1, "floor": 0.7, "bucket": 0.6},
        "has buckets of 0.6 and a floor of 0.7, with no multiple between the floor and 1; lower one of the two",
    ),
    (
        "30-15-5",
        {"bucket": 0.05},
        "has buckets of 0.05, and all its values are multiples of it already; drop bucket",
    ),
]


@pytest.mark.parametrize(("name", "settings", "message"), REFUSED)
def test_what_cannot_be_followed_or_cannot_take_effect_is_refused(name, settings, message):
    with pytest.raises(InputError, match=message) as refused:
        build(name, **settings)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 420


def test_a_lower_floor_takes_effect_where_the_usual_one_would_lift():
    assert build("constant", start=0.01, floor=0.0)(0.5) == 0.01
    assert build("mrd-linear", floor=0.0)(1.0) == 0.0


def test_the_nearest_means_of_buckets_can_be_asked_for():
    settings = {"at": (0.0, 0.5), "values": (0.3, 0.2), "bucket": 0.1, "normalise": "mean"}
    with pytest.raises(InputError) as refused:
        build("steps", **settings, mean=0.17)
    low = float(str(refused.value).split("means are ")[1].split(" and ")[0])
    assert mean(build("steps", **settings, mean=low)) == pytest.approx(low, abs=1e-6)


def test_common_settings_are_fields():
    for name in COMMON:
        assert hasattr(ScheduleConfig(), name)
