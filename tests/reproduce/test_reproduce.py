"""A whole experiment on a tiny model; killed at random moments it comes to the same table."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml
from support.labelled import labelled_rows
from support.tiny import tiny_model, tiny_tokenizer

NUM_KILLS = 10
EXPERIMENT = {
    "name": "tiny",
    "about": "Does the tiny model gain?",
    "seeds": 1,
    "baseline": "random",
    "steps": [100],
    "tasks": {"proteins": {"files": ["proteins"], "text": ["proteins/train.jsonl"]}},
    "pretrain": {
        "data": {"max_length": 32, "num_processes": 1},
        "head": {"steps": 3},
        "training": {"steps": 300, "batch_size": 8, "save_every": 20, "eval_every": 100, "device": "cpu"},
    },
    "evaluate": {"method": "finetune", "max_length": 32, "device": "cpu", "finetune": {"epochs": 2, "batch_size": 8}},
    "arms": {
        "none": {"continued": False},
        "random": {"masking": {"policy": "whole-word"}},
        "difference": {"masking": {"policy": "difference"}, "anchors": {"num_anchors": 3, "min_count": 1}},
    },
}


@pytest.fixture
def experiment(tmp_path):
    folder = tmp_path / "data" / "proteins"
    folder.mkdir(parents=True)
    for seed, (split, number) in enumerate({"train": 60, "dev": 20, "test": 40}.items()):
        rows = labelled_rows(number, seed)
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tiny_model().bert.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    path = tmp_path / "tiny.yaml"
    given = EXPERIMENT | {"model": str(tmp_path / "model")}
    given["pretrain"]["data"]["cache"] = str(tmp_path / "cache")
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    return path


def start(experiment, output, num_processes=1):
    words = ["reproduce", str(experiment), "--data", str(experiment.parent / "data"), "-o", str(output)]
    return subprocess.Popen(
        [sys.executable, "-m", "diffmask", *words, "--num-processes", str(num_processes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process):
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    return printed


@pytest.mark.slow
def test_killed_at_random_moments_it_comes_to_the_same_table(experiment, tmp_path):
    began = time.monotonic()
    printed = finish(start(experiment, tmp_path / "whole"))
    took = time.monotonic() - began
    table = (tmp_path / "whole" / "results.md").read_text()
    assert table in printed and "| difference |" in table and "loss, domain words" in table
    assert "**Does continuing help here?" in table and "random reaches" in table

    chance = random.Random(0)
    for _ in range(NUM_KILLS):
        process = start(experiment, tmp_path / "killed", num_processes=2)
        time.sleep(chance.uniform(0.1, 0.4) * took)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start(experiment, tmp_path / "killed"))
    assert (tmp_path / "killed" / "results.md").read_text() == table
    scores = [
        json.loads((tmp_path / name / "proteins" / "comparison" / "comparison.json").read_text())
        for name in ("whole", "killed")
    ]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_ctrl_c_stops_the_jobs_and_the_same_command_goes_on(experiment, tmp_path):
    process = start(experiment, tmp_path / "out")
    while not list((tmp_path / "out").glob("proteins/runs/start/seed-0/model")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed = process.communicate()[0]
    assert process.returncode == 130 and f"stopped; the same command continues ({tmp_path / 'out'})" in printed
    assert "[1/" not in finish(start(experiment, tmp_path / "out"))
