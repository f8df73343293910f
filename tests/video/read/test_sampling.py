"""Which frames are taken: spans with steps, one of each segment, and clips that are too short."""

import math
from collections import Counter

import pytest

from diffmask.video.read.sampling import dense, uniform

ALMOST_ONE = math.nextafter(1.0, 0.0)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, ALMOST_ONE])
def test_a_span_has_its_steps_and_stays_in_the_clip(place):
    for num_frames in (61, 62, 100, 1001):
        found = dense(num_frames, 16, 4, place)
        assert [after - before for before, after in zip(found, found[1:], strict=False)] == [4] * 15
        assert found[0] >= 0
        assert found[-1] < num_frames


def test_every_start_of_a_span_is_as_likely():
    starts = Counter(dense(20, 4, 4, (index + 0.5) / 800)[0] for index in range(800))
    assert starts == dict.fromkeys(range(8), 100)


def test_the_first_and_the_last_span_touch_the_ends():
    assert dense(100, 16, 4, 0.0)[0] == 0
    assert dense(100, 16, 4, ALMOST_ONE)[-1] == 99


@pytest.mark.parametrize("num_frames", range(1, 62))
def test_a_clip_that_is_too_short_is_spread_from_its_first_to_its_last_frame(num_frames):
    found = dense(num_frames, 16, 4, 0.7)
    if num_frames == 61:
        assert found == list(range(0, 61, 4))
        return
    assert (found[0], found[-1]) == (0, num_frames - 1)
    assert found == sorted(found)
    steps = {after - before for before, after in zip(found, found[1:], strict=False)}
    assert max(steps) - min(steps) <= 1
    # no frame is left out that could have been shown instead of a repeat
    assert len(set(found)) == min(16, num_frames)


def test_one_frame_of_a_clip_of_any_length():
    assert dense(1, 1, 1, 0.0) == dense(1, 1, 8, ALMOST_ONE) == [0]
    assert dense(1, 3, 8, 0.2) == [0, 0, 0]
    assert uniform(1, 1, 0.5) == [0]


@pytest.mark.parametrize("place", [0.0, 0.25, ALMOST_ONE])
def test_one_frame_lies_in_each_segment(place):
    for num_frames in (8, 9, 100, 997):
        for index, frame in enumerate(uniform(num_frames, 8, place)):
            assert math.floor(index * num_frames / 8) <= frame < (index + 1) * num_frames / 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dense(0, 4, 1, 0.5), "num_frames=0 must be positive"),
        (lambda: dense(4, 0, 1, 0.5), "count=0 must be positive"),
        (lambda: dense(4, 2, 0, 0.5), "stride=0 must be positive"),
        (lambda: uniform(4, 2, 1.0), r"place=1.0 is outside of \[0, 1\)"),
    ],
)
def test_what_makes_no_sense_is_asserted(call, message):
    with pytest.raises(AssertionError, match=message):
        call()
