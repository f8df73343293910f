"""A modality is one object: with a third one in the table, commands, training and evaluation work as for text."""

import json

import contract
import pytest
import torch
import yaml
from support.html_checks import check
from support.numbers_in_a_row import Numbers, NumbersMasking, NumbersMaskingConfig, NumbersModel, NumbersModelConfig
from transformers import AutoConfig

from diffmask.assemble.modality import MODALITIES, modality_of, modality_of_model, read_config
from diffmask.cli import main


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Return a folder with a model, rows in which each number follows from the one before, and a labelled task."""
    folder = tmp_path_factory.mktemp("numbers")
    AutoConfig.register("numbers", NumbersModelConfig, exist_ok=True)
    torch.manual_seed(0)
    NumbersModel(NumbersModelConfig()).save_pretrained(folder / "model")
    rows = [[(start + 0.3 * place) % 3 for place in range(8)] for start in torch.linspace(0, 3, 80).tolist()]
    lines = [" ".join(f"{number:.2f}" for number in row) for row in rows]
    (folder / "train.num").write_text("\n".join(lines[:64]))
    (folder / "eval.num").write_text("\n".join(lines[64:]))
    (folder / "task").mkdir()
    for split, part in (("train", lines[::2]), ("dev", lines[1::4]), ("test", lines[3::4])):
        told = [{"text": line, "label": "high" if float(line.split()[0]) > 1.5 else "low"} for line in part]
        (folder / "task" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, told)))
    settings = {
        "modality": "numbers",
        "model": str(folder / "model"),
        "output": str(folder / "run"),
        "data": {"train": [str(folder / "train.num")], "eval": [str(folder / "eval.num")]},
        "training": {"steps": 30, "batch_size": 16, "learning_rate": 0.01, "log_every": 10, "eval_every": 10},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(autouse=True)
def with_numbers(monkeypatch):
    monkeypatch.setitem(MODALITIES, "numbers", Numbers())
    monkeypatch.setitem(contract.MASKINGS, NumbersMaskingConfig, NumbersMasking)


@pytest.fixture(scope="module")
def done(world):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODALITIES, "numbers", Numbers())
        assert main(["pretrain", str(world / "run.yaml")]) == 0
    return world / "run"


def test_it_is_found_by_config_and_by_model(world):
    config = read_config(world / "run.yaml", ["masking.policy=random"])
    assert (modality_of(config).name, config.masking.policy) == ("numbers", "random")
    assert modality_of_model("numbers").name == "numbers"
    assert modality_of_model("bert").name == "text" and modality_of_model("videomae").name == "video"


def test_it_is_trained(done):
    log = [json.loads(line) for line in (done / "log.jsonl").read_text().splitlines()]
    losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
    assert losses[-1] < 0.8 * losses[0]
    ratios = [entry["mask_ratio"] for entry in log if "mask_ratio" in entry]
    assert ratios == pytest.approx([0.15] * len(ratios), abs=0.05)
    assert NumbersModel.from_pretrained(done / "model").config.model_type == "numbers"


def test_its_masks_are_previewed(world, tmp_path, capsys):
    assert main(["preview", str(world / "train.num"), "-o", str(tmp_path / "page.html")]) == 0
    assert "random hides 0.1" in capsys.readouterr().out
    assert "large" in check((tmp_path / "page.html").read_text()).text


def test_its_models_are_evaluated(world, done, tmp_path, capsys):
    command = ["evaluate", str(done), "--task", str(world / "task"), "--method", "probe", "--seeds", "2"]
    assert main([*command, "-o", str(tmp_path / "results")]) == 0
    assert "accuracy" in capsys.readouterr().out
    shares = json.loads((tmp_path / "results" / "seed-0.json").read_text())["shares"]
    assert shares[0]["test"]["all"]["accuracy"] > 0.8
    assert main([*command[:-4], "--method", "knn", "-o", str(tmp_path / "no")]) == 2
    assert "a model of numbers, is not evaluated by the method knn; choose from: probe" in capsys.readouterr().err


def test_a_run_has_its_page_and_policies_their_list(done, capsys):
    assert main(["report", str(done)]) == 0
    assert "held-out loss, all numbers" in check((done / "report.html").read_text()).text
    capsys.readouterr()
    assert main(["policies", "numbers"]) == 0
    assert "large numbers" in capsys.readouterr().out


@pytest.mark.parametrize("shape", contract.SHAPES, ids=str)
@pytest.mark.parametrize("promise", contract.PROPERTIES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("policy", NumbersMasking.policies)
def test_its_policies_keep_every_promise(policy, promise, shape):
    promise(NumbersMaskingConfig(policy=policy), shape)


def test_what_it_lacks_is_one_sentence(world, tmp_path, capsys):
    assert main(["anchors", str(world / "train.num"), "-o", str(tmp_path / "anchors")]) == 2
    assert "there is no way yet to find anchors in numbers" in capsys.readouterr().err
    assert main(["schedule", str(world / "run.yaml")]) == 2
    assert "how long a run on numbers is, is not known before it starts" in capsys.readouterr().err
