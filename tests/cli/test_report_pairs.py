"""`diffmask report` of runs on clips with texts."""

import json
import shutil

import pytest
import yaml
from support.html_checks import check
from support.shown_clips import EVIL
from support.shown_pairs import make_pairs

from diffmask.cli import main


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("report"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch, world):
    monkeypatch.setattr("diffmask.report.clips.preview.NUM_DRAWS", 8)
    monkeypatch.setattr("diffmask.report.clips.preview.SIZE", 32)
    monkeypatch.setenv("HOME", str(world))


def write_run(world, name, **masking):
    """Write the config of a short run; return its path."""
    settings = {
        "modality": "video-text",
        "model": str(world / "model"),
        "output": str(world / name),
        "data": {
            "train": [str(world / "pairs.jsonl")],
            "clips": [str(world / "clips.parquet")],
            "eval_share": 0.5,
            "cache": str(world / "cache"),
            "num_processes": 1,
        },
        "masking": masking,
        "training": {"steps": 4, "batch_size": 2, "eval_every": 2, "save_every": 2, "log_every": 1, "device": "cpu"},
    }
    path = world / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def done(world):
    """A run with anchors, whose ratios change: that of patches falls."""
    falling = {"ratio": {"schedule": "linear", "start": 0.75, "end": 0.25}}
    path = write_run(world, "run", anchors=str(world / "anchors"), video=falling)
    assert main(["pretrain", str(path)]) == 0
    return world / "run"


@pytest.fixture
def copied(done, tmp_path):
    shutil.copytree(done, tmp_path / "run")
    return tmp_path / "run"


def report(folder, capsys):
    capsys.readouterr()
    assert main(["report", str(folder), "--overwrite"]) == 0
    text = (folder / "report.html").read_text()
    return check(text, pictures=True).text.replace("\u00a0", " "), text, capsys.readouterr().out


def test_the_page_of_a_run_shows_words_and_patches(done, capsys):
    words, text, _ = report(done, capsys)
    assert "step 0: ratio of words 50 %, ratio of patches 75 %" in words
    assert "step 3: ratio of words 50 %, ratio of patches 38 %" in words
    for part in ("Anchors", "What was masked", "Whose words were hidden", "How many patches were hidden", "kinase"):
        assert part in words
    assert "The pairs were held out of the training." in words or "The pairs are some that were trained on." in words
    assert "<script" not in text and EVIL not in text


def test_anchors_that_were_made_again_are_told(copied, capsys):
    inputs = json.loads((copied / "inputs.json").read_text())
    inputs["anchors"]["words"]["command"] = "another"
    inputs["anchors"]["patches"]["key"] = "another"
    (copied / "inputs.json").write_text(json.dumps(inputs))
    words, _, _ = report(copied, capsys)
    assert "Anchors of words: they were made again since the run." in words
    assert "Anchors of patches: they were made again since the run." in words


def test_a_run_that_never_changes_stands_beside_random_masking(world, capsys):
    path = write_run(world, "plain", sides="video", video={"policy": "motion"})
    assert main(["pretrain", str(path)]) == 0
    words, _, _ = report(world / "plain", capsys)
    # 13 of 16 tubes are the least above 80 %
    assert "random-tubehides 81" in words and "motionhides 79" in words
    assert "The words are not masked." in words


def test_a_run_shows_its_policies_as_they_were(done, capsys, tmp_path):
    page = tmp_path / "page.html"
    clips = ["--checkpoint", str(done / "checkpoint-2"), "-o", str(page)]
    assert main(["preview", str(done.parent / "pairs.jsonl"), *clips]) == 0
    words = check(page.read_text(), pictures=True).text
    assert "progress50%" in words and "difference" in words
