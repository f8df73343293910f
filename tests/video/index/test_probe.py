"""Probing: a status and a sentence for whatever a file turns out to be, and nothing that a file can break."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from support.clip_product import Odd, make_odd
from support.clips import Recipe, make_clip, numbers_of

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import NOT_THERE, STATUSES, Clip
from diffmask.video.index import examine as examining
from diffmask.video.index.examine import examine
from diffmask.video.index.probe import _Prober, probe_all
from diffmask.video.index.probe_process import _times_the_limit as times_the_limit
from diffmask.video.read import readers
from diffmask.video.read.readers import open_reader

REPO = Path(__file__).parents[3]
DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data")) / "video"


def found(path, reader="auto") -> Clip:
    """Return what is found in this process: a file that does not hang needs no other."""
    *_, clip = examine(str(path), reader)
    assert clip.status in STATUSES
    assert "\n" not in clip.reason
    return clip


def why(path, reader="auto") -> tuple[str, str]:
    clip = found(path, reader)
    assert clip.path == str(path)
    return clip.status, clip.reason


def test_the_facts_of_a_clip(tmp_path):
    path = make_clip(tmp_path / "a.mp4", Recipe(num_frames=50, width=112, height=80, fps=10, rotation=90))
    clip, status = found(path), path.stat()
    assert (clip.status, clip.num_frames, clip.fps, clip.duration) == ("ok", 50, 10.0, 5.0)
    assert (clip.width, clip.height, clip.rotation, clip.codec) == (112, 80, 90, "h264")
    assert (clip.first_pts, clip.edit_list, clip.size, clip.mtime) == (0.0, False, status.st_size, status.st_mtime)
    assert (clip.name, clip.seeking, clip.caption, clip.label, clip.split) == ("a", "rate", None, None, None)


def test_a_clip_that_begins_late_and_one_of_uneven_times(tmp_path):
    times = [500, 520, 600, 1000, 1100, 1500]
    clip = found(make_clip(tmp_path / "a.mkv", Recipe(num_frames=6, times=times)))
    assert (clip.first_pts, clip.seeking, clip.fps) == (0.5, "table", 5.0)
    assert clip.duration == pytest.approx(1.2)


def test_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 50)
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    assert why(tmp_path / "text.mp4") == ("unreadable", "it holds text, not video")
    status, reason = why(tmp_path / "noise.mp4")
    assert (status, reason) == ("unreadable", "FFmpeg finds no video in it (Invalid data found when processing input)")
    assert why(tmp_path / "empty.mp4") == ("empty", "the file is empty (0 bytes)")
    assert why(tmp_path / "folder.mp4") == ("not-a-file", "it is a folder, not a file")
    assert why(tmp_path / "pipe.mp4") == ("not-a-file", "it is a pipe or a device, not a file")
    assert why(tmp_path / "no.mp4") == ("missing", "the file is not there")
    assert why(tmp_path / "empty.mp4" / "no.mp4") == ("missing", "the file is not there")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(examining, "open", refuse, raising=False)
    assert why(path) == ("no-permission", "the file may not be read (permission denied)")


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert why(path) == ("no-video", "it has no stream of video")


def test_a_picture_on_the_cover_of_sound_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 64
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    assert why(path) == ("no-video", "it has no stream of video")


@pytest.mark.parametrize("name", ["part.mkv", "part.mp4", "part.ts"])
def test_a_part_of_a_longer_recording_keeps_its_times_and_is_whole(tmp_path, name):
    times = [12_000 + 40 * index for index in range(50)]
    clip = found(make_clip(tmp_path / name, Recipe(num_frames=50, times=times)))
    assert (clip.status, clip.num_frames, clip.fps) == ("ok", 50, 25.0)


@pytest.mark.parametrize("name", ["slow.mkv", "slow.mp4", "slow.webm"])
@pytest.mark.parametrize("fps", [Fraction(1, 5), 1])
def test_the_last_frame_of_a_slow_clip_is_shown_long(tmp_path, name, fps):
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    clip = found(make_clip(tmp_path / name, Recipe(num_frames=10, codec=codec, fps=fps, b_frames=3)))
    assert (clip.status, clip.num_frames, clip.fps) == ("ok", 10, pytest.approx(float(fps)))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_clip_is_shown_mirrored_and_turned_as_players_do(tmp_path, rotation, mirrored):
    path = make_clip(tmp_path / "a.mp4", Recipe(num_frames=12, rotation=rotation, mirrored=mirrored))
    clip = found(path)
    assert (clip.status, clip.width, clip.height) == ("ok", 96, 72)
    assert (clip.rotation, clip.mirrored, clip.reader == "pyav") == (rotation, mirrored, mirrored)
    for name in ("auto", "pyav"):
        with open_reader(clip, name) as reader:
            assert numbers_of(reader.read([0, 5, 11])) == [0, 5, 11]


def test_a_clip_that_is_turned_by_less_than_a_quarter_is_put_aside(tmp_path):
    path = make_clip(tmp_path / "a.mp4", Recipe(num_frames=3, rotation=30))
    assert why(path) == ("tilted", "it is to be shown turned by an angle that is no quarter of a turn")


def test_where_time_stamps_do_not_tell_frames_apart_only_pyav_is_trusted(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    shown = make_odd(path, Odd("mp4", "libx264", Fraction(25), 2, glitch="forward"))
    reason = "would look for frames by time stamps and key frames, and some of these are missing or wrong"
    # whatever decord gives where it is asked
    monkeypatch.setattr(examining.Reference, "disagreement", lambda *_: "")
    clip = found(path)
    assert (clip.status, clip.num_frames, clip.seeking) == ("ok", len(shown), "count")
    assert (clip.reader, clip.reason) == ("pyav", f"decord {reason}")
    assert why(path, "decord") == ("wrong-frames", f"decord {reason}; index it with --reader auto")
    with open_reader(replace(clip, reader="decord", reason="")) as reader:
        assert numbers_of(reader.read([6, 7, 8, 12, 3])) == [shown[index] for index in (6, 7, 8, 12, 3)]


@pytest.mark.parametrize("whole_pixels", [examining.WHOLE_PIXELS, 1000])
def test_what_was_cut_short(tmp_path, monkeypatch, whole_pixels):
    monkeypatch.setattr(examining, "WHOLE_PIXELS", whole_pixels)
    whole = make_clip(tmp_path / "a.mp4", Recipe(num_frames=100)).read_bytes()
    (tmp_path / "end.mp4").write_bytes(whole[: len(whole) // 2])
    reason = "it has no table of frames (the box 'moov' of an MP4), as a file that was cut short"
    assert why(tmp_path / "end.mp4") == ("unreadable", reason)
    path = tmp_path / "table-first.mp4"
    with av.open(str(tmp_path / "a.mp4")) as old, av.open(str(path), "w", options={"movflags": "faststart"}) as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    path.write_bytes(path.read_bytes()[: -len(whole) // 3])
    status, reason = why(path)
    num_left = found(path).num_frames
    assert 1 < num_left < 100
    assert (status, reason) == ("corrupt", f"the file was cut short after {num_left} of 100 frames")
    streamed = make_clip(tmp_path / "a.webm", Recipe(num_frames=100, codec="libvpx-vp9", keys_every=10))
    streamed.write_bytes(streamed.read_bytes()[: streamed.stat().st_size // 2])
    num_left = found(streamed).num_frames
    assert 1 < num_left < 100
    assert why(streamed) == ("corrupt", f"the file was cut short after {num_left} frames")


@pytest.mark.parametrize(
    ("name", "codec", "reason"),
    [
        ("a.avi", "mpeg4", "1 of 100 frames are damaged"),
        ("a.webm", "libvpx-vp9", "30 of 100 frames can be decoded (Invalid data found when processing input)"),
    ],
)
def test_a_clip_that_is_damaged_inside(tmp_path, name, codec, reason):
    path = make_clip(tmp_path / name, Recipe(num_frames=100, codec=codec, keys_every=50))
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][30]
    content = bytearray(path.read_bytes())
    end = min(packet.size, 30)
    content[packet.pos + 12 : packet.pos + end] = bytes([0xA5] * (end - 12))
    path.write_bytes(content)
    assert why(path) == ("corrupt", reason)


def test_clips_that_are_small_or_short(tmp_path):
    tiny = make_clip(tmp_path / "tiny.mp4", Recipe(width=24, height=12))
    assert why(tiny) == ("too-small", "its frames are 24x12; the smaller side must have at least 16 pixels")
    assert (found(tiny).num_frames, found(tiny).width, found(tiny).height) == (60, 24, 12)
    for count in (1, 4):
        clip = found(make_clip(tmp_path / f"{count}.mov", Recipe(num_frames=count)))
        assert (clip.status, clip.num_frames) == ("ok", count)
        assert clip.duration == pytest.approx(count / 25)


def test_long_clips_are_decoded_at_places_only(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4", Recipe(num_frames=400, keys_every=20))
    whole = found(path)
    monkeypatch.setattr(examining, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(examining.Reference, "decode", None)
    assert found(path) == whole
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for packet in packets[60:380]:
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    status, reason = why(path)
    assert status == "corrupt"
    assert reason.startswith("a part of it cannot be decoded (")


def test_a_clip_that_changes_its_size_on_the_way(tmp_path):
    # few of the places lie in the second part, so each reader is compared with frames of both sizes
    parts = [Recipe(num_frames=120, width=320, height=240), Recipe(num_frames=30, width=160, height=128)]
    starts = [0, 120]
    content = b""
    for number, (recipe, start) in enumerate(zip(parts, starts, strict=True)):
        times = [40 * (start + index) for index in range(recipe.num_frames)]
        content += make_clip(tmp_path / f"part-{number}.ts", replace(recipe, times=times)).read_bytes()
    path = tmp_path / "a.ts"
    path.write_bytes(content)
    clip = found(path)
    assert (clip.status, clip.reader, clip.num_frames, clip.width) == ("ok", "pyav", 150, 320)
    with open_reader(clip) as reader:
        frames = reader.read([0, 119, 120, 149])
    assert numbers_of(frames) == [0, 119, 0, 29]


def test_the_reader_that_is_asked_for_is_the_only_one(tmp_path):
    pytest.importorskip("decord")
    path = make_clip(tmp_path / "a.ts")
    assert (found(path, "pyav").reader, found(path, "pyav").reason) == ("pyav", "")
    status, reason = why(path, "decord")
    assert (status, reason.split(" for frame ")[0]) == ("wrong-frames", "decord gives another frame")
    assert reason.endswith("; index it with --reader auto")
    path = make_clip(tmp_path / "a.mp4")
    assert (found(path, "decord").reader, found(path, "pyav").reader) == ("decord", "pyav")


def test_without_decord_pyav_is_taken(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "decord", None)
    monkeypatch.setattr(readers, "_decord", readers._decord.__wrapped__)
    clip = found(path)
    assert (clip.status, clip.reader) == ("ok", "pyav")
    assert clip.reason.startswith("decord is not there (decord cannot be loaded (")
    assert clip.why_not_decord == NOT_THERE


def test_another_process_says_the_same_and_is_silent(tmp_path, capfd):
    paths = [make_clip(tmp_path / "a.mp4"), make_clip(tmp_path / "b.ts"), tmp_path / "no.mp4"]
    (tmp_path / "text.mp4").write_text("text " * 100)
    paths.append(tmp_path / "text.mp4")
    clips = {clip.path: clip for clip in probe_all(paths, num_processes=2)}
    assert clips == {str(path): found(path) for path in paths}
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")
    assert list(probe_all([])) == []


def test_a_file_that_takes_too_long_is_given_up(tmp_path):
    path = make_clip(tmp_path / "a.mp4", Recipe(num_frames=300))
    (clip,) = probe_all([path], time_limit=0.001)
    assert (clip.status, clip.reason) == (
        "timeout",
        "probing it took longer than 0.001 s; index it with a larger --time-limit",
    )
    assert clip.size == path.stat().st_size


def isolated(body: str, time_limit: float = 20.0) -> tuple[dict, float]:
    """Return what came of a function in a process of its own, and the seconds it took."""
    script = f"""
import json, os, signal, sys, time
from diffmask.video.index.probe_process import _run_isolated
def function():
{body}
start = time.monotonic()
outcome = _run_isolated(function, {time_limit})
seconds = time.monotonic() - start
print(json.dumps([dict(last=outcome.last, stopped_by=outcome.stopped_by, error=outcome.error), seconds]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPO, check=False)
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_function_that_crashes_hangs_or_raises_does_it_alone():
    outcome, _ = isolated('    yield "a"\n    print("noise"); os.write(2, b"noise")\n    yield {"b": 1}')
    assert outcome == {"last": {"b": 1}, "stopped_by": "", "error": ""}
    outcome, _ = isolated('    yield "known"\n    os.kill(os.getpid(), signal.SIGSEGV)')
    assert outcome == {"last": "known", "stopped_by": "SIGSEGV", "error": ""}
    outcome, seconds = isolated('    yield "known"\n    time.sleep(100)', time_limit=0.3)
    assert outcome == {"last": "known", "stopped_by": "timeout", "error": ""}
    assert seconds < 5
    outcome, _ = isolated('    yield 1\n    raise RuntimeError("what is this")')
    assert outcome == {"last": 1, "stopped_by": "", "error": "RuntimeError: what is this"}


def is_dead(pid: int) -> bool:
    for _ in range(50):
        # a zombie that nobody waits for is dead as well
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split(")")[1].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_what_a_killed_function_started_is_killed_too(tmp_path):
    note = tmp_path / "pid"
    body = (
        f"    if os.fork() == 0:\n        open({str(note)!r}, 'w').write(str(os.getpid()))\n        time.sleep(100)\n"
    )
    isolated(body + "    time.sleep(100)\n    yield 1", time_limit=1.0)
    assert is_dead(int(note.read_text()))


ANSWERS = """
import json, os, signal, sys, time
from diffmask.video.index import probe_process as prober
def crashing(path, reader):
    from diffmask.video.clip.clip import Clip
    {early}
    {late}
prober.examine = crashing
os.dup2(os.pipe()[0], 0)  # an input that stays open: somebody asks
print(json.dumps(prober._answer("a.mp4", {limit}, {reader!r}).to_row()))
"""


@pytest.mark.parametrize(
    ("early", "late", "reader", "expected"),
    [
        ("", "os.kill(os.getpid(), signal.SIGSEGV); yield", "auto", ("crashed", "", "the decoder crashed (SIGSEGV)")),
        ("", "yield 1 / 0", "auto", ("unreadable", "", "reading it failed (ZeroDivisionError: division by zero)")),
        (
            "yield Clip(path, 'ok', reader='pyav')",
            "yield 1 / 0",
            "auto",
            ("ok", "pyav", "decord failed (ZeroDivisionError: division by zero)"),
        ),
        (
            "yield Clip(path, 'ok', reader='pyav')",
            "yield 1 / 0",
            "decord",
            ("unreadable", "", "reading it failed (ZeroDivisionError: division by zero)"),
        ),
        (
            "yield Clip(path, 'ok', reader='pyav')",
            "os.abort()",
            "auto",
            ("ok", "pyav", "decord crashed (SIGABRT)"),
        ),
        (
            "yield Clip(path, 'ok', reader='pyav')",
            "time.sleep(9)",
            "auto",
            ("ok", "pyav", "decord took longer than 1 s"),
        ),
    ],
)
def test_a_decoder_that_crashes_or_hangs_is_told(early, late, reader, expected):
    script = ANSWERS.format(early=early, late=late, reader=reader, limit=1)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPO, check=False)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["status"], row["reader"], row["reason"]) == expected


MANY_FILES = """
import json, os, signal, sys
from diffmask.video.clip.clip import Clip
from diffmask.video.index import probe_process as prober
seen = []
def examine(path, reader):
    seen.append(path)
    {body}
    yield Clip(path, "ok", reason=str(os.getpid()), reader=",".join(seen))
prober.examine = examine
prober._MAX_FILES = {most}
os.dup2(os.pipe()[0], 0)  # an input that stays open: somebody asks
with prober._Fork() as fork:
    print(json.dumps([prober._answer(path, 20, "auto", fork).to_row() for path in "abcdef"]))
"""


def answers(body: str, most: int = 100) -> dict[str, tuple[str, str, str]]:
    """Return status, reason and reader of six files that are probed one after the other."""
    script = MANY_FILES.format(body=body, most=most)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPO, check=False)
    assert done.returncode == 0, done.stderr
    return {row["path"]: (row["status"], row["reason"], row["reader"]) for row in json.loads(done.stdout)}


def test_a_process_serves_many_files_and_a_new_one_the_next():
    found = answers("", most=4)
    assert [reader for _, _, reader in found.values()] == ["a", "a,b", "a,b,c", "a,b,c,d", "e", "e,f"]
    assert len({reason for _, reason, _ in found.values()}) == 2


@pytest.mark.parametrize(
    ("failure", "status", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "the decoder crashed (SIGSEGV)"),
        ("os.kill(os.getpid(), 9)", "crashed", "the decoder was killed (SIGKILL), perhaps because memory ran out"),
        ("os._exit(3)", "crashed", "the decoder crashed (exit status 3)"),
        ("1 / 0", "unreadable", "reading it failed (ZeroDivisionError: division by zero)"),
    ],
)
def test_a_file_that_ends_its_process_ends_nothing_else(failure, status, reason):
    found = answers(f"path == 'c' and {failure}")
    assert found.pop("c") == (status, reason, "")
    assert [each[0] for each in found.values()] == ["ok"] * 5
    assert [reader for _, _, reader in found.values()] == ["a", "a,b", "d", "d,e", "d,e,f"]


def test_what_is_said_of_a_file_does_not_depend_on_those_before_it():
    found = answers("path == 'c' and len(seen) > 1 and os.kill(os.getpid(), signal.SIGSEGV)")
    assert found["c"][0] == "ok"
    assert [reader for _, _, reader in found.values()] == ["a", "a,b", "c", "d", "d,e", "d,e,f"]


def test_large_clips_get_more_time():
    assert times_the_limit({}) == times_the_limit("a") == 1
    assert times_the_limit({"num_frames": 250, "width": 640, "height": 360, "size": 10**6}) == 1
    assert times_the_limit({"num_frames": 360, "width": 3840, "height": 2160}) == pytest.approx(6.2, abs=0.1)
    assert times_the_limit({"size": 3 * 10**9}) == 5
    assert times_the_limit({"num_frames": 10**9, "width": 10**5, "height": 10**5}) == 20
    clip = {"num_frames": 360, "width": 3840, "height": 2160}
    outcome, _ = isolated(f"    yield {clip}\n    time.sleep(0.8)\n    yield {clip}", time_limit=0.4)
    assert outcome["stopped_by"] == ""


def test_a_clip_that_was_too_slow_keeps_what_its_container_says():
    body = "yield Clip(path, 'ok', num_frames=600, width=2000, height=800); path == 'a' and os.kill(os.getpid(), 9)"
    script = MANY_FILES.format(body=body.replace("os.kill(os.getpid(), 9)", "signal.pause()"), most=100)
    script = script.replace("path, 20,", "path, 0.2,").replace("abcdef", "a")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPO, check=False)
    (row,) = json.loads(done.stdout)
    assert (row["status"], row["num_frames"]) == ("timeout", 600)
    assert row["reason"] == "probing it took longer than 0.4 s; index it with a larger --time-limit"


def test_a_decoder_that_hangs_does_not_outlive_the_program_that_asked(tmp_path):
    """The input of the prober ends when the asking program does, however that died."""
    prober, note = hanging_prober(tmp_path)
    prober.stdin.close()
    assert prober.wait(10) == 1
    assert is_dead(int(note.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl(2)")
def test_a_decoder_that_hangs_does_not_outlive_its_prober_that_is_killed(tmp_path):
    prober, note = hanging_prober(tmp_path)
    prober.kill()
    prober.stdin.close()
    assert prober.wait(10) == -9
    assert is_dead(int(note.read_text()))


def hanging_prober(tmp_path):
    """Start a prober whose decoder hangs; return it and the file with the id of the process that hangs."""
    note = tmp_path / "pid"
    script = f"""
import os, time
from diffmask.video.index import probe_process
def hanging(path, reader):
    open({str(note)!r}, "w").write(str(os.getpid()))
    time.sleep(100)
    yield
probe_process.examine = hanging
probe_process._main()
"""
    prober = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, text=True, cwd=REPO)
    prober.stdin.write(json.dumps({"path": "a.mp4", "time_limit": 60, "reader": "pyav"}) + "\n")
    prober.stdin.flush()
    for _ in range(200):
        if note.exists() and note.read_text():
            break
        time.sleep(0.05)
    return prober, note


def test_a_prober_that_is_killed_is_started_again(tmp_path):
    path = str(make_clip(tmp_path / "a.mp4"))
    with _Prober(time_limit=20.0, reader="pyav") as prober:
        assert prober.ask(path).status == "ok"
        prober._process.kill()
        clip = prober.ask(path)
        reason = "the process that probed it was killed (SIGKILL), perhaps because memory ran out"
        assert (clip.status, clip.reason) == ("crashed", reason)
        assert prober.ask(path).status == "ok"


def test_a_prober_that_cannot_start_says_why(tmp_path, monkeypatch):
    (tmp_path / "av.py").write_text("raise ImportError('no libraries for it')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"^clips cannot be probed: ImportError: no libraries for it$"):
        next(probe_all([tmp_path / "a.mp4"]))


def test_nothing_is_left_behind(tmp_path):
    paths = [make_clip(tmp_path / f"{index}.mp4", Recipe(num_frames=300)) for index in range(4)]
    clips = probe_all(paths, num_processes=2)
    next(clips)
    clips.close()
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if children.exists():
        names = [Path(f"/proc/{pid}/cmdline").read_text() for pid in children.read_text().split()]
        assert not [name for name in names if "probe_process" in name]


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "videos.jsonl").exists(), reason="the real clips are not here")
def test_every_real_clip_gets_its_status():
    facts = {Path(row["file"]).name: row for row in map(json.loads, (DATA / "videos.jsonl").read_text().splitlines())}
    clips = list(probe_all(sorted([*DATA.glob("clips/*"), *DATA.glob("edge/*")]), num_processes=2))
    aside = {Path(clip.path).name: (clip.status, clip.reason) for clip in clips if not clip.is_ok}
    assert aside == {
        "decord__corrupted.mp4": (
            "corrupt",
            "28 of 50 frames can be decoded (Invalid data found when processing input)",
        ),
        "moviepy__bitmap.mp4": (
            "too-small",
            "its frames are 1x1; the smaller side must have at least 16 pixels",
        ),
    }
    for clip in clips:
        fact = facts[Path(clip.path).name]
        # this one has two streams of video, of which players show the larger one, and the table counts the other
        expected = 390 if clip.name == "torchcodec__nasa_13013" else fact["frames_decoded"]
        assert clip.num_frames == expected, clip
        assert clip.rotation == -fact["rotation"] % 360
