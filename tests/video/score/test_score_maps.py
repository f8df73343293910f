import contextlib
import logging
from dataclasses import replace

import pytest
import torch

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import OK, Clip, ReadError
from diffmask.video.read import readers
from diffmask.video.score import score_maps as maps
from diffmask.video.score.score_maps import _map_frames, _map_path, _read_map, make_maps

CLIPS = [Clip(f"clips/{name}.mp4", OK, num_frames=30, duration=1.0, size=9, mtime=1.0) for name in "abc"]


class Mean:
    """Scores the patches of a frame by their mean."""

    key = "mean"

    def __init__(self):
        self.num_scored = 0

    def score(self, frames):
        self.num_scored += len(frames)
        return frames.float().mean(3).unflatten(1, (2, 4)).unflatten(3, (3, 4)).mean((2, 4))


@pytest.fixture
def reader(monkeypatch):
    """Every clip has frames whose value is their number; clips named in `broken` cannot be read."""
    broken = {}

    class Numbered:
        num_frames = 30
        read_chunks = readers._Reader.read_chunks

        def __init__(self, path):
            self.path = path

        def read(self, indices):
            if broken.get(self.path) == "late" and max(indices) > 20:
                raise ReadError(self.path, "frame 21 is corrupt")
            assert len(indices) <= readers._CHUNK_FRAMES
            return torch.tensor(indices, dtype=torch.uint8)[:, None, None, None].expand(-1, 8, 12, 3)

    @contextlib.contextmanager
    def open_reader(clip):
        if broken.get(clip.path) == "gone":
            raise ReadError(clip.path, "the file is gone")
        yield Numbered(clip.path)

    monkeypatch.setattr(maps, "open_reader", open_reader)
    return broken


def test_frames_are_spread_evenly_two_per_second():
    assert _map_frames(301, 10.0) == [round(300 * i / 19) for i in range(20)]
    assert _map_frames(100, 1.0) == [0, 14, 28, 42, 57, 71, 85, 99]
    assert len(_map_frames(100_000, 3600.0)) == 64
    assert _map_frames(5, 60.0) == [0, 1, 2, 3, 4]
    assert _map_frames(1, 0.0) == [0] and _map_frames(0, 0.0) == []


def test_a_map_holds_scores_and_times_in_half_precision(reader, tmp_path):
    found = _read_map(make_maps(CLIPS, Mean(), tmp_path)[0])
    frames = _map_frames(30, 1.0)
    assert found.values.dtype == torch.float16 and found.values.shape == (8, 2, 3)
    assert found.values[:, 0, 0].tolist() == frames
    torch.testing.assert_close(found.times, torch.tensor(frames) / 29)


def test_what_is_there_is_not_made_again(reader, tmp_path):
    first = make_maps(CLIPS, Mean(), tmp_path)
    scorer = Mean()
    assert make_maps(CLIPS, scorer, tmp_path) == first and scorer.num_scored == 0
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("change", [{"path": "clips/other.mp4"}, {"size": 10}, {"mtime": 2.0}])
def test_another_file_has_another_map(change):
    assert _map_path(CLIPS[0], "k", "c") != _map_path(replace(CLIPS[0], **change), "k", "c")
    assert _map_path(CLIPS[0], "k", "c") != _map_path(CLIPS[0], "l", "c")


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_a_damaged_map_is_refused_and_made_again(reader, tmp_path, caplog, damage):
    path = make_maps(CLIPS[:1], Mean(), tmp_path)[0]
    whole = path.read_bytes()
    flipped = whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]
    path.write_bytes({"cut": whole[:-5], "flip": flipped, "text": b"no map"}[damage])
    with pytest.raises(InputError, match="is damaged .*; make the maps again"):
        _read_map(path)
    with caplog.at_level(logging.WARNING):
        make_maps(CLIPS[:1], Mean(), tmp_path)
    assert "is made again" in caplog.text and path.read_bytes() == whole


def test_a_clip_that_cannot_be_read_is_named_and_ends_nothing(reader, tmp_path, caplog):
    reader |= {CLIPS[0].path: "gone", CLIPS[1].path: "late"}
    with caplog.at_level(logging.WARNING):
        found = make_maps(CLIPS, Mean(), tmp_path)
    assert found[:2] == [None, None] and found[2].exists()
    assert "clips/a.mp4 has no score map" in caplog.text and "frame 21 is corrupt" in caplog.text
    assert len(list(tmp_path.iterdir())) == 1


def test_work_that_ends_in_the_middle_leaves_whole_maps_only(reader, tmp_path):
    class Stopped(Mean):
        def score(self, frames):
            if self.num_scored >= 16:
                raise KeyboardInterrupt
            return super().score(frames)

    with pytest.raises(KeyboardInterrupt):
        make_maps(CLIPS, Stopped(), tmp_path)
    assert sum(path.exists() for path in (_map_path(clip, "mean", tmp_path) for clip in CLIPS)) == 2
    scorer = Mean()
    make_maps(CLIPS, scorer, tmp_path)
    assert scorer.num_scored == 8


def test_scores_beyond_half_precision_stay_finite(reader, tmp_path):
    class Large(Mean):
        key = "large"

        def score(self, frames):
            return super().score(frames) * 1e6

    assert _read_map(make_maps(CLIPS[:1], Large(), tmp_path)[0]).values.isfinite().all()


def test_a_scorer_that_is_not_finite_is_a_mistake(reader, tmp_path):
    class Bad(Mean):
        def score(self, frames):
            return super().score(frames) * torch.nan

    with pytest.raises(AssertionError, match="not finite"):
        make_maps(CLIPS[:1], Bad(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_map_and_a_cache_that_is_a_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="is not there; make the maps again"):
        _read_map(tmp_path / "none.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder; name another one"):
        make_maps([], Mean(), tmp_path / "file")
