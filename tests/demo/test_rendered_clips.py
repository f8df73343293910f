"""The clips that are rendered: the same for a seed, a digit that only its shape gives away, and no digit seen twice."""

import csv
from collections import Counter

import av
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from diffmask.core.errors import InputError
from diffmask.demo import rendered_clips as render
from diffmask.demo.draw_clips import CLUTTER, DIGITS, FPS, NUM_FRAMES, SHAPES, SIZE, digit_images
from diffmask.demo.rendered_clips import BOXES, LABELS, _domain, _draw, render_digits

NUMBERS = {"num_general": 6, "num_domain": 10, "num_test": 10}


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.average_rate == FPS
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return render_digits(tmp_path_factory.mktemp("made") / "clips", **NUMBERS)


def test_what_is_written(clips):
    assert {path.name for path in clips.folder.iterdir()} == {"general", "domain", LABELS, BOXES}
    rows = table(clips.labels)
    assert list(rows[0]) == ["clip", "label", "caption", "split"]
    stems = [path.stem for folder in (clips.general, clips.domain) for path in sorted(folder.iterdir())]
    assert sorted(row["clip"] for row in rows) == sorted(stems)
    assert Counter(row["split"] for row in rows) == {"": 6, "train": 10, "test": 10}
    assert {row["label"] for row in rows if row["split"]} == set(DIGITS)
    assert {row["label"] for row in rows if not row["split"]} == set(SHAPES)
    for row in rows:
        assert row["label"] in row["caption"] and row["caption"].split()[-1] in CLUTTER
    captions = {row["clip"]: row["caption"] for row in rows}
    assert captions["train-0007"] == "a seven moves over moving stripes"
    assert captions["train-0008"] == "an eight moves over moving stripes"
    assert captions["shape-0004"] == "strokes move over moving stripes"


def test_a_clip_is_h264_of_every_frame(clips):
    frames = decoded(clips.domain / "test-0003.mp4")
    assert frames.shape == (NUM_FRAMES, SIZE, SIZE, 3)
    scene = next(scene for scene in _domain(10, 10, 0) if scene.name == "test-0003")
    assert np.abs(frames.astype(int) - _draw(scene)[0].astype(int)).mean() < 8.0


def test_a_seed_gives_the_same_bytes_and_another_seed_others(clips, tmp_path):
    same, other = (render_digits(tmp_path / str(seed), **NUMBERS, seed=seed) for seed in (0, 1))
    names = [path.relative_to(clips.folder) for path in sorted(clips.folder.rglob("*.*"))]
    assert len(names) == 28
    assert all((clips.folder / name).read_bytes() == (same.folder / name).read_bytes() for name in names)
    videos = [name for name in names if name.suffix == ".mp4"]
    assert not any((clips.folder / name).read_bytes() == (other.folder / name).read_bytes() for name in videos)


def test_no_image_is_in_both_splits():
    images, values = digit_images()
    scenes = list(_domain(4000, 2000, 0))  # more clips than images: images come again, within their split
    used = {split: {s.image.tobytes() for s in scenes if s.split == split} for split in ("train", "test")}
    assert not used["train"] & used["test"]
    assert len(used["train"] | used["test"]) == len({image.tobytes() for image in images}) == len(images)
    of = {image.tobytes(): DIGITS[value] for image, value in zip(images, values, strict=True)}
    assert all(of[scene.image.tobytes()] == scene.label for scene in scenes)


def test_boxes_hold_the_digit(clips):
    rows = table(clips.boxes)
    assert Counter(row["clip"] for row in rows) == {
        f"{s}-{n:04}": NUM_FRAMES for s in ("train", "test") for n in range(10)
    }
    scene = next(iter(_domain(10, 10, 0)))
    # the same clip with another digit differs nowhere but in the box
    other = _draw(type(scene)(**{**vars(scene), "image": 1.0 - scene.image}))[0]
    differs = (_draw(scene)[0] != other).any(-1)
    for row in [row for row in rows if row["clip"] == scene.name]:
        frame, x1, y1, x2, y2 = (int(row[name]) for name in ("frame", "x1", "y1", "x2", "y2"))
        assert 0 <= x1 < x2 <= SIZE and 0 <= y1 < y2 <= SIZE
        assert differs[frame, y1:y2, x1:x2].mean() > 0.2
        differs[frame, y1:y2, x1:x2] = False
    assert not differs.any()


def test_neither_colour_nor_motion_tells_the_digit():
    scenes = list(_domain(100, 0, 0))
    clips = [_draw(scene)[0].astype(np.float32) / 255.0 for scene in scenes]
    colour = [np.concatenate([clip.mean((0, 1, 2)), clip.std((0, 1, 2))]) for clip in clips]
    motion = [np.histogram(np.abs(np.diff(clip, axis=0)).mean(-1), 8, (0.0, 1.0), density=True)[0] for clip in clips]
    labels = [scene.label for scene in scenes]
    for features in (colour, motion):
        assert cross_val_score(LogisticRegression(max_iter=500), np.array(features), labels).mean() < 0.25


def test_the_background_moves():
    frames = _draw(next(iter(_domain(1, 0, 0))))[0].astype(int)
    still = (np.abs(np.diff(frames, axis=0)).max(-1) < 8).all(0)
    assert still.mean() < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_test": -1}, "num_test=-1 is not a number of clips; give 0 or more"),
        ({"folder": "full"}, r"full holds other files \(mine\); choose another name for the clips"),
        ({"folder": "full/a/b"}, "folder .*full/a does not exist; create it first"),
    ],
)
def test_what_is_refused(tmp_path, changes, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    given = {**NUMBERS, "folder": "new", **changes}
    with pytest.raises(InputError, match=message):
        render_digits(tmp_path / given.pop("folder"), **given)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_pyav_without_the_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"h264"})
    with pytest.raises(InputError, match=r"without the H.264 encoder libx264; install the one .* `pip install"):
        render_digits(tmp_path / "clips", **NUMBERS)


def test_what_stops_halfway_leaves_nothing_under_the_name(tmp_path, monkeypatch):
    def full(frames, path):
        raise OSError("No space left on device")

    monkeypatch.setattr(render, "encode", full)
    with pytest.raises(OSError, match="No space left"):
        render_digits(tmp_path / "clips", **NUMBERS)
    assert not (tmp_path / "clips").exists()
    monkeypatch.undo()
    assert render_digits(tmp_path / "clips", **NUMBERS).labels.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]
