import re
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from support.domain import SENTENCES
from support.html_checks import check
from support.tiny import tiny_model, tiny_tokenizer

from diffmask.cli import main
from diffmask.text.anchors.find import AnchorSettings, build_anchors


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preview")
    for name, width in (("model", 32), ("other", 48)):
        tiny_model(hidden_size=width).save_pretrained(folder / name)
        tokenizer = tiny_tokenizer()
        tokenizer.model_max_length = 512
        tokenizer.save_pretrained(folder / name)
    (folder / "papers.txt").write_text("\n".join(SENTENCES * 4 + ["<script>kinase</script>"]) + "\n")
    settings = AnchorSettings(
        data=[str(folder / "papers.txt")], model=str(folder / "model"), num_anchors=2, min_count=2
    )
    build_anchors(settings).save(folder / "anchors")
    return folder


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr("diffmask.report.text.preview.NUM_DRAWS", 40)


def preview(world, *more):
    return main(["preview", str(world / "papers.txt"), "--anchors", str(world / "anchors"), *map(str, more)])


def test_random_masking_is_always_shown_beside(world, capsys):
    assert preview(world) == 0
    out = capsys.readouterr().out
    assert "\nwhole-word  " in out and "\ndifference  " in out
    assert "mask ratio reached" in out and "\x1b" not in out


def test_a_page_is_written(world, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert preview(world, "-o", page, "--num-sentences", 2, "--units", "token", "--weighting", "rank") == 0
    assert f"wrote {page}" in capsys.readouterr().out
    checker = check(page.read_text())
    assert "difference" in checker.text and "random-token" in checker.text
    assert "rank" in checker.text and "token" in checker.text
    assert len([name for name in tmp_path.iterdir()]) == 1


def test_the_same_command_writes_the_same_page(world, tmp_path):
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    for page in pages:
        assert preview(world, "-o", page, "--policy", "difference", "--policy", "random-span", "--seed", 3) == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_strength_zero_is_random_masking(world, tmp_path, capsys):
    assert preview(world, "--strength", 0) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("domain words")]
    assert rows and rows[0][-2] == rows[0][-4]


def rows_of(out, label):
    """The cells of a row of the numbers; the table may be printed in several parts."""
    lines = [line for line in out.splitlines() if line.strip().startswith(label)]
    assert lines
    return [float(cell) for line in lines for cell in re.findall(r"([\d.]+) %", line)]


def test_policies_of_every_kind_stand_side_by_side(world, tmp_path, capsys):
    page = tmp_path / "page.html"
    names = [
        "difference",
        "salient-span",
        "random-span",
        "attention",
        "loss-weighted",
        "domain-frequency",
        "random-token",
    ]
    asked = [argument for name in names for argument in ("--policy", name)]
    assert preview(world, "-o", page, *asked, "--set", f"teacher={world / 'model'}", "--set", "classes=shape") == 0
    out, text = capsys.readouterr().out, check(page.read_text()).text
    assert all(name in out and name in text for name in ["whole-word", *names])
    assert rows_of(out, "mask ratio reached") == pytest.approx([15.0] * 8, abs=3.0)


def test_hints_and_the_direction_are_those_of_policies_that_score(world, capsys):
    domain = []
    for more in ([], ["--set", "direction=show"], ["--set", "hint_share=0.3"]):
        assert preview(world, *more) == 0
        out = capsys.readouterr().out
        domain.append(rows_of(out, "domain words")[-1])
        assert rows_of(out, "mask ratio reached") == pytest.approx([15, 15], abs=3)
    assert domain[0] > domain[1] and domain[0] > domain[2]


def test_units_may_be_others_than_the_policys_own(world, capsys):
    assert preview(world, "--units", "salient", "--set", "spans=rule") == 0
    assert "difference" in capsys.readouterr().out
    assert preview(world, "--policy", "whole-word", "--units", "spam") == 2
    assert "unknown masking.units 'spam'; choose from" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_said(world, checkpoint, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(checkpoint.parent, run)
    (run / "checkpoint-2" / "policy.safetensors").write_bytes(b"cut")
    assert main(["preview", str(world / "papers.txt"), "--checkpoint", str(run / "checkpoint-2")]) == 2
    assert "policy.safetensors is damaged" in capsys.readouterr().err
    for broken in (b"", b"[]", b'{"global_step": 3}', b"\xff"):
        (run / "checkpoint-2" / "trainer_state.json").write_bytes(broken)
        assert main(["preview", str(world / "papers.txt"), "--checkpoint", str(run / "checkpoint-2")]) == 2
        error = capsys.readouterr().err
        assert "trainer_state.json is damaged" in error and error.count("\n") == 1


def test_without_anchors_a_model_is_enough(world, capsys):
    command = ["preview", str(world / "papers.txt"), "--policy", "salient-span"]
    assert main([*command, "--model", str(world / "model")]) == 0
    assert "salient-span" in capsys.readouterr().out
    assert main(command) == 2
    assert "says which tokenizer to use; add --model MODEL" in capsys.readouterr().err


def test_schedules_are_held_at_the_progress_that_is_asked_for(world, capsys):
    schedule = ("--set", "ratio={schedule: linear, start: 0.6, end: 0.2}")
    found = []
    for progress in ("0", "0.5", "1"):
        assert preview(world, *schedule, "--progress", progress) == 0
        found.append(rows_of(capsys.readouterr().out, "mask ratio reached")[0])
    assert found == pytest.approx([60, 40, 20], abs=3)
    assert preview(world, "--progress", "1.5") == 2
    assert "the progress 1.5 is outside [0, 1]" in capsys.readouterr().err


@pytest.fixture(scope="module")
def checkpoint(world):
    settings = {
        "model": str(world / "model"),
        "output": str(world / "run"),
        "data": {"train": [str(world / "papers.txt")], "eval_share": 0.0, "cache": str(world / "cache")},
        "masking": {
            "policy": "loss-weighted",
            "classes": "shape",
            "ratio": {"schedule": "linear", "start": 0.5, "end": 0.1},
        },
        "training": {"steps": 4, "batch_size": 8, "save_every": 2, "device": "cpu", "eval_every": 0},
    }
    path = world / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert main(["pretrain", str(path)]) == 0
    return world / "run" / "checkpoint-2"


def test_a_checkpoint_shows_what_its_run_masked_then(world, checkpoint, capsys):
    learned = load_file(checkpoint / "policy.safetensors")
    losses = torch.linspace(0, 1, len(learned["loss_weighted.losses"]), dtype=torch.float64)
    save_file(learned | {"loss_weighted.losses": losses}, checkpoint / "policy.safetensors")
    command = ["preview", str(world / "papers.txt"), "--checkpoint", str(checkpoint)]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "loss-weighted" in out and "as before training" not in out
    assert rows_of(out, "mask ratio reached") == pytest.approx([30, 30], abs=3)
    assert rows_of(out, "punctuation")[1] != rows_of(out, "punctuation")[2]  # it has learned something
    assert main([*command, "--policy", "whole-word"]) == 2
    assert "--checkpoint has the config and the policy of its run" in capsys.readouterr().err
    assert main(["preview", str(world / "papers.txt"), "--checkpoint", str(world)]) == 2
    assert "is no checkpoint of a run" in capsys.readouterr().err


def test_a_config_says_what_is_masked(world, checkpoint, capsys):
    command = ["preview", str(world / "papers.txt"), "--config", str(world / "run.yaml"), "--progress", "1"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "\nloss-weighted: shown as before training" in out
    assert rows_of(out, "mask ratio reached") == pytest.approx([10, 10], abs=3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--policy", "diference"], "unknown policy 'diference'; choose from: attention, difference, domain-frequency"),
        (["--ratio", "1.5"], "masking.ratio.start=1.5 is outside [0, 1]; 0.15 means 15 %"),
        (["--strength", "-1"], "masking.strength.start=-1 is outside [0, 1]; 0.15 means 15 %"),
        (["--weighting", "soft"], "unknown masking.weighting 'soft'; choose from: softmax, rank, linear"),
        (["--units", "sentence"], "unknown masking.units 'sentence'; choose from: word, token, span, pmi, salient"),
        (["--set", "spans=rule"], "masking.spans is given, and has no effect with difference; leave it out"),
        (["--policy", "whole-word", "--set", "hint_share=7"], "masking.hint_share=7 is outside [0, 1)"),
        (
            ["--policy", "whole-word", "--set", "hint_share=0.1"],
            "masking.hint_share is given, and has no effect with whole",
        ),
        (["--policy", "salient-span", "--set", "temperature=0.5"], "masking.temperature is given, and has no effect"),
        (["--set", "span=rule"], "unknown setting `masking.span`; did you mean `masking.spans`?"),
        (["--set", "spans"], "'spans' is not an override; write key=value"),
        (["--policy", "attention"], "the policy `attention` needs a teacher"),
        (["--num-sentences", "0"], "--num-sentences 0 is below 1; give at least one"),
        (["--column", "body"], "column 'body' was given, but plain text has no columns"),
    ],
)
def test_bad_input_is_one_sentence(world, capsys, more, message):
    assert preview(world, *more) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"diffmask: {message}") and error.count("\n") == 1


def test_anchors_of_another_model_are_refused(world, capsys):
    assert preview(world, "--model", world / "other") == 2
    assert "the anchors were made for" in capsys.readouterr().err


def test_a_page_that_exists_is_kept_unless_told_otherwise(world, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert preview(world, "-o", page) == 2
    assert "exists; use --overwrite to replace it" in capsys.readouterr().err
    assert page.read_text() == "mine"
    assert preview(world, "-o", page, "--overwrite") == 0
    assert page.read_text().startswith("<!doctype html>")


def test_a_missing_corpus_and_missing_anchors_are_said(world, tmp_path, capsys):
    assert main(["preview", str(tmp_path / "no.txt"), "--anchors", str(world / "anchors")]) == 2
    assert "no.txt does not exist; check the path" in capsys.readouterr().err
    assert main(["preview", str(world / "papers.txt"), "--anchors", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
