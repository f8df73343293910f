"""Limits of settings: names that become paths, and numbers that nobody can mean."""

import math
import time

import pytest

from diffmask.assemble.modality import read_config, resolve
from diffmask.cli import main
from diffmask.config import read_settings
from diffmask.config.evaluation import EvaluateSettings
from diffmask.config.limits import STEPS, AtMost, Name, at_least, check_value
from diffmask.config.yaml_text import parse_yaml
from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/b",
        "a\\b",
        "..",
        ".",
        ".hidden",
        "-o",
        "",
        " a",
        "a ",
        "a\nb",
        "a\0b",
        "a\x1b[31m",
        "a" * 101,
        "é" * 51,
    ],
)
def test_a_name_is_one_part_of_a_path_and_no_option(name):
    assert Name().refusal("task.name", name)
    with pytest.raises(InputError, match="in `task.name` is"):
        read_settings(EvaluateSettings, {"model": "m", "task": {"files": ["t"], "name": name}})


def test_names_that_people_give_are_names():
    for name in ("chemprot", "not continued", "BERT-base_v1.2", "蛋白质", "a" * 100):
        assert Name().refusal("name", name) is None
    assert "is the name of a file or a folder of diffmask" in str(Name(("logs",), plain=True).refusal("tasks", "Logs"))
    assert "use letters, digits" in str(Name(plain=True).refusal("arms", "a b"))


CONFIG = "model: minilm\noutput: a\ndata: {train: a.txt}\ntraining: {steps: 5}\n"


def refused(tmp_path, *overrides, text=CONFIG):
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        resolve(read_config(path, overrides))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        *(
            "training.steps=1000000000000000000",
            "training.batch_size=1000000000000",
            "training.seed=1000000000000000000",
        ),
        *("training.epochs=1e300", "training.epochs=.inf", "training.epochs=.nan", "training.learning_rate=1e300"),
        *("training.learning_rate=.nan", "training.num_workers=100000", "data.num_processes=100000"),
        *("data.max_length=1000000000000", "masking.mask_share=.nan", "masking.domain_threshold=.inf"),
        *("masking.seed=1000000000000000000", "training.adam_betas=[.nan, 0.9]", "head.steps=1000000000000"),
        *("training.adam_epsilon=1e300", "training.keep=1000000000000", "masking.ratio=.nan"),
        "training.learning_rate=" + "9" * 400,
    ],
)
def test_numbers_that_nobody_can_mean(tmp_path, override):
    name = override.partition("=")[0]
    assert name in refused(tmp_path, override)


@pytest.mark.parametrize(
    ("kind", "override"),
    [
        ("seeds", "10000000"),
        ("first_seed", "1000000000000000000"),
        ("shares", "[.nan]"),
        ("finetune.epochs", "1000000000000"),
        ("finetune.learning_rates", "[1e300]"),
        ("eval_batch_size", "1000000000000"),
        ("video.num_frames", "1000000000000"),
        ("probe.regularisations", "[.inf]"),
    ],
)
def test_numbers_of_an_evaluation(kind, override):
    with pytest.raises(InputError, match=kind):
        read_settings(EvaluateSettings, {"model": "m", "task": {"files": ["t"]}}, [f"{kind}={override}"])


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "a", "--draws", "1000000000000"],
        ["count", "a", "-o", "b.parquet", "--num-processes", "100000"],
        ["quickstart", "--steps", "1000000000000000000"],
        ["quickstart", "--seed", "-1"],
        ["pmi", "a.txt", "-o", "b", "--num-processes", "100000"],
        ["index", "a.mp4", "-o", "b.parquet", "--num-processes", "100000"],
        ["index", "a.mp4", "-o", "b.parquet", "--time-limit", "nan"],
        ["selective", "a", "--model", "m", "-o", "s", "--epochs", "inf"],
        ["selective", "a", "--model", "m", "-o", "s", "--batch-size", "1000000000000"],
        ["anchors", "a.txt", "--model", "m", "-o", "b", "--num-processes", "100000"],
        ["anchors", "a.txt", "--model", "m", "-o", "b", "--num-anchors", "1000000000000"],
        ["preview", "a.txt", "--num-sentences", "1000000000000"],
    ],
)
def test_numbers_on_the_command_line(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "a.mp4"):
        (tmp_path / name).write_text("a cell\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_text("a cell\n")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert any(each in said for each in ("which is the most", "must be at least", "must be above", "finite")), said


def test_a_limit_says_what_is_allowed():
    assert AtMost(10, "5 is usual").refusal("x", 11) == "x=11 is above 10, which is the most; 5 is usual"
    assert AtMost(10).refusal("x", math.nan) == "x=nan is above 10, which is the most"
    assert AtMost(10).refusal("x", (1, 12)) == "x=[1, 12] is above 10, which is the most"
    assert at_least(1).refusal("x", 10**400).endswith("... is above 1,000,000,000,000, which is the most")
    assert at_least(1, finite=False).refusal("x", math.inf) is None
    check_value("--steps", 10**9, STEPS)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "it holds more than 100,000 values"),
        ("model: " + "[" * 5000, "more than 50 groups lie in one another"),
        ("model: &a\n  b: *a\n", "a group lies in itself"),
        ("model: a\nmodel: b\n", "the key `model` comes twice"),
        ("data: {train: a, train: b}\n", "the key `train` comes twice"),
        ("model:\ta\n\tb: c\n", "is not a YAML file"),
        (b"model: \xe9\n", "is not a YAML file ('utf-8' codec can't decode"),
        ("model: !!timestamp 2000-99-99\n", "is not a YAML file (month must be in 1..12)"),
        ("model: !!int many\n", "is not a YAML file (invalid literal"),
        ("training: {steps: " + "9" * 5000 + "}\n", "is not a YAML file (Exceeds the limit"),
        ("# " + "a" * (1 << 20), "is larger than 1 MB"),
        ("", "holds empty, not settings"),
        ("model: minilm\noutput: a\n---\nmodel: b\n", "is not a YAML file (expected a single document"),
    ],
)
def test_a_file_of_settings_is_read_within_bounds(tmp_path, text, said):
    started = time.monotonic()
    assert said in refused(tmp_path, text=text)
    assert time.monotonic() - started < 30  # without bounds it would not end


def test_a_folder_is_no_file_of_settings(tmp_path):
    with pytest.raises(InputError, match="is a folder; give a YAML file"):
        read_config(tmp_path)


def test_yaml_means_what_people_write():
    assert parse_yaml("a: 2000-01-01\nb: 2000-99-99\n") == {"a": "2000-01-01", "b": "2000-99-99"}
    assert parse_yaml("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n")["d"] == {"b": 1, "c": 3}


@pytest.mark.parametrize("name", ["mps", "meta", "nonsense", "cuda:999", "vulkan", "", "cpu:x"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(InputError, match="is not there|unknown device"):
        resolve_device(name)
