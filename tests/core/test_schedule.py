import math
import random
from dataclasses import FrozenInstanceError, fields

import pytest

from diffmask.core.schedule import (
    Buckets,
    Constant,
    Cosine,
    Floor,
    Linear,
    Piecewise,
    Polynomial,
    Scaled,
    Steps,
    find_factor,
    mean,
)

QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
SCHEDULES = [
    Constant(0.15),
    Linear(0.3, 0.0),
    Cosine(0.32, 0.02),
    Polynomial(0.3, 0.1, 3.0),
    Polynomial(0.1, 0.9, 0.5),
    Polynomial(0.31, 0.01, 2.0, ease_in=True),
    Steps((0.0, 0.5, 0.9), (0.3, 0.15, 0.05)),
    Piecewise((0.0, 0.08, 1.0), (0.0, 0.3, 0.0)),
    Floor(Linear(0.3, 0.0), 0.1),
    Scaled(Cosine(0.32, 0.02), 2.7),
    Scaled(Linear(0.9, 0.0), 3.0),
    Buckets(Linear(0.3, 0.0), 0.05),
    Buckets(Floor(Scaled(Piecewise((0.0, 0.5, 1.0), (0.0, 1.0, 0.0)), 1.5), 0.02), 0.3, 0.02),
]


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Constant(0.15), (0.15, 0.15, 0.15, 0.15, 0.15)),
        (Linear(0.3, 0.0), (0.3, 0.225, 0.15, 0.075, 0.0)),
        (Linear(0.0, 0.3), (0.0, 0.075, 0.15, 0.225, 0.3)),
        (Cosine(0.32, 0.02), (0.32, 0.276, 0.17, 0.064, 0.02)),
        (Floor(Linear(0.3, 0.0), 0.1), (0.3, 0.225, 0.15, 0.1, 0.1)),
        (Polynomial(0.8, 0.0), (0.8, 0.45, 0.2, 0.05, 0.0)),
        (Polynomial(0.0, 0.8, ease_in=True), (0.0, 0.05, 0.2, 0.45, 0.8)),
        (Polynomial(0.3, 0.1, 1.0), (0.3, 0.25, 0.2, 0.15, 0.1)),
        (Steps((0.0, 0.25, 0.75), (0.3, 0.2, 0.1)), (0.3, 0.2, 0.2, 0.1, 0.1)),
        (Piecewise((0.0, 0.5, 1.0), (0.0, 0.4, 0.2)), (0.0, 0.2, 0.4, 0.3, 0.2)),
        (Piecewise((0.0, 0.25, 1.0), (0.1, 0.1, 0.7)), (0.1, 0.1, 0.3, 0.5, 0.7)),
        (Scaled(Linear(0.8, 0.0), 2.0), (1.0, 1.0, 0.8, 0.4, 0.0)),
        (Buckets(Linear(0.4, 0.0), 0.1), (0.4, 0.3, 0.2, 0.1, 0.0)),
        (Buckets(Linear(0.28, 0.01), 0.1), (0.3, 0.2, 0.1, 0.1, 0.1)),
    ],
)
def test_values(schedule, values):
    assert [schedule(progress) for progress in QUARTERS] == pytest.approx(values, abs=5e-4)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_every_schedule_stays_in_its_range_is_frozen_and_clamps_progress(schedule):
    values = [schedule(step / 1000) for step in range(1001)]
    assert all(math.isfinite(value) and 0.0 <= value <= 1.0 for value in values)
    assert schedule(-3) == schedule(0.0)
    assert schedule(2) == schedule(1.0)
    assert [schedule(step / 1000) for step in range(1001)] == values  # no state
    with pytest.raises(FrozenInstanceError):
        setattr(schedule, fields(schedule)[0].name, None)
    assert hash(schedule) == hash(schedule)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_between_two_breaks_every_unwrapped_shape_is_monotone(schedule):
    if isinstance(schedule, Floor | Scaled | Buckets):
        return
    cuts = [0.0, *schedule.breaks, 1.0]
    for left, right in zip(cuts, cuts[1:], strict=False):
        inner = [schedule(left + (right - left) * part / 100) for part in range(100)]
        assert inner == sorted(inner) or inner == sorted(inner, reverse=True)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_the_mean_is_that_of_a_fine_grid(schedule):
    num_points = 200_000
    slow = sum(schedule((index + 0.5) / num_points) for index in range(num_points)) / num_points
    # a jump is off by less than half a step of the grid
    assert mean(schedule) == pytest.approx(slow, abs=4e-6 if isinstance(schedule, Buckets) else 1e-6)


def test_the_mean_of_known_integrals():
    assert mean(Linear(0.3, 0.0)) == pytest.approx(0.15, abs=1e-12)
    assert mean(Cosine(0.32, 0.02)) == pytest.approx(0.17, abs=1e-9)
    assert mean(Polynomial(0.9, 0.0, 2.0)) == pytest.approx(0.3, abs=1e-9)
    assert mean(Polynomial(0.9, 0.0, 0.5)) == pytest.approx(0.6, abs=1e-7)
    assert mean(Steps((0.0, 0.501, 0.502), (0.1, 1.0, 0.1))) == pytest.approx(0.1009, abs=1e-9)
    assert mean(Floor(Linear(0.4, 0.0), 0.2)) == pytest.approx(0.25, abs=1e-9)


def test_no_bucket_is_zero_under_the_floor_or_above_one():
    generator = random.Random(0)
    for _ in range(2000):
        size, floor, value = generator.uniform(0.01, 1.0), generator.uniform(0.0, 0.3), generator.random()
        bucketed = Buckets(Constant(max(value, floor)), size, floor)(0.0)
        multiples = [round(size * number, 12) for number in range(1, int(1 / size + 1e-9) + 1)]
        allowed = [each for each in multiples if each >= floor - 1e-12] or multiples[-1:]
        nearest = min(abs(each - max(value, floor)) for each in allowed)
        assert bucketed in allowed
        assert abs(bucketed - max(value, floor)) == pytest.approx(nearest, abs=1e-9)
    assert Buckets(Constant(0.001), 0.25)(0.0) == 0.25
    assert Buckets(Constant(0.15), 0.05)(0.0) == 0.15


@pytest.mark.parametrize("target", [0.05, 0.15, 0.4, 0.85])
def test_a_factor_gives_the_mean_with_floor_and_cap(target):
    def scaled(factor):
        return Floor(Scaled(Linear(0.3, 0.0), factor), 0.02)

    low, high = find_factor(scaled, target)
    assert low <= high
    assert mean(scaled(high)) == pytest.approx(target, abs=1e-6)


def test_a_factor_that_does_not_exist_is_said_at_the_ends():
    def scaled(factor):
        return Floor(Scaled(Steps((0.0, 0.5), (0.3, 0.0)), factor), 0.1)

    assert find_factor(scaled, 0.05) == (0.0, 0.0)
    low, high = find_factor(scaled, 0.7)
    assert low == high > 1e5
