"""diffmask anchors, of clips with texts."""

import json
import sys

import pytest
from support.coloured_scenes import domain_texts, write_coloured_clips
from support.commands import Command
from support.tiny import save_encoder
from support.tiny_clip import save_clip, tiny_clip, tiny_config

from diffmask.cli import anchors
from diffmask.video.index.index import write_index
from diffmask.video_text.anchors.pair_anchors import load_pair_anchors

call = Command(anchors)
refusal = call.refusal


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Return a folder with clips, a table of captions of them, others, a CLIP and a language model."""
    folder = tmp_path_factory.mktemp("pairs")
    clips = write_coloured_clips(folder / "clips", "red", 3)
    write_coloured_clips(folder / "others", "blue", 3)
    write_index(folder / "clips.parquet", clips)
    rows = [{"video": f"{row % 3}.mp4", "caption": f"{text} {row}"} for row, text in enumerate(domain_texts())]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    save_clip(tiny_clip(), tiny_config(), folder / "clip")
    save_encoder(folder / "model")
    return folder


def test_one_space_of_words_and_patches(world, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["diffmask", "anchors", "pairs.jsonl"])
    command = [world / "pairs.jsonl", "--clips", world / "clips.parquet", "--embedder", f"clip:{world}/clip"]
    command += ["--num-words", 16, "-o", tmp_path / "a"]
    call(*command, "--num-anchors", 2, "--min-count", 2)
    found = load_pair_anchors(tmp_path / "a")
    assert (
        found.is_joint and len(found.video.names) == 2 and found.metadata["command"] == "diffmask anchors pairs.jsonl"
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("22 documents, ") and lines[0].endswith("reference wordfreq:en")
    assert [line.split()[0] for line in lines[3:5]] == found.text.anchors == found.video.names
    assert any(line.endswith("; the same anchors score words and patches") for line in lines)
    clips = f"{world}/pairs.jsonl --clips {world}/clips.parquet"
    assert f"  preview:    diffmask preview {clips} --anchors {tmp_path}/a" in lines

    table = tmp_path / "a" / "text" / "anchors.csv"
    table.write_text("anchor\nruby\n")
    call(*command, "--anchors", table, "--overwrite")
    assert load_pair_anchors(tmp_path / "a").video.names == ["ruby"]
    assert "--min-count 3 has no effect with" in refusal(*command, "--anchors", table, "--min-count", 3)


def test_anchors_of_each_side(world, tmp_path, capsys):
    options = ["--model", world / "model", "--reference", "wordfreq:en", world / "others", "--size", 64]
    clips = ["--clips", world / "clips.parquet"]
    call(world / "pairs.jsonl", *clips, *options, "--num-words", 12, "--min-count", 2, "-o", tmp_path / "a")
    found = load_pair_anchors(tmp_path / "a")
    assert not found.is_joint and "crimson" in found.text.anchors and found.video.names[0].startswith("word-")
    assert "; reference of 3 clips" in capsys.readouterr().out


def test_pairs_are_told_from_clips_and_from_texts(world, tmp_path):
    out = ["-o", tmp_path / "a"]
    assert "or an embedder that reads words and patches" in refusal(world / "pairs.jsonl", *out)
    assert "no anchors are given; give --text" in refusal(world / "clips.parquet", *out)
    pairs = ["--modality", "video-text"]
    assert "or an embedder that reads words and patches" in refusal(world / "clips.parquet", *pairs, *out)
    message = refusal(world / "pairs.jsonl", "--modality", "text", *out)
    assert message == "--model is missing; give the model that is continued: a folder, a hub name, or minilm"
    assert "unknown modality 'sound'; choose from: text, video, video-text" in refusal("a", "--modality", "sound", *out)
    # a corpus with a column of names is not one of clips
    (tmp_path / "corpus.jsonl").write_text('{"id": "a1", "text": "a text"}')
    assert refusal(tmp_path / "corpus.jsonl", *out).endswith("a hub name, or minilm")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--text", "a face"],
            "--text is an option for video, but {}/pairs.jsonl holds clips with texts; leave it out",
        ),
        (["--preset", "published"], "--preset is an option for text, but {}/pairs.jsonl holds clips with texts"),
        (["--embedder", "pixels", "--model", "m"], "patches embedded by pixels could be compared with"),
        (["--embedder", "clip:c", "--template", "a word"], "template='a word' has 0 places for a word"),
        (["--embedder", "clip:ViT-B-16"], "clip:ViT-B-16 names no weights, and none are downloaded"),
    ],
)
def test_options_that_are_refused(world, tmp_path, options, message):
    said = refusal(world / "pairs.jsonl", "--clips", world / "clips.parquet", "-o", tmp_path / "a", *options)
    assert message.format(world) in said


def test_options_of_pairs_are_refused_for_texts(tmp_path):
    (tmp_path / "a.txt").write_text("a text")
    message = refusal(tmp_path / "a.txt", "--model", "m", "--clips", "c", "--preset", "published", "-o", tmp_path / "a")
    assert message == f"--clips is an option for video-text, but {tmp_path}/a.txt holds texts; leave it out"
