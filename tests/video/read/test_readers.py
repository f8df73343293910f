"""Readers of frames: each frame is the one that was asked for, whatever the container; errors name the file."""

import gc
import os
import random
from dataclasses import replace
from pathlib import Path

import av
import pytest
import torch
from support.clips import Recipe, cut_without_encoding, make_clip, numbers_of

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import Clip, ReadError
from diffmask.video.clip.frames import state_of
from diffmask.video.index.compare_readers import Reference
from diffmask.video.index.examine import examine
from diffmask.video.read import read_pyav
from diffmask.video.read.read_torchcodec import load_decoder
from diffmask.video.read.readers import open_reader, open_source

UNEVEN = [0]
for step in random.Random(0).choices([10, 20, 40, 90, 200], k=59):
    UNEVEN.append(UNEVEN[-1] + step)

OPEN_GROUPS = {"x264-params": "open-gop=1:bframes=3:b-pyramid=normal", "preset": "medium"}
HIDDEN_FRAMES = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "5"}
KINDS = {
    "h264": ("a.mp4", Recipe()),
    "h264-one-key": ("long.mp4", Recipe(num_frames=300, keys_every=300)),
    "h264-open-groups": ("open.mkv", Recipe(options=OPEN_GROUPS)),
    "h264-odd-size": ("odd.mp4", Recipe(width=97, height=71, pixel_format="yuv444p")),
    "h264-transport-stream": ("a.ts", Recipe()),
    "h264-avi": ("a.avi", Recipe()),
    "h264-no-container": ("a.h264", Recipe()),
    "vp9": ("a.webm", Recipe(codec="libvpx-vp9")),
    "vp9-hidden-frames": ("alt.webm", Recipe(codec="libvpx-vp9", options=HIDDEN_FRAMES)),
    "hevc": ("h.mp4", Recipe(codec="libx265")),
    "av1": ("av1.mp4", Recipe(codec="libsvtav1", b_frames=0)),
    "mpeg4-avi": ("m.avi", Recipe(codec="mpeg4")),
    "uneven-mp4": ("uneven.mp4", Recipe(times=UNEVEN)),
    "uneven-mkv": ("uneven.mkv", Recipe(times=UNEVEN)),
    "turned-90": ("r90.mp4", Recipe(rotation=90)),
    "turned-180": ("r180.mp4", Recipe(rotation=180)),
    "turned-270": ("r270.mov", Recipe(rotation=270)),
    "one-frame": ("one.mp4", Recipe(num_frames=1)),
}
FIRST_OF_CUT = 20


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return a function that makes and examines a clip of a kind, once."""
    folder, clips = tmp_path_factory.mktemp("clips"), {}

    def find(kind: str) -> Clip:
        if kind not in clips:
            if kind == "cut":
                source = make_clip(folder / "source.mp4", Recipe(num_frames=80, keys_every=24))
                path = cut_without_encoding(source, folder / "cut.mp4", FIRST_OF_CUT, fps=25)
            else:
                name, recipe = KINDS[kind]
                path = make_clip(folder / name, recipe)
            *_, clips[kind] = examine(str(path))
        return clips[kind]

    return find


def read(clip: Clip, indices, name: str = "auto") -> list[int]:
    with open_reader(clip, name) as reader:
        return numbers_of(reader.read(indices))


def questions(num_frames: int) -> list[list[int]]:
    """Return all frames, and some of them as training and evaluation ask for them."""
    rng = random.Random(1)
    spans = [list(range(start, num_frames, stride))[:8] for start, stride in ((0, 4), (3, 1), (num_frames // 2, 3))]
    drawn = [sorted(rng.choices(range(num_frames), k=8)) for _ in range(6)]
    return [list(range(num_frames)), *filter(None, spans), *drawn, [num_frames - 1], [num_frames // 2, 0]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["auto", "pyav"])
def test_every_frame_is_the_one_that_was_asked_for(found, kind, name):
    clip, recipe = found(kind), KINDS[kind][1]
    assert (clip.status, clip.num_frames) == ("ok", recipe.num_frames), clip.reason
    assert (clip.width, clip.height, clip.rotation) == (recipe.width, recipe.height, recipe.rotation)
    for asked in questions(clip.num_frames):
        assert read(clip, asked, name) == asked


def test_the_fast_reader_is_taken_where_it_is_right(found):
    pytest.importorskip("decord")
    right = ("h264", "h264-one-key", "h264-odd-size", "vp9", "uneven-mp4", "turned-90", "turned-180", "turned-270")
    assert {kind: found(kind).reader for kind in right} == dict.fromkeys(right, "decord")
    for kind in right:
        for asked in questions(found(kind).num_frames):
            assert read(found(kind), asked, "decord") == asked


def test_a_clip_that_was_cut_without_encoding_is_read_right_and_the_fast_reader_would_not(found):
    pytest.importorskip("decord")
    clip = found("cut")
    assert (clip.reader, clip.num_frames, clip.edit_list) == ("pyav", 60, True)
    assert clip.reason == "decord counts 80 frames, not 60"
    wrong = 0
    for asked in questions(60):
        shown = [index + FIRST_OF_CUT for index in asked]
        assert read(clip, asked) == shown
        wrong += numbers_of(open_source(clip, "decord").frames(sorted(set(asked)))) != sorted(set(shown))
    assert wrong > 0


@pytest.mark.parametrize("kind", ["h264-transport-stream", "h264-avi", "mpeg4-avi"])
def test_the_fast_reader_is_not_taken_where_it_is_wrong(found, kind):
    pytest.importorskip("decord")
    clip = found(kind)
    assert clip.reader == "pyav"
    assert clip.reason.startswith("decord gives another frame for frame ")
    assert any(read(clip, asked, "decord") != asked for asked in questions(clip.num_frames))


@pytest.mark.parametrize("name", ["decord", "pyav"])
def test_frames_come_in_the_order_of_the_question_and_may_repeat(found, name):
    pytest.importorskip(name.replace("pyav", "av"))
    asked = [33, 5, 5, 17, 2, 59, 0, 33]
    with open_reader(found("h264"), name) as reader:
        assert reader.num_frames == 60
        frames = reader.read(asked)
        assert (frames.dtype, frames.shape) == (torch.uint8, (8, 72, 96, 3))
        assert numbers_of(frames) == asked
        # the same reader can be asked again, also for what lies before
        assert numbers_of(reader.read([4, 50])) == [4, 50]
        # the last block of an odd number is bright, most so in red and least in blue
        assert frames[0, -20:, -20:].float().mean((0, 1)).argsort().tolist() == [2, 1, 0]


def test_readers_give_the_same_pixels(found):
    pytest.importorskip("decord")
    for kind in ("h264", "vp9", "turned-90", "h264-odd-size"):
        with open_reader(found(kind), "decord") as fast, open_reader(found(kind), "pyav") as exact:
            difference = fast.read([0, 30]).float() - exact.read([0, 30]).float()
        assert difference.abs().mean() < 2


def test_torchcodec_says_what_it_needs(found):
    try:
        read(found("h264"), [0], "torchcodec")
    except InputError as error:
        sentence = str(error)
        assert sentence.startswith("torchcodec cannot be loaded (")
        assert sentence.endswith(
            "install torchcodec and FFmpeg 4 or later with its shared libraries, or take --reader auto"
        )
        assert "\n" not in sentence
    else:
        pytest.skip("it has what it needs")


@pytest.mark.parametrize("kind", [*KINDS, "cut"])
def test_torchcodec_reads_the_same_or_is_found_to_be_wrong(found, kind):
    try:
        load_decoder()
    except InputError as error:
        pytest.skip(str(error))
    *_, clip = examine(found(kind).path, "torchcodec")
    assert clip.status in ("ok", "wrong-frames")
    if clip.status == "ok":
        first = FIRST_OF_CUT if kind == "cut" else 0
        for asked in questions(clip.num_frames):
            assert read(clip, asked, "torchcodec") == [index + first for index in asked]


def test_a_few_frames_of_a_long_clip_need_few_frames_decoded(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "long.mp4", Recipe(num_frames=500, keys_every=20))
    *_, clip = examine(str(path), "pyav")
    num_decoded, decode = 0, read_pyav._decode

    def counted(packets):
        nonlocal num_decoded
        for frame in decode(packets):
            num_decoded += 1
            yield frame

    monkeypatch.setattr(read_pyav, "_decode", counted)
    assert read(clip, [3, 250, 253, 490]) == [3, 250, 253, 490]
    assert num_decoded <= 4 * 20
    # near frames are decoded on the way, and no frame twice
    num_decoded = 0
    assert read(clip, list(range(100, 119))) == list(range(100, 119))
    assert num_decoded <= 20
    num_decoded = 0
    one_key = make_clip(tmp_path / "one.mp4", Recipe(num_frames=200, keys_every=500))
    *_, clip = examine(str(one_key), "pyav")
    num_decoded = 0
    assert read(clip, list(range(0, 200, 13))) == list(range(0, 200, 13))
    assert num_decoded <= 200


def refusal(clip: Clip, indices=(0,), name="auto") -> str:
    with pytest.raises(ReadError) as caught, open_reader(clip, name) as reader:
        reader.read(indices)
    assert caught.value.path == clip.path
    assert str(caught.value) == f"{clip.path}: {caught.value.reason}"
    return caught.value.reason


def test_what_cannot_be_read_is_an_error_that_names_the_clip(found, tmp_path):
    clip = found("h264")
    assert refusal(clip, [60]) == "frames [60] to [60] were asked for; it has 0 to 59"
    assert refusal(clip, [-1, 3]) == "frames [-1] to [3] were asked for; it has 0 to 59"
    assert refusal(clip, []) == "frames [] to [] were asked for; it has 0 to 59"
    assert refusal(clip.put_aside("corrupt", "3 of 60 frames can be decoded")) == "3 of 60 frames can be decoded"
    path = make_clip(tmp_path / "gone.mp4")
    *_, clip = examine(str(path))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-100])
    assert refusal(clip) == f"it had {size} bytes when it was indexed, now {size - 100}; index it again"
    path.write_bytes(bytes(size))
    os.utime(path, (1, 1))
    assert refusal(clip) == "it was written again after it was indexed; index it again"
    path.unlink()
    assert refusal(clip) == "it is no longer there (No such file or directory)"


@pytest.mark.parametrize("name", ["decord", "pyav"])
def test_a_clip_that_is_damaged_after_it_was_indexed_is_an_error_not_a_crash(found, tmp_path, name, capfd):
    pytest.importorskip(name.replace("pyav", "av"))
    path = make_clip(tmp_path / "a.mp4")
    *_, clip = examine(str(path))
    size, content = path.stat().st_size, path.read_bytes()

    def write_unseen(damaged: bytes) -> None:
        path.write_bytes(damaged)
        os.utime(path, (clip.mtime, clip.mtime))
        assert clip.matches(state_of(str(path)))

    write_unseen(b"x" * size)
    assert refusal(clip, name=name)
    write_unseen(content[: size // 2] + bytes(size - size // 2))
    assert refusal(clip, name=name)
    shorter = make_clip(tmp_path / "b.mp4", Recipe(num_frames=30))
    write_unseen(shorter.read_bytes().ljust(size, b"\0"))
    assert refusal(clip, [0, 45], name)
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")


def test_an_unknown_reader_is_refused(found):
    with pytest.raises(InputError, match="^unknown reader 'ffmpeg'; choose from: auto, decord, pyav, torchcodec$"):
        read(found("h264"), [0], "ffmpeg")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")
@pytest.mark.parametrize("name", ["decord", "pyav"])
def test_memory_is_flat_over_a_thousand_reads(tmp_path, name):
    pytest.importorskip(name.replace("pyav", "av"))
    path = make_clip(tmp_path / "a.mp4", Recipe(num_frames=60, width=160, height=120))
    *_, clip = examine(str(path))

    def read_often(count: int) -> int:
        for index in range(count):
            with open_reader(clip, name) as reader:
                reader.read(range(index % 8, 60, 4))
        gc.collect()
        return resident_bytes()

    before = read_often(100)
    assert read_often(1000) - before < 8 << 20


def test_pictures_that_build_up_over_several_frames_are_reached_from_further_back(tmp_path):
    path = tmp_path / "a.mp4"
    options = {"x264-params": "intra-refresh=1:keyint=20", "preset": "medium"}
    make_clip(path, Recipe(num_frames=80, width=96, keys_every=20, b_frames=0, options=options))
    *_, clip = examine(str(path))
    # as of a long clip, of which not every frame is decoded when it is indexed
    clip = replace(clip, seeking="rate", reader="pyav")
    for index in range(80):
        assert read(clip, [index], "pyav") == [index]


def test_a_key_frame_that_is_none_is_not_sought(tmp_path):
    path = tmp_path / "b.mp4"
    with av.open(str(make_clip(tmp_path / "a.mp4", Recipe(codec="mpeg4")))) as old, av.open(str(path), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            packet.stream = copy
            if packet.size:
                packet.is_keyframe = packet.is_keyframe or number == 18
                new.mux(packet)
    *_, clip = examine(str(path))
    assert (clip.status, clip.reader, clip.seeking) == ("ok", "pyav", "count")
    for index in range(60):
        assert read(clip, [index]) == [index]


@pytest.mark.parametrize("name", ["a.ts", "a.flv", "b.avi"])
def test_the_fast_reader_is_not_trusted_without_an_index_or_times(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Reference, "disagreement", lambda *_: "")  # where it is asked it may be right
    codec = "mpeg4" if name == "b.avi" else "libx264"
    *_, clip = examine(str(make_clip(tmp_path / name, Recipe(codec=codec, b_frames=2))))
    assert (clip.status, clip.reader, clip.num_frames) == ("ok", "pyav", 60)
    why = "when they are shown, which this container does not say"
    why = why if name == "b.avi" else "an index, which this container does not have"
    assert clip.reason == f"decord finds frames by {why}"


def test_the_fast_reader_is_not_trusted_where_it_may_take_another_key_frame(tmp_path, monkeypatch):
    monkeypatch.setattr(Reference, "disagreement", lambda *_: "")
    *_, clip = examine(str(make_clip(tmp_path / "open.mkv", Recipe(options=OPEN_GROUPS))))
    assert (clip.reader, clip.num_frames) == ("pyav", 60)
    assert clip.reason == "decord counts frames from key frames, and frames before and after some of these are mixed"
