"""Subtitles and captions in files of their own: beside their clips, named in a table, or in TVQA's file."""

import json
import logging
from dataclasses import replace

import pytest
from support.clip_files import draw_clip

from diffmask.core.errors import InputError
from diffmask.video.index.index import index_clips, write_index
from diffmask.video_text.data.pairs import PairSettings, read_pairs

SRT = "1\n00:00:00,100 --> 00:00:00,500\nHello there.\n\n2\n00:00:00,900 --> 00:00:01,200\nHow are you?\n"
CUES = [{"text": "Hello there.", "start": 0.1, "end": 0.5}, {"text": "How are you?", "start": 0.9, "end": 1.2}]
SETTINGS = PairSettings(segment_seconds=0.7)
EXPECTED = [("Hello there.", (0.0, 0.7)), ("How are you?", (0.7, 1.4))]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of 1.4 s, and what an index says of it."""
    folder = tmp_path_factory.mktemp("clip")
    path = draw_clip(folder / "clip.mp4", 0)
    (probed,) = index_clips([path])
    return path.read_bytes(), probed


@pytest.fixture
def folder(tmp_path, clip):
    """A folder of three clips: one, two, three.x."""
    for name in ("one", "two", "three.x"):
        (tmp_path / f"{name}.mp4").write_bytes(clip[0])
    return tmp_path


def said(pairs, name="one"):
    return [
        (pair.text, pair.span and (pytest.approx(pair.span[0]), pytest.approx(pair.span[1])))
        for pair in pairs.pairs
        if pair.clip.name == name
    ]


@pytest.mark.parametrize("name", ["one.srt", "one.en.srt", "one.pt-BR.srt"])
def test_subtitles_beside_a_clip_become_parts_of_it(folder, name):
    (folder / name).write_text(SRT)
    pairs = read_pairs(folder, SETTINGS)
    assert said(pairs) == EXPECTED
    assert {pair.kind for pair in pairs.pairs} == {"subtitle"}
    assert pairs.faults.counts == {"clips without text": 2}
    assert [text for text, _ in said(read_pairs([folder / "*.mp4"]))] == ["Hello there. How are you?"]
    assert said(read_pairs([folder / name], SETTINGS)) == EXPECTED


def test_one_file_of_subtitles_is_read_and_each_line_of_a_txt(folder):
    for name in ("one.de.srt", "one.srt", "one.vtt", "three.x.srt"):
        (folder / name).write_text(SRT.replace("there", name))
    (folder / "two.txt").write_text("a square\n\n it  moves\n")
    (folder / "one.txt").write_text("")
    (folder / "other.srt").write_text(SRT)
    pairs = read_pairs(folder, SETTINGS)
    assert said(pairs)[0][0] == "Hello one.srt."
    assert said(pairs, "three.x")[0][0] == "Hello three.x.srt."
    assert said(pairs, "two") == [("a square", None), ("it moves", None)]
    assert list(pairs.faults.lines()) == [
        f"1 files of text without a clip ({folder}/other.srt)",
        f"2 more subtitles of a clip are left out ({folder}/one.vtt, {folder}/one.de.srt)",
        f"1 files of captions without text ({folder}/one.txt)",
    ]


def test_an_index_and_a_folder_of_subtitles(folder, clip, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("subtitles")
    (elsewhere / "one.srt").write_text(SRT)
    (elsewhere / "gone.srt").write_text(SRT)
    clips = [replace(clip[1], path=str(folder / f"{name}.mp4")) for name in ("one", "two")]
    write_index(folder / "clips.parquet", [replace(clips[0], caption="a caption"), clips[1]])
    pairs = read_pairs([elsewhere], replace(SETTINGS, clips=(str(folder / "clips.parquet"),)))
    assert said(pairs) == EXPECTED
    assert pairs.faults.counts == {"files of text without a clip": 1, "clips without text": 1}
    (folder / "one.srt").write_text(SRT)
    (folder / "two.srt").write_text(SRT)
    both = read_pairs(folder / "clips.parquet", SETTINGS)
    assert said(both) == [("a caption", None)]
    assert said(both, "two") == EXPECTED


def test_a_table_names_files_of_subtitles(folder):
    (folder / "subs").mkdir()
    (folder / "subs" / "s1.srt").write_text(SRT)
    rows = [
        {"video": "one.mp4", "subtitles": "subs/s1.srt", "split": "train"},
        {"video": "two.mp4", "subtitles": "subs/none.srt"},
    ]
    table = folder / "clips.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = read_pairs(table, SETTINGS)
    assert said(pairs) == EXPECTED
    assert {pair.split for pair in pairs.pairs} == {"train"}
    where = f"{table}: row 2: subs/none.srt"
    assert f"1 rows whose file of subtitles is not there ({where})" in list(pairs.faults.lines())


def test_subtitles_of_tvqa(tmp_path, clip):
    (tmp_path / "castle_frames").mkdir()
    names = ("s01e01_seg01_clip_00", "castle_frames/castle_s01e01_seg01_clip_00")
    for name in names:
        (tmp_path / f"{name}.mp4").write_bytes(clip[0])
    rows = [
        {"vid_name": "s01e01_seg01_clip_00", "sub": CUES},
        {
            "vid_name": "castle_s01e01_seg01_clip_00",
            "sub": [*CUES[:1], {"text": "", "start": 1, "end": 2}, {"text": "x"}],
        },
        {"vid_name": "met_s01e01_seg01_clip_00", "sub": CUES},
    ]
    path = tmp_path / "tvqa_preprocessed_subtitles.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = read_pairs(path, SETTINGS)
    assert said(pairs, "s01e01_seg01_clip_00") == EXPECTED
    assert said(pairs, "castle_s01e01_seg01_clip_00") == EXPECTED[:1]
    assert list(pairs.faults.lines()) == [
        f"1 cues without text are left out ({path}: row 2: cue 2)",
        f"1 cues whose times cannot be read are left out ({path}: row 2: cue 3)",
        f"1 rows whose clip is not there ({path}: row 3)",
    ]


def test_broken_subtitles_and_those_after_the_end_are_told_and_cost_no_others(folder, caplog):
    (folder / "one.srt").write_text(SRT + "\n00:00:03,000 --> 00:00:04,000\nToo late.\n")
    (folder / "two.srt").write_text("nothing")
    with caplog.at_level(logging.WARNING):
        pairs = read_pairs(folder, SETTINGS)
    assert said(pairs) == EXPECTED
    expected = [
        f"1 cues without a number ({folder}/one.srt: line 9)",
        f"1 files of subtitles that cannot be read ({folder}/two.srt has no subtitle that can be read (no line holds "
        "two times with --> between them); give SubRip (.srt) or WebVTT (.vtt))",
        f"2 clips without text ({folder}/three.x.mp4, {folder}/two.mp4)",
        f"1 subtitles after the end of their clip are left out ({folder}/one.srt: at 3 s of 1.4)",
    ]
    assert list(pairs.faults.lines()) == [record.message for record in caplog.records] == expected


def test_a_folder_without_clips_or_texts_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no video; looked for"):
        read_pairs(tmp_path)
    with pytest.raises(InputError, match="segment_seconds=0 must be above 0; 8 cuts a minute into about eight parts"):
        PairSettings(segment_seconds=0)
