"""`diffmask curves`: several runs in one table and one figure."""

import json

import pytest
import yaml

from diffmask.cli import main
from diffmask.cli.curves import short_names


def write_run(folder, *, ratio="30-15", entries=None, **training):
    folder.mkdir(parents=True)
    config = {
        "model": "m",
        "output": str(folder),
        "data": {"train": ["a.txt"]},
        "masking": {"policy": "whole-word", "ratio": ratio},
        "training": training or {"steps": 100},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if entries is None:
        entries = [{"step": step, "loss": 5 - step / 50, "mask_ratio": 0.2} for step in range(10, 101, 10)]
    (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return folder


def test_one_figure_and_one_table_of_several_runs(tmp_path, capsys):
    runs = [write_run(tmp_path / name) for name in ("random", "difference")]
    figure = tmp_path / "curves.png"
    assert main(["curves", *map(str, runs), "-o", str(figure)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["run", "random", "difference"]
    assert lines[1].split()[1:] == ["100", "3.000", "20.00", "%", "22.57", "%"]
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert main(["curves", *map(str, runs), "-o", str(figure)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_epochs_become_steps_by_the_log(tmp_path, capsys):
    entries = [{"step": 10, "epoch": 0.5, "loss": 3.0, "mask_ratio": 0.3}]
    run = write_run(tmp_path / "run", ratio={"schedule": "linear", "start": 0.4, "end": 0.2}, entries=entries, epochs=5)
    assert main(["curves", str(run)]) == 0
    planned = sum(0.4 - 0.2 * step / 100 for step in range(10)) / 10
    assert f"{100 * planned:.2f} %" in capsys.readouterr().out


def test_runs_of_one_name_are_told_apart(tmp_path):
    folders = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c"]
    names = short_names(folders)
    assert names[:2] == ["a/run", "b/run"]
    assert len(set(names)) == 3
    assert short_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "is no run (it holds no config.yaml); give the output folder of `diffmask pretrain`"),
        (lambda folder: folder.mkdir(), "is no run (it holds no config.yaml)"),
        (lambda folder: write_run(folder, entries=[]), "has logged nothing yet (it logs every 10 steps); wait for"),
        (lambda folder: (write_run(folder) / "log.jsonl").unlink(), "has logged nothing yet"),
        (lambda folder: (write_run(folder) / "log.jsonl").write_text("a\nb\n"), "line 1, is no log entry ('a')"),
        (lambda folder: write_run(folder, ratio=2), "masking.ratio.start=2 is outside [0, 1]"),
    ],
)
def test_what_is_no_run_is_one_sentence(tmp_path, capsys, make, sentence):
    folder = tmp_path / "run"
    make(folder)
    other = write_run(tmp_path / "good")
    assert main(["curves", str(other), str(folder), "-o", str(tmp_path / "a.png")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert sentence in line
    assert not (tmp_path / "a.png").exists()
