"""diffmask anchors, of clips."""

import sys

import pytest
from support.commands import Command
from support.tiny_clip import write_groups

from diffmask.cli import anchors
from diffmask.video.anchors.anchor_set import load_visual_anchors

call = Command(anchors)
refusal = call.refusal


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return write_groups(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def command(groups, tmp_path):
    return [
        groups / "domain",
        "--reference",
        groups / "general",
        "--num-words",
        12,
        "--size",
        128,
        "-o",
        tmp_path / "a",
    ]


def test_anchors_of_clips_are_written_shown_and_edited(command, groups, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["diffmask", "anchors", "domain"])
    call(*command)
    found = load_visual_anchors(tmp_path / "a")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 clips, 1,536 patches; reference of 3 clips"
    assert lines[2].split() == ["anchor", "patches", "clips", "share", "in", "general", "times"]
    assert [line.split()[0] for line in lines[3 : 3 + len(found.names)]] == found.names
    assert f"  look:       {tmp_path}/a/sheet.png" in lines
    assert found.metadata["command"] == "diffmask anchors domain"

    table = tmp_path / "a" / "anchors.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:2]))
    call(groups / "domain", "--anchors", table, "-o", tmp_path / "a", "--overwrite")
    assert load_visual_anchors(tmp_path / "a").names == found.names[:1]
    assert capsys.readouterr().out.splitlines()[3].split()[0] == found.names[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-count", 3], "--min-count is an option for text and video-text, but"),
        (
            ["--anchors", "a.csv", "--text", "a face"],
            "--text 'a face' has no effect with --anchors a.csv",
        ),
        (["--anchors", "a.csv", "--num-anchors", 3], "--num-anchors 3 has no effect with --anchors a.csv"),
        (["--anchors", "a.csv"], "a.csv does not exist; give an edited anchors.csv in a folder of anchors of clips"),
        ([], "no anchors are given; give --text, --exemplar, or --reference OTHER_CLIPS to find some"),
        (["--text", "a face"], "--text needs an embedder that reads text, and pixels does not; use --embedder clip:"),
        (
            ["--text", "a face", "--embedder", "clip:ViT-B-16"],
            "clip:ViT-B-16 names no weights, and none are downloaded",
        ),
    ],
)
def test_options_that_are_refused(groups, tmp_path, options, message):
    assert message in refusal(groups / "domain", "-o", tmp_path / "a", *options)


def test_options_of_clips_are_refused_for_texts(tmp_path):
    (tmp_path / "a.txt").write_text("a text")
    message = refusal(tmp_path / "a.txt", "--model", "m", "--text", "a face", "-o", tmp_path / "a")
    assert message == f"--text is an option for video, but {tmp_path}/a.txt holds texts; leave it out"
    message = refusal(tmp_path / "a.txt", "-o", tmp_path / "a")
    assert message == "--model is missing; give the model that is continued: a folder, a hub name, or minilm"


def test_what_is_not_there_is_not_called_texts(tmp_path):
    (tmp_path / "empty").mkdir()
    more = ["--text", "a face", "-o", tmp_path / "a"]
    assert refusal(tmp_path / "empty", *more) == f"folder {tmp_path}/empty has no files; check the path"
    assert refusal(tmp_path / "clpis.parquet", *more) == f"{tmp_path}/clpis.parquet does not exist; check the path"
    (tmp_path / "clips.parquet").write_text("no table")
    assert f"{tmp_path}/clips.parquet is not a table that can be read (" in refusal(tmp_path / "clips.parquet", *more)


def test_options_say_what_is_meant_where_a_folder_holds_both(tmp_path):
    (tmp_path / "both").mkdir()
    for name in ("a.txt", "b.txt", "talk.mp4"):
        (tmp_path / "both" / name).write_text("a text")
    both = [tmp_path / "both", "-o", tmp_path / "a"]
    assert refusal(*both).startswith("--model is missing")
    assert refusal(*both, "--text", "a face").startswith("--text needs an embedder that reads text")
    (tmp_path / "both" / "b.txt").unlink()
    assert refusal(*both).startswith("no anchors are given; give --text")
    assert refusal(*both, "--min-count", 3).startswith("--model is missing")


def test_an_output_that_exists_is_refused_before_the_work(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "sheet.png").write_text("")
    assert "exists; choose another name" in refusal("gone.mp4", "--reference", "gone", "-o", tmp_path / "a")
    (tmp_path / "a" / "thesis.txt").write_text("")
    assert "holds other files (thesis.txt)" in refusal("gone.mp4", "--reference", "gone", "-o", tmp_path / "a")
