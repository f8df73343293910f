"""Clips of every container, codec, rate, start and orientation, some with a glitch of times, read frame by frame."""

import os
from pathlib import Path

import av
import av.error
import pytest
from support.clip_product import NUM_FRAMES, Odd, combinations, cover, make_odd
from support.clips import numbers_of

from diffmask.video.clip.clip import Clip
from diffmask.video.index.examine import examine
from diffmask.video.read.readers import open_reader


def wrong_frames(clip: Clip, shown: list[int], questions: list[list[int]]) -> list[str]:
    """Return what the reader of a clip, and PyAV, answer wrongly, each question by a reader of its own."""
    wrong = []
    for name in dict.fromkeys((clip.reader, "pyav")):
        for asked in questions:
            with open_reader(clip, name) as reader:
                found = numbers_of(reader.read(asked))
            if found != [shown[index] for index in asked]:
                wrong.append(f"{name} gives others for {asked}")
    return wrong


def questions(num_frames: int, every_pair: bool) -> list[list[int]]:
    """Return every frame alone, every frame with all that follow, and pairs: all of them, or one for each frame."""
    places = range(num_frames)
    pairs = [[one, other] for one in places for other in places[one + 1 :]]
    some = pairs if every_pair else [pair for pair in pairs if sum(pair) % num_frames == 3]
    return [[place] for place in places] + [list(places[place:]) for place in places[::4]] + some


def faults(path: Path, odd: Odd, every_pair: bool) -> tuple[list[str], int]:
    """Return what is wrong with how a clip is read, and how many frames were compared."""
    try:
        shown = make_odd(path, odd)
    except av.error.FFmpegError:
        # the muxer of a transport stream wants the time of a frame if its encoder reorders frames
        return [] if odd.glitch == "missing" else ["it cannot be written"], 0
    *_, clip = examine(str(path))
    if not clip.is_ok:
        return [f"it was put aside ({clip.status}: {clip.reason})"], 0
    if (clip.num_frames, clip.rotation, clip.mirrored) != (len(shown), odd.rotation, odd.mirrored):
        return [f"{clip.num_frames} frames, turned by {clip.rotation}, mirrored: {clip.mirrored}"], 0
    asked = questions(len(shown), every_pair)
    wrong = wrong_frames(clip, shown, asked)
    path.unlink()
    return wrong, sum(map(len, asked)) * len({clip.reader, "pyav"})


def check(folder: Path, odds: list[Odd], every_pair: bool) -> None:
    wrong, num_checks = {}, 0
    for odd in odds:
        found, count = faults(folder / odd.name, odd, every_pair)
        wrong |= {odd.name: found} if found else {}
        num_checks += count
    print(f"{len(odds)} clips, {num_checks} frames compared")
    assert not wrong
    assert num_checks > len(odds) * NUM_FRAMES


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Encoders of AV1 print what they do."""
    monkeypatch.setitem(os.environ, "SVT_LOG", "-1")


def test_each_value_in_each_container_is_read_right(tmp_path):
    check(tmp_path, cover(list(combinations())), every_pair=False)


@pytest.mark.slow
def test_every_combination_is_read_right(tmp_path):
    check(tmp_path, list(combinations()), every_pair=True)
