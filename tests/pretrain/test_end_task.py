"""End-task-aware pretraining: from a config to a masked language model and a classifier."""

import json
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from support.labelled import labelled_rows, write_task
from support.tiny import MODELS, tiny_model, tiny_tokenizer
from support.training import InterruptAt
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, pipeline

from diffmask.cli import main
from diffmask.config import (
    TaskConfig,
    TextConfig,
    TextDataConfig,
    TextMaskingConfig,
    TrainingConfig,
    describe_settings,
    from_mapping,
    to_mapping,
)
from diffmask.core.errors import InputError
from diffmask.pretrain import pretrain


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a model, its text, and a task."""
    folder = tmp_path_factory.mktemp("world")
    rows = labelled_rows()
    (folder / "text.txt").write_text("".join(row["text"] + " .\n" for row in rows))
    write_task(folder / "train.jsonl", rows)
    write_task(folder / "dev.jsonl", labelled_rows(20, seed=9))
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    return folder


def config_for(world, output, task=None, **changes):
    settings = {"train": (str(world / "train.jsonl"),), "eval": (str(world / "dev.jsonl"),)} | (task or {})
    config = TextConfig(
        model=str(world / "model"),
        output=str(output),
        data=TextDataConfig((str(world / "text.txt"),), max_length=32, num_processes=1, cache=str(world / "cache")),
        masking=TextMaskingConfig(policy="whole-word"),
        training=TrainingConfig(steps=6, batch_size=8, eval_every=3, save_every=2, log_every=1, device="cpu"),
        task=TaskConfig(**settings),
    )
    return replace(config, **changes)


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    return pretrain(config_for(world, tmp_path_factory.mktemp("runs") / "run"), progress=False)


def test_a_run_leaves_a_masked_model_and_a_classifier(world, done):
    before = tiny_model().state_dict()
    masked = AutoModelForMaskedLM.from_pretrained(done.model)
    assert masked.state_dict().keys() == before.keys()
    classifier = AutoModelForSequenceClassification.from_pretrained(done.beside["classifier"])
    assert classifier.config.id2label == {0: "body", 1: "enzyme"}
    assert classifier.config.problem_type == "single_label_classification"
    assert classifier.config.classifier_dropout == 0.3
    encoder = dict(masked.bert.named_parameters())
    for name, parameter in classifier.bert.named_parameters():
        assert name.startswith("pooler") or torch.equal(parameter, encoder[name]), name
    name = "bert.encoder.layer.0.output.dense.weight"
    assert not torch.equal(masked.state_dict()[name], before[name])
    (found,) = pipeline("text-classification", str(done.beside["classifier"]))("the kinase binds")
    assert found["label"] in ("body", "enzyme")
    assert not list(done.folder.glob("*.tmp"))


def test_the_logs_and_the_card_tell_of_both(done):
    lines = logged(done.folder)
    assert [line["step"] for line in lines if "eval_task_accuracy" in line] == [0, 3, 6]
    training = [line for line in lines if "loss" in line]
    assert len(training) == 6
    for line in training:
        assert line["loss"] == pytest.approx(line["masked_loss"] + line["task_loss"], rel=1e-4)
    assert done.metrics.keys() >= {"eval_loss", "eval_task_loss", "eval_task_accuracy"}
    card = (done.model / "README.md").read_text()
    assert "eval_task_accuracy" in card and "train.jsonl" in card and "weight: 1.0" in card


def test_an_interrupted_run_resumes_to_the_same_weights(world, done, tmp_path, monkeypatch):
    config, before = config_for(world, tmp_path / "cut"), signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        import diffmask.pretrain.run as module

        loggers = module.loggers
        patched.setattr(module, "loggers", lambda *given: [*loggers(*given), InterruptAt(3)])
        stopped = pretrain(config, progress=False)
    assert stopped.interrupted and not (stopped.folder / "classifier").exists()
    again = pretrain(config, resume=True, progress=False)
    for part in ("model", "classifier"):
        expected = load_file(done.folder / part / "model.safetensors")
        found = load_file(again.folder / part / "model.safetensors")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_is_not_resumed_with_another_task(world, tmp_path):
    task = tmp_path / "labels.jsonl"
    write_task(task)
    config = config_for(world, tmp_path / "run", {"train": (str(task),)})
    run = pretrain(config, progress=False)
    run.model.rename(tmp_path / "kept")
    # as if it had died between the two models
    again = pretrain(config, resume=True, progress=False)
    assert (again.beside["classifier"] / "model.safetensors").exists()
    again.model.rename(tmp_path / "kept again")
    with pytest.raises(InputError, match="was started with task.weight=1.0, not 2.0"):
        pretrain(replace(config, task=replace(config.task, weight=2.0)), resume=True, progress=False)
    write_task(task, labelled_rows(seed=3))
    with pytest.raises(InputError, match="cannot be resumed, because its task changed since it was started"):
        pretrain(config, resume=True, progress=False)


@pytest.mark.parametrize("family", MODELS)
def test_every_architecture_shares_its_encoder(world, tmp_path, family):
    tiny_model(family).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    config = config_for(world, tmp_path / "run", {"eval": ()}, model=str(tmp_path / "model"))
    run = pretrain(replace(config, training=replace(config.training, steps=2)), progress=False)
    masked, before = load_file(run.model / "model.safetensors"), load_file(tmp_path / "model" / "model.safetensors")
    assert masked.keys() == before.keys()
    classifier = AutoModelForSequenceClassification.from_pretrained(run.beside["classifier"])
    prefix = classifier.base_model_prefix + "."
    shared = {name for name in classifier.state_dict() if name.startswith(prefix) and name in masked}
    assert len(shared) > 10
    assert all(torch.equal(classifier.state_dict()[name], masked[name]) for name in shared)
    dropouts = {
        module.p
        for name, module in classifier.named_modules()
        if isinstance(module, torch.nn.Dropout) and not name.startswith(prefix)
    }
    assert 0.3 in dropouts


def test_several_labels_and_pairs_of_texts(world, tmp_path):
    rows = [
        {"premise": row["text"], "hypothesis": "we found", "labels": [row["label"], *["rat"] * ("rat" in row["text"])]}
        for row in labelled_rows()
    ]
    task = {"train": (write_task(tmp_path / "pairs.jsonl", rows),), "eval": ()}
    run = pretrain(config_for(world, tmp_path / "run", task), progress=False)
    classifier = AutoModelForSequenceClassification.from_pretrained(run.beside["classifier"])
    assert classifier.config.problem_type == "multi_label_classification"
    assert list(classifier.config.label2id) == ["body", "enzyme", "rat"]
    lines = logged(run.folder)
    assert all(0 < line["task_loss"] < 1 for line in lines if "loss" in line)
    assert not any("eval_task_loss" in line for line in lines)


def test_what_cannot_be_used_is_refused(world, tmp_path):
    def refusal(changes=None, **more):
        with pytest.raises(InputError) as error:
            pretrain(config_for(world, tmp_path / "run", changes, **more), progress=False)
        assert not (tmp_path / "run").exists()
        return str(error.value)

    assert "task.weight=0 must be above 0; leave task out" in refusal({"weight": 0.0})
    assert "task.dropout=1 is outside [0, 1); the paper's is 0.3" in refusal({"dropout": 1.0})
    assert "task.batch_size=0 must be at least 1; leave it out for training.batch_size" in refusal({"batch_size": 0})
    assert "unknown task.kind 'tokens'; choose from: single-label, multi-label" in refusal({"kind": "tokens"})
    nothing = TrainingConfig(steps=0, device="cpu")
    assert "a task cannot be learned in training.steps=0; leave task out, or give" in refusal(training=nothing)
    data = config_for(world, tmp_path).data
    assert "task.eval is measured when the held-out data are, and there are none; give data.eval" in refusal(
        data=replace(data, eval_share=0.0)
    )
    for name, role in (("test", "testing"), ("dev", "evaluation")):
        named = write_task(tmp_path / f"chem-{name}.jsonl")
        assert f"task.train names {named}, which by its name is for {role}; give the files of training" in refusal(
            {"train": (named,)}
        )
    named = write_task(tmp_path / "test.jsonl")
    assert f"task.eval names {named}, which by its name is for testing; give a dev file, or rename it" in refusal(
        {"eval": (named,)}
    )
    one = write_task(tmp_path / "one.jsonl", [{"text": "a cell", "label": "x"}])
    assert "the task has nothing to tell apart: task.train has 1 label(s), and needs two" in refusal(
        {"train": (one,), "eval": ()}
    )
    words = write_task(tmp_path / "words.jsonl", [{"tokens": ["a", "cell"], "labels": ["x", "y"]}])
    assert "labels words; a task beside masked words has labels of whole texts" in refusal({"train": (words,)})


def test_texts_that_are_trained_on_are_not_measured_on(world, tmp_path):
    import diffmask.pretrain.task as module
    from diffmask.text.model.load import load_masked_lm

    both = write_task(tmp_path / "both.jsonl", [*labelled_rows(10), *labelled_rows(5, seed=9)])
    config = config_for(world, tmp_path / "run", {"eval": (both,)})
    task = module.build_task(config, load_masked_lm(config.model))
    assert (len(task.rows), len(task.held_out)) == (60, 5)
    assert task.batch_size == 8


def test_overwrite_keeps_the_task_that_it_reads(world, tmp_path):
    run = pretrain(config_for(world, tmp_path / "run"), progress=False)
    inside = write_task(run.folder / "labels.jsonl")
    with pytest.raises(InputError, match="run holds labels.jsonl, which no run writes"):
        pretrain(config_for(world, tmp_path / "run", {"train": (inside,)}), overwrite=True, progress=False)


def test_the_command_speaks_of_it(world, tmp_path, capsys):
    import yaml

    config = config_for(world, tmp_path / "run")
    assert from_mapping(TextConfig, to_mapping(config)) == config
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(to_mapping(config)))
    assert main(["pretrain", str(path), "task.weight=0.5", "training.adam_betas=[0.9, 0.98]"]) == 0
    printed = capsys.readouterr().out
    assert "eval_task_accuracy" in printed
    assert f"classifier: {tmp_path / 'run' / 'classifier'}" in printed
    assert "task.weight" in describe_settings(TextConfig) and "training.adam_betas" in describe_settings(TextConfig)
