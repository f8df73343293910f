"""Merging the model of a run with its original: real runs of tiny models."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from support.tiny import WORDS, tiny_model, tiny_tokenizer
from transformers import AutoModelForMaskedLM, AutoTokenizer

from diffmask.cli import main
from diffmask.config import HeadConfig, TextConfig, TextDataConfig, TextMaskingConfig, TrainingConfig
from diffmask.core.errors import InputError
from diffmask.pretrain import pretrain
from diffmask.pretrain.merge.frontier import Point, best_on_dev
from diffmask.pretrain.merge.weights import check_alike, merge_into
from diffmask.train.record import Lineage


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with two runs, of a model with its head and of one without, general text, and a task."""
    folder = tmp_path_factory.mktemp("world")
    generator = torch.Generator().manual_seed(0)
    lines = [" ".join(WORDS[i] for i in torch.randint(len(WORDS), (12,), generator=generator)) for _ in range(120)]
    (folder / "text.txt").write_text("\n".join(lines[:80]) + "\n")
    (folder / "general.txt").write_text("\n".join(lines[80:]) + "\n")
    (folder / "task").mkdir()
    for name, count in (("train", 24), ("dev", 12), ("test", 12)):
        rows = [json.dumps({"text": line, "label": "ab"[place % 2]}) for place, line in enumerate(lines[:count])]
        (folder / "task" / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    tiny_model().save_pretrained(folder / "model")
    tiny_model().bert.save_pretrained(folder / "encoder")
    for name in ("model", "encoder"):
        tiny_tokenizer().save_pretrained(folder / name)
        pretrain(config_for(folder, name), progress=False)
    return folder


def config_for(world, name):
    return TextConfig(
        model=str(world / name),
        output=str(world / f"run-{name}"),
        data=TextDataConfig(
            (str(world / "text.txt"),), max_length=32, num_processes=1, eval_share=0.2, cache=str(world / "cache")
        ),
        masking=TextMaskingConfig("whole-word"),
        head=HeadConfig(steps=4),
        training=TrainingConfig(
            steps=8, batch_size=8, eval_every=4, save_every=0, log_every=1, device="cpu", learning_rate=1e-2
        ),
    )


def merged(world, tmp_path, *options, run="run-model"):
    code = main(["merge", str(world / run), "--device", "cpu", "-o", str(tmp_path / "merged"), *map(str, options)])
    return code, tmp_path / "merged"


def weights(folder):
    return AutoModelForMaskedLM.from_pretrained(folder).state_dict()


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_what_is_kept_lies_on_the_line_and_the_ends_are_the_models_bit_by_bit(world, tmp_path, share):
    code, folder = merged(world, tmp_path, "--share", share, "--keep", share)
    assert code == 0
    original, continued, got = (
        weights(world / "model"),
        weights(world / "run-model" / "model"),
        weights(folder / "model"),
    )
    assert got.keys() == original.keys()
    for name, value in got.items():
        slow = original[name] * (1 - share) + continued[name] * share
        assert torch.allclose(value, slow, atol=1e-7), name
        if share in (0, 1):
            assert torch.equal(value, (original, continued)[share][name]), name
    continued_from = Lineage.read(world / "run-model" / "model")
    assert continued_from.steps and Lineage.read(folder / "model") == (continued_from if share else Lineage())
    AutoTokenizer.from_pretrained(folder / "model")
    assert load_file(folder / "model" / "model.safetensors")
    assert not {each.name for each in folder.iterdir()} - {"model", "frontier.json", "frontier.csv", "frontier.html"}


def test_the_head_that_the_original_lacks_is_that_of_the_run(world, tmp_path):
    code, folder = merged(world, tmp_path, "--share", "0", "--keep", "0", run="run-encoder")
    assert code == 0
    original, continued, got = (
        weights(world / "model"),
        weights(world / "run-encoder" / "model"),
        weights(folder / "model"),
    )
    for name, value in got.items():
        is_head = name.startswith("cls") and "decoder.weight" not in name  # the weight is that of the embeddings
        assert torch.equal(value, (continued if is_head else original)[name]), name


def test_the_domain_loss_at_the_end_is_that_of_the_run_and_general_text_and_task_are_measured(world, tmp_path, capsys):
    options = ["--general", world / "general.txt", "--task", world / "task", "--method", "probe", "--seeds", 1]
    code, folder = merged(world, tmp_path, "--share", 0, 0.5, 1, *options)
    assert code == 0
    found = json.loads((folder / "frontier.json").read_text())
    log = [json.loads(line) for line in (world / "run-model" / "log.jsonl").read_text().splitlines()]
    losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
    points = found["points"]
    assert points[0]["domain_loss"] == pytest.approx(losses[0], rel=1e-5)
    assert points[-1]["domain_loss"] == pytest.approx(losses[-1], rel=1e-5)
    assert all(point["general_loss"] > 0 and 0 <= point["dev_score"] <= 1 for point in points)
    best = max(points, key=lambda point: (point["dev_score"], -point["share"]))
    assert found["kept"] == best["share"]
    assert found["task"]["split"] == "dev"
    rows = list(csv.DictReader((folder / "frontier.csv").read_text().splitlines()))
    assert [float(row["domain_loss"]) for row in rows] == [point["domain_loss"] for point in points]
    page = (folder / "frontier.html").read_text()
    assert "general loss" in page
    assert "score on dev" in page
    assert (
        str(world) not in page + (folder / "frontier.json").read_text() + (folder / "model" / "README.md").read_text()
    )
    assert f"The model at the share {best['share']:g} was saved" in capsys.readouterr().out.replace("\n", " ")


def test_labels_of_the_test_change_nothing(world, tmp_path):
    scores = []
    for number, labels in enumerate(("ab", "ba")):
        task = tmp_path / f"task{number}"
        shutil.copytree(world / "task", task)
        rows = [json.loads(line) for line in (task / "test.jsonl").read_text().splitlines()]
        text = "\n".join(json.dumps(row | {"label": labels["ab".index(row["label"])]}) for row in rows)
        (task / "test.jsonl").write_text(text + "\n")
        options = ["--share", 1, "--task", task, "--method", "probe", "--seeds", 1, "--overwrite"]
        assert merged(world, tmp_path, *options)[0] == 0
        scores.append(json.loads((tmp_path / "merged" / "frontier.json").read_text())["points"][0]["dev_score"])
    assert scores[0] == scores[1]


def test_without_a_task_or_a_share_to_keep_no_model_is_saved(world, tmp_path, capsys):
    code, folder = merged(world, tmp_path, "--share", 0, 1)
    assert code == 0
    assert not (folder / "model").exists()
    assert "name a share with --keep" in capsys.readouterr().out.replace("\n", " ")
    assert "general_loss" in (folder / "frontier.csv").read_text()


def test_of_equal_scores_the_one_nearest_to_the_original_is_best():
    points = [Point(share, 1.0, None, score) for share, score in ((0.0, 0.4), (0.5, 0.6), (1.0, 0.6))]
    assert best_on_dev(points) == 0.5
    assert best_on_dev([replace(point, dev_score=None) for point in points]) is None


def test_counters_are_those_of_the_continued_model():
    model = torch.nn.BatchNorm1d(2)
    start, end = ({name: value.clone() for name, value in model.state_dict().items()} for _ in range(2))
    end["num_batches_tracked"] += 7
    end["running_var"] += 1
    merge_into(model, start, end, 0.5)
    assert model.num_batches_tracked == 7
    assert model.running_var.tolist() == [1.5, 1.5]


def test_models_that_do_not_match_are_refused_with_the_first_name():
    one, other = {"a": torch.zeros(2), "b": torch.zeros(3)}, {"a": torch.zeros(2), "b": torch.zeros(4)}
    with pytest.raises(InputError, match=r"b is \(3,\) in the original and \(4,\) in the continued one"):
        check_alike(one, other)
    with pytest.raises(InputError, match="the continued one has no b"):
        check_alike(one, {"a": torch.zeros(2)})
    with pytest.raises(InputError, match="the original one has no b"):
        check_alike({"a": torch.zeros(2)}, one)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--share", "1.5"], "the share 1.5 is outside [0, 1]; 0 is the original, 1 the continued model"),
        (["--share", "0", "0"], "a share is given twice; give each once"),
        (["--share", "0", "1", "--keep", "0.5"], "--keep 0.5 is none of the shares (0 1); add it to --share"),
        (["--method", "probe"], "--method is for --task, which is not given"),
    ],
)
def test_options_that_cannot_be_used_are_refused(world, tmp_path, capsys, options, said):
    code, folder = merged(world, tmp_path, *options)
    assert code == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not folder.exists()


def test_an_output_that_exists_is_refused(world, tmp_path, capsys):
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "frontier.json").write_text("{}")
    assert merged(world, tmp_path)[0] == 2
    assert "exists; choose another name or allow to overwrite it" in capsys.readouterr().err


def test_a_run_that_held_nothing_out_is_refused(world, tmp_path, capsys):
    config = config_for(world, "model")
    data, training = replace(config.data, eval_share=0.0), replace(config.training, steps=1)
    pretrain(replace(config, output=str(world / "run-all"), data=data, training=training), progress=False)
    assert merged(world, tmp_path, run="run-all")[0] == 2
    assert "held nothing out, so there is no loss to measure; run it with data.eval" in capsys.readouterr().err


def test_a_run_that_is_not_complete_or_lost_its_original_is_refused(world, tmp_path, capsys):
    assert merged(world, tmp_path, run="task")[0] == 2
    assert "is no complete run; give a folder of `diffmask pretrain`" in capsys.readouterr().err
    shutil.move(world / "model", world / "away")
    try:
        assert merged(world, tmp_path)[0] == 2
        assert "cannot be merged with its original" in capsys.readouterr().err
        changed = tiny_model()
        torch.nn.init.ones_(changed.bert.embeddings.word_embeddings.weight)
        changed.save_pretrained(world / "model")
        tiny_tokenizer().save_pretrained(world / "model")
        assert merged(world, tmp_path)[0] == 2
        assert "has other weights than when the run" in capsys.readouterr().err
    finally:
        shutil.rmtree(world / "model", ignore_errors=True)
        shutil.move(world / "away", world / "model")
