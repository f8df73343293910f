"""`diffmask report`, `curves` and `schedule` of runs on video."""

import json
import shutil

import pytest
from support.html_checks import check
from support.shown_clips import EVIL, make_world, write_config

from diffmask.cli import main


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("report"), 6)


@pytest.fixture(autouse=True)
def _quick(monkeypatch, world):
    monkeypatch.setattr("diffmask.report.clips.preview.NUM_DRAWS", 8)
    monkeypatch.setattr("diffmask.report.clips.preview.SIZE", 32)
    monkeypatch.setenv("HOME", str(world))


@pytest.fixture(scope="module")
def done(world):
    """A run with a ratio that falls, and anchors."""
    path = write_config(
        world,
        "run",
        policy="difference",
        anchors=str(world / "anchors"),
        ratio={"schedule": "linear", "start": 0.75, "end": 0.25},
    )
    assert main(["pretrain", str(path)]) == 0
    return world / "run"


@pytest.fixture
def copied(done, tmp_path):
    shutil.copytree(done, tmp_path / "run")
    return tmp_path / "run"


def report(folder, capsys):
    capsys.readouterr()
    assert main(["report", str(folder), "--overwrite"]) == 0
    out = capsys.readouterr().out
    text = (folder / "report.html").read_text()
    return check(text, pictures=True).text.replace("\u00a0", " "), text, out


def test_the_page_of_a_run_has_all_its_parts(done, capsys):
    words, text, out = report(done, capsys)
    for part in ("What was run", "Losses", "Schedules", "Anchors", "What was masked", "Throughput"):
        assert part in words
    assert "held-out loss, all patches" in words and "domain patches" in words and "patches per second" in words
    for wrong in ("tokens", "words of the domain", "all words", "general frequencies"):
        assert wrong not in words
    assert "step 0: ratio 75 %" in words and "step 3: ratio 38 %" in words
    assert "hides 75.0 % of the patches" in words and "filled in" in words
    assert "The clips were held out of the training." in words
    assert "square.png" in words  # the anchor
    assert out.count("not on the page") == 1  # no evaluation was made


def test_clips_are_counted_and_settings_explained(done, capsys):
    words, _, _ = report(done, capsys)
    inputs = json.loads((done / "inputs.json").read_text())
    assert inputs["clips"]["hash"] in words and inputs["held_out"]["hash"] in words
    assert "masking.policy" not in words.split("All ")[0] or "instead of" in words
    assert "Share of the patches that is masked" in words


def test_clips_that_failed_are_named(copied, capsys):
    lines = [{"clip": f"/clips/{EVIL}.mp4", "reason": "it is <gone>", "visit": 3}]
    (copied / "failures.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words, text, _ = report(copied, capsys)
    assert "Clips that failed" in words and f"/clips/{EVIL}.mp4" in words and "it is <gone>" in words
    assert "<script" not in text
    (copied / "failures.jsonl").write_text('{"clip": \n')
    _, _, out = report(copied, capsys)
    assert "not on the page: Clips that failed:" in out and "is damaged" in out


def test_a_run_without_its_model_is_shown_by_its_last_checkpoint(copied, capsys):
    shutil.rmtree(copied / "model")
    words, _, out = report(copied, capsys)
    assert "filled in" in words
    for folder in copied.glob("checkpoint-*"):
        shutil.rmtree(folder)
    words, _, out = report(copied, capsys)
    assert "filled in" not in words and "one mask" in words
    assert "What the model makes of hidden patches: the run has neither a model nor a checkpoint yet." in out


def test_what_is_gone_is_said(world, copied, capsys):
    config = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(config.replace("clips.parquet", "none.parquet"))
    words, _, out = report(copied, capsys)
    assert "What was masked" not in words and "not on the page: Masks: " in out and "none.parquet" in out
    (copied / "config.yaml").write_text(config.replace("/anchors", "/other-anchors"))
    words, _, out = report(copied, capsys)
    assert "not on the page: Anchors: " in out and "Masks: they need the anchors that the run used." in out


def test_a_run_of_another_version_has_a_page(copied, capsys):
    config = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(config + "spam: 1\n")
    words, _, out = report(copied, capsys)
    assert "held-out loss, all patches" in words and "unknown setting `spam`" in out


@pytest.fixture(scope="module")
def features(world):
    target = {"kind": "features", "embedder": f"student:{world / 'model'}"}
    path = write_config(world, "features", target=target, policy="motion", training={"save_every": 4})
    assert main(["pretrain", str(path)]) == 0
    return world / "features"


def test_where_features_are_predicted_there_are_masks_and_a_reason(world, features, tmp_path, capsys):
    words, _, out = report(features, capsys)
    assert "filled in" not in words and "motion" in words and "random-tube" in words
    assert "features are predicted (target.kind=features), of which there are no pictures" in out
    command = ["preview", str(world / "clips.parquet"), "--checkpoint", str(features / "checkpoint-4")]
    assert main([*command, "--num-clips", "1"]) == 0
    assert "Not filled in: features are predicted" in capsys.readouterr().out


def test_curves_are_of_patches(done, features, tmp_path, capsys):
    assert main(["curves", str(done), str(features), "-o", str(tmp_path / "c.svg")]) == 0
    out = capsys.readouterr().out
    assert "run" in out and "features" in out and "75.00 %" in out
    assert (tmp_path / "c.svg").exists()


def test_the_schedule_of_a_run_on_video_counts_patches(world, done, capsys):
    command = ["schedule", str(world / "run.yaml"), "masking.policy=random-tube", "masking.anchors=null"]
    assert main(command) == 0
    out = capsys.readouterr().out
    # 4 steps of 2 rows of 64 patches, at 75, 62.5, 50 and 37.5 %
    assert "4 steps, 2 rows a step, 64 patches each" in out and "about 288 patches" in out
    assert "guided share" not in out
    assert main([*command, "masking.guided_share={schedule: linear, start: 0, end: 0.5}", "data.repeats=3"]) == 0
    out = capsys.readouterr().out
    assert "guided share: mean" in out and "6 rows a step" in out


def test_epochs_of_clips_are_counted(world, done, capsys):
    command = ["schedule", str(world / "run.yaml"), "training.steps=null", "training.epochs=3", "data.eval_share=0"]
    assert main(command) == 0
    assert "9 steps, 2 rows a step" in capsys.readouterr().out
    assert main([*command, "--no-data"]) == 0
    assert "is known only from the clips" in " ".join(capsys.readouterr().out.split())
    assert main(["schedule", str(world / "run.yaml"), "training.steps=0"]) == 2
    assert "so there is no schedule; give at least 1" in capsys.readouterr().err
