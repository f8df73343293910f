import json
from dataclasses import replace

import pytest
import torch
from support.clip_files import clips_on_disk
from torch.utils.data import DataLoader

from diffmask.core.errors import InputError
from diffmask.video.adapter import VideoAdapter
from diffmask.video.index.index import read_clips
from diffmask.video.model.targets import PixelTargets
from diffmask.video.read.dataset import _MOST_SUBSTITUTES, ClipDataset, FailureLog, Sampling
from diffmask.video.read.readers import open_reader
from diffmask.video.units.grid import Grid

GRID = Grid(4, 4, 4, 2, 8)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    index, _ = clips_on_disk(tmp_path_factory.mktemp("data") / "clips", 6)
    return read_clips([index])


def where(clip, times, crop, shape):
    """A map that tells which clip, when and which crop it is of."""
    return torch.stack([torch.full(shape, float(time) + crop.left) for time in times])


def same(rows, others):
    return all(
        torch.equal(torch.as_tensor(row[name]), torch.as_tensor(other[name]))
        for row, other in zip(rows, others, strict=True)
        for name in row
    )


def test_a_row_is_what_its_clip_shows(clips):
    data = ClipDataset(clips, Sampling(GRID, stride=1), maps={"where": where}, augment=False)
    (row,) = data[2]
    assert row["frames"].shape == (8, 3, 32, 32)
    assert row["frames"].dtype == torch.uint8
    assert row["sample_id"] == 2
    with open_reader(clips[2]) as reader:
        frames = reader.read(range(3, 11))  # the middle of 14
    expected = frames.float().mean((1, 2))
    assert torch.allclose(row["frames"].float().mean((2, 3)), expected, atol=1.5)
    assert row["where"][:, 0, 0].tolist() == pytest.approx([(3.5 + 2 * t) / 13 for t in range(4)])


def test_what_is_drawn_is_told_by_seed_pass_and_row_alone(clips):
    def rows(visits, seed=3, **settings):
        return [ClipDataset(clips, Sampling(GRID, stride=1, **settings), seed=seed)[visit] for visit in visits]

    assert all(same(a, b) for a, b in zip(rows([0, 4, 9]), rows([0, 4, 9]), strict=True))
    first, again, other = rows([1, 7])[0], rows([1, 7])[1], rows([1], seed=4)[0]
    assert not torch.equal(first[0]["frames"], again[0]["frames"])  # the second pass
    assert first[0]["sample_id"] == again[0]["sample_id"]
    assert not torch.equal(first[0]["frames"], other[0]["frames"])


def test_workers_change_nothing(clips):
    data = ClipDataset(clips, Sampling(GRID, stride=1, repeats=2), seed=1, maps={"where": where})
    pad = VideoAdapter(GRID, (0.5,) * 3, (0.5,) * 3, PixelTargets(2, 8)).pad
    visits = [7, 0, 3, 5, 11, 2]
    alone, workers = (
        list(DataLoader(data, 2, sampler=visits, collate_fn=pad, num_workers=num_workers)) for num_workers in (0, 2)
    )
    assert len(alone) == len(workers) == 3
    for batch, other in zip(alone, workers, strict=True):
        assert batch.keys() == other.keys() == {"frames", "sample_ids", "where"}
        assert all(torch.equal(batch[name], other[name]) for name in batch)
    assert alone[0]["sample_ids"].tolist() == [2, 3, 0, 1]  # two crops of rows 1 (of pass 1) and 0


def test_repeats_are_crops_of_the_same_frames(clips):
    data = ClipDataset(clips, Sampling(GRID, stride=1, repeats=3), maps={"when": lambda c, times, *_: times})
    rows = data[4]
    assert [row["sample_id"] for row in rows] == [12, 13, 14]
    assert same([{"when": row["when"]} for row in rows], [{"when": rows[0]["when"]}] * 3)
    assert not torch.equal(rows[0]["frames"], rows[1]["frames"])


@pytest.mark.parametrize("kind", ["dense", "uniform"])
def test_several_rows_of_a_clip_show_other_parts_of_it(clips, kind):
    sampling = Sampling(Grid(2, 4, 4, 2, 8), kind=kind, stride=1, clips_per_video=3)
    data = ClipDataset(clips, sampling, maps={"when": lambda c, times, *_: times}, augment=False)
    assert len(data) == 18
    starts = [data[row][0]["when"][0].item() for row in (3, 4, 5)]
    assert starts == sorted(starts)
    assert len(set(starts)) == 3


def test_a_clip_that_fails_is_noted_and_another_takes_its_place(clips, tmp_path):
    gone = replace(clips[1], path=str(tmp_path / "gone.mp4"))
    log = FailureLog(tmp_path / "failures.jsonl")
    data = ClipDataset([clips[0], gone, clips[2]], Sampling(GRID, stride=1, retries=1), failures=log)
    (row,) = data[1]
    assert row["sample_id"] == 1
    assert same([row], ClipDataset([clips[0], gone, clips[2]], Sampling(GRID, stride=1), failures=log)[1])
    assert list(log.read()) == [gone.path]
    assert "gone.mp4" in log.read()[gone.path]
    entries = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert {entry["visit"] for entry in entries} == {1}


def test_a_clip_that_fails_once_is_read_again(clips, monkeypatch):
    import diffmask.video.read.dataset as module

    calls = []

    def flaky(clip, name):
        calls.append(clip.path)
        if len(calls) == 1:
            raise module.ReadError(clip.path, "a hiccup")
        return open_reader(clip, name)

    monkeypatch.setattr(module, "open_reader", flaky)
    ClipDataset(clips, Sampling(GRID, stride=1, retries=1))[0]
    assert calls == [clips[0].path] * 2


def test_when_nothing_can_be_read_the_run_says_so(clips, tmp_path):
    gone = [replace(clip, path=str(tmp_path / f"{number}.mp4")) for number, clip in enumerate(clips)]
    data = ClipDataset(gone, Sampling(GRID), failures=FailureLog(tmp_path / "failures.jsonl"))
    with pytest.raises(InputError, match=f"{_MOST_SUBSTITUTES} clips in a row could not be read, the last because of "):
        data[0]
    with pytest.raises(InputError, match="take the clip out, or run `diffmask index` again"):
        ClipDataset(gone, Sampling(GRID))[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "sparse"}, "unknown sampling 'sparse'; choose from: dense, uniform"),
        ({"stride": 0}, "stride=0 must be at least 1"),
        ({"repeats": 0}, "repeats=0 must be at least 1"),
        ({"retries": -1}, "retries=-1 must be at least 0"),
        ({"flip": 1.5}, r"flip=1.5 is outside \[0, 1\]"),
        ({"crop_scale": (0.5, 1.2)}, r"crop_scale=\[0.5, 1.2\] must be two numbers in \(0, 1\], the smaller first"),
        ({"crop_ratio": (2.0, 1.0)}, r"crop_ratio=\[2.0, 1.0\] must be two numbers above 0, the smaller first"),
        ({"crop_ratio": (2.0,)}, r"crop_ratio=\[2.0\] must be two numbers above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Sampling(GRID, **settings)
