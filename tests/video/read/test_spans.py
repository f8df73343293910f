"""Rows that show some seconds of a clip: which frames lie in them, and which entry a row shows."""

from dataclasses import replace

import pytest
import torch
from support.clip_files import clips_on_disk

from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import read_clips
from diffmask.video.read.dataset import ClipDataset, FailureLog, Sampling, frames_of_span
from diffmask.video.units.grid import Grid

GRID = Grid(2, 4, 4, 2, 8)
RATE, NUM_FRAMES = 10, 14


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    index, _ = clips_on_disk(tmp_path_factory.mktemp("data") / "clips", 3)
    return read_clips([index])


def times_of(clip, times, crop, shape):
    return times


def rows_of(clips, spans, kind="uniform", visits=(0,), **settings):
    sampling = Sampling(GRID, kind=kind, stride=1)
    data = ClipDataset(clips, sampling, spans=spans, maps={"times": times_of}, **settings)
    return [row for visit in visits for row in data[visit]]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((0.0, 1.4), range(14)),
        ((0.3, 0.6), range(3, 6)),
        ((0.35, 0.61), range(3, 7)),
        ((0.31, 0.32), range(3, 4)),
        ((1.39, 99.0), range(13, 14)),
        ((5.0, 6.0), range(13, 14)),  # beyond the clip: its last frame
        ((0.1 * 3, 0.1 * 6), range(3, 6)),  # rounding adds no frame
    ],
)
def test_the_frames_of_a_span_are_those_shown_in_it(span, expected):
    clip = Clip("a.mp4", "ok", num_frames=NUM_FRAMES, fps=RATE, duration=1.4)
    assert frames_of_span(clip, span) == expected


def test_a_clip_without_a_rate_has_its_mean_rate_or_is_shown_whole():
    clip = Clip("a.mp4", "ok", num_frames=20, duration=4.0)
    assert frames_of_span(clip, (1.0, 2.0)) == range(5, 10)
    assert frames_of_span(replace(clip, duration=0.0), (1.0, 2.0)) == range(20)


@pytest.mark.parametrize("kind", ["dense", "uniform"])
def test_rows_show_frames_of_the_span_at_times_of_the_whole_clip(clips, kind):
    for visit in range(6):
        (row,) = rows_of(clips, [(0.5, 1.0)] * 3, kind, [visit])
        frames = row["times"] * (NUM_FRAMES - 1)
        assert frames.min() >= 5
        assert frames.max() <= 9
        assert row["shown"] == visit % 3
    (row,) = rows_of(clips, [(0.6, 0.7)] * 3, kind)
    assert torch.allclose(row["times"] * (NUM_FRAMES - 1), torch.tensor(6.0))


def test_without_a_span_an_entry_is_shown_whole_with_the_same_bits(clips):
    (plain,) = rows_of(clips, None, visits=[1])
    (none,) = rows_of(clips, [None] * 3, visits=[1])
    assert none.keys() - plain.keys() == {"shown"}
    assert torch.equal(plain["frames"], none["frames"])
    assert torch.equal(plain["times"], none["times"])


def test_a_row_tells_which_entry_took_the_place_of_one_that_fails(clips, tmp_path):
    gone = replace(clips[0], path=str(tmp_path / "gone.mp4"))
    entries, spans = [gone, clips[1], clips[2]], [(0.0, 0.4), (0.5, 0.9), (1.0, 1.4)]
    for visit in (0, 3, 6, 9):
        (row,) = rows_of(entries, spans, visits=[visit], failures=FailureLog(tmp_path / "failures.jsonl"))
        first, last = (round(spans[row["shown"]][place] * RATE) for place in (0, 1))
        frames = row["times"] * (NUM_FRAMES - 1)
        assert row["shown"] in (1, 2)
        assert row["sample_id"] == 0
        assert frames.min() >= first
        assert frames.max() <= last - 1
