"""`diffmask schedule`: what it says is what the run then does."""

import json
import math
import re

import pytest
import torch
import yaml
from support.tiny import WORDS, tiny_model, tiny_tokenizer

from diffmask.cli import main


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    generator = torch.Generator().manual_seed(0)
    lines = [" ".join(WORDS[i] for i in torch.randint(len(WORDS), (9,), generator=generator)) for _ in range(90)]
    (folder / "text.txt").write_text("\n".join(lines))
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    config = {
        "model": str(folder / "model"),
        "output": str(folder / "run"),
        "data": {
            "train": [str(folder / "text.txt")],
            "max_length": 32,
            "cache": str(folder / "cache"),
            "num_processes": 1,
            "eval_share": 0.1,
        },
        "masking": {"policy": "whole-word", "ratio": "mrd-cosine"},
        "training": {"steps": 40, "batch_size": 4, "device": "cpu", "save_every": 0, "log_every": 1, "eval_every": 0},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def said(capsys, *arguments):
    assert main(["schedule", *map(str, arguments)]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_it_says_what_the_run_then_does(world, capsys, tmp_path):
    text = said(capsys, world / "config.yaml", "masking.strength={schedule: linear, start: 0, end: 1}")
    run = tmp_path / "run"
    assert main(["pretrain", str(world / "config.yaml"), f"output={run}"]) == 0
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    reached = [entry["mask_ratio"] for entry in entries if "mask_ratio" in entry]
    assert "40 steps, 4 rows a step, 9.0 tokens each" in text
    assert "mask ratio: mean 17.4 %, from 2.0 % to 32.0 %" in text
    assert "strength: mean 48.8 %, from 0.0 % to 97.5 %" in text
    masked = int(re.search(r"about ([\d,]+) tokens", text).group(1).replace(",", ""))
    # a row of nine words masks one of them at least
    planned = [max(0.02, 0.15 * (1 + math.cos(math.pi * step / 40)) + 0.02) for step in range(40)]
    assert masked == pytest.approx(sum(max(9 * ratio, 1) for ratio in planned) * 4, abs=1)
    assert masked == pytest.approx(sum(reached) * 4 * 9, rel=0.03)
    mean = float(re.search(r"the mean ratio will be about ([\d.]+) %", text).group(1))
    assert mean == pytest.approx(100 * sum(reached) / 40, abs=0.6)


def test_the_steps_of_epochs_are_those_of_the_trainer(world, capsys, tmp_path):
    overrides = ["training.steps=null", "training.epochs=2", "training.batch_size=8", "training.accumulation=2"]
    text = said(capsys, world / "config.yaml", *overrides)
    run = tmp_path / "run"
    assert main(["pretrain", str(world / "config.yaml"), f"output={run}", *overrides]) == 0
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["step"]
    assert f" {last} steps, 16 rows a step" in text


def test_without_data_it_says_the_most_that_it_can_be(world, capsys):
    text = said(capsys, world / "config.yaml", "masking.ratio=0.25", "data.train=nowhere.txt", "--no-data")
    assert "mask ratio: 25 % throughout" in text
    assert "40 steps, 4 rows a step, at most 32 tokens each (data.max_length)" in text
    assert f"masked over the run: at most {40 * 4 * 32 // 4:,} tokens" in text
    epochs = ["training.steps=null", "training.epochs=2"]
    text = said(capsys, world / "config.yaml", *epochs, "--no-data")
    assert "0 progress 1" in text
    assert "at most 22 tokens a step on average; how many steps training.epochs makes is known only from" in text


def test_a_stream_is_not_read(world, capsys):
    text = said(capsys, world / "config.yaml", "data.streaming=true", "data.train=nowhere.txt")
    assert "at most 32 tokens each" in text


def test_ranks_count(world, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "40 steps, 8 rows a step" in said(capsys, world / "config.yaml", "--no-data")


def test_the_figure_is_written_and_not_overwritten(world, capsys, tmp_path):
    figure = tmp_path / "schedule.png"
    options = ["--no-data", "-o", str(figure)]
    arguments = ["schedule", str(world / "config.yaml")]
    assert main([*arguments, *options]) == 0
    before = figure.read_bytes()
    assert before.startswith(b"\x89PNG")
    assert main([*arguments, "masking.ratio=0.2", *options]) == 2
    assert "exists; use --overwrite to replace it" in capsys.readouterr().err
    assert figure.read_bytes() == before
    assert main([*arguments, "masking.ratio=0.2", *options, "--overwrite"]) == 0
    assert figure.read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.png"]


def test_the_list_has_every_schedule_and_preset(capsys, tmp_path):
    from diffmask.assemble.schedules import PRESETS, SCHEDULES

    text = said(capsys, "--list", "-o", tmp_path / "presets.png")
    for name in (*PRESETS, *SCHEDULES):
        assert name in text
    for paper in ("2208.10806", "2305.15096", "2509.06888"):
        assert paper in text
    assert (tmp_path / "presets.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{w}/config.yaml", "masking.ratio=1.5"], "masking.ratio.start=1.5 is outside [0, 1]"),
        (
            ["{w}/config.yaml", "masking.ratio=mrd-cosin"],
            "unknown schedule in `masking.ratio` 'mrd-cosin'; choose from",
        ),
        (["{w}/config.yaml", "masking.ratio.mean=0.2"], "has a mean (0.2), which takes effect with normalise only"),
        (["{w}/config.yaml", "training.steps=0"], "training.steps=0 trains a head and nothing else"),
        (["{w}/config.yaml", "data.train=nowhere.txt"], "nowhere.txt"),
        (["{w}/config.yaml", "-o", "{w}"], "is a folder; give the name of a figure"),
        ([], "no config was given; write `diffmask schedule CONFIG.yaml`"),
        (["{w}/config.yaml", "--list"], "--list shows what there is, and reads no config"),
        (["{w}/none.yaml"], "No such file"),
    ],
)
def test_bad_input_is_one_sentence(world, capsys, arguments, sentence):
    assert main(["schedule", *(argument.format(w=world) for argument in arguments)]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("diffmask: "))
    assert sentence in line
