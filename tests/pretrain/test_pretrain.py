"""A run from files to a model, with a tiny BERT saved to disk: the real path, in seconds."""

import hashlib
import json
import math
import pathlib
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from support.processes import Process, run_with_small_files
from support.tiny import WORDS, tiny_model, tiny_tokenizer
from support.training import InterruptAt
from transformers import AutoModelForMaskedLM, AutoTokenizer

from diffmask.assemble.modality import resolve
from diffmask.cli import main
from diffmask.config import (
    HeadConfig,
    ScheduleConfig,
    TextConfig,
    TextDataConfig,
    TextMaskingConfig,
    TrainingConfig,
    from_mapping,
    to_mapping,
)
from diffmask.core.errors import InputError
from diffmask.pretrain import pretrain
from diffmask.text.anchors.find import AnchorSettings, build_anchors
from diffmask.train.record import Lineage


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a model, the same without its head, text, and anchors."""
    folder = tmp_path_factory.mktemp("world")
    generator = torch.Generator().manual_seed(0)
    lines = [
        " ".join(WORDS[i] for i in torch.randint(len(WORDS), (12,), generator=generator)) + " phosphorylation ."
        for _ in range(80)
    ]
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    tiny_model().save_pretrained(folder / "model")
    tiny_model().bert.save_pretrained(folder / "encoder")
    for name in ("model", "encoder"):
        tiny_tokenizer().save_pretrained(folder / name)
    settings = AnchorSettings(data=[str(folder / "text.txt")], model=str(folder / "model"), num_anchors=3)
    build_anchors(settings).save(folder / "anchors")
    return folder


def config_for(world, output, **changes):
    config = TextConfig(
        model=str(world / "model"),
        output=str(output),
        data=TextDataConfig((str(world / "text.txt"),), max_length=32, num_processes=1, cache=str(world / "cache")),
        masking=TextMaskingConfig(anchors=str(world / "anchors")),
        training=TrainingConfig(steps=6, batch_size=8, eval_every=2, save_every=2, log_every=1, device="cpu"),
    )
    return replace(config, **changes)


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_run_that_ended_while_it_made_its_folder_is_begun_again(world, tmp_path):
    (tmp_path / "run" / "model.tmp").mkdir(parents=True)
    (tmp_path / "run" / "model.tmp" / "model.safetensors").write_text("weig")
    (tmp_path / "run" / "config.yaml.tmp").write_text("mod")
    assert pretrain(config_for(world, tmp_path / "run"), resume=True, progress=False).model.is_dir()
    assert not list((tmp_path / "run").glob("*.tmp"))  # drafts of an earlier version
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no run to resume"):
        pretrain(config_for(world, tmp_path / "other"), resume=True, progress=False)


def test_a_run_leaves_a_model_that_loads_anywhere(world, tmp_path):
    outcome = pretrain(config_for(world, tmp_path / "run"), progress=False)
    model = AutoModelForMaskedLM.from_pretrained(outcome.model)
    tokenizer = AutoTokenizer.from_pretrained(outcome.model)
    assert tokenizer("kinase binds")["input_ids"] == tiny_tokenizer()("kinase binds")["input_ids"]
    before = load_file(world / "model" / "model.safetensors")
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items() if name in before)
    assert not list(outcome.model.glob("*.bin"))
    assert outcome.metrics["eval_loss_domain"] > 0
    assert not list((tmp_path / "run").glob(".model*"))


def test_the_card_and_the_logs_say_how_it_was_made(world, tmp_path):
    config = config_for(world, tmp_path / "run")
    outcome = pretrain(config, progress=False)
    card = (outcome.model / "README.md").read_text()
    for said in ("sha256", "policy: difference", "torch:", "eval_loss_domain", "phosphorylation"):
        assert said in card
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "transformers"
    lines = logged(tmp_path / "run")
    assert [line["step"] for line in lines if "eval_loss" in line] == [0, 2, 4, 6]
    assert {"loss", "mask_ratio", "strength", "entropy", "tokens_per_second", "domain_share"} <= lines[1].keys()
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert from_mapping(TextConfig, yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())) == config


def test_a_checkpoint_is_a_model_to_go_on_from_and_nothing_published_names_a_folder(world, tmp_path):
    outcome = pretrain(config_for(world, tmp_path / "run"), progress=False)
    checkpoint = tmp_path / "run" / "checkpoint-6"
    again = replace(config_for(world, tmp_path / "again"), model=str(checkpoint))
    assert pretrain(again, progress=False).metrics["eval_loss"] > 0
    card = (outcome.model / "README.md").read_text()
    assert "base_model" not in yaml.safe_load(card.split("---")[1])
    assert card.split("---")[2].startswith("\n\n# model, continued\n")
    for path in (*outcome.model.glob("*.json"), *outcome.model.glob("*.md"), *checkpoint.glob("*.json")):
        assert str(world.parent) not in path.read_text(), path
        assert str(tmp_path.parent) not in path.read_text(), path
    session = json.loads((tmp_path / "run" / "run.json").read_text())["sessions"][0]
    assert session["precision"] == "fp32"


@pytest.fixture(scope="module")
def first_evaluation(world, tmp_path_factory):
    """What the evaluation says of the model before the first step of a run under difference masking."""
    run = pretrain(config_for(world, tmp_path_factory.mktemp("runs") / "difference"), progress=False)
    return logged(run.folder)[0]


@pytest.mark.parametrize(
    "policy", ["whole-word", "random-token", "random-span", "salient-span", "attention", "loss-weighted", "mixture"]
)
def test_policies_are_compared_on_the_same_masks(world, first_evaluation, tmp_path, policy):
    settings = {
        "attention": {"teacher": str(world / "model"), "attention": "received"},
        "loss-weighted": {"classes": "shape", "base": "difference", "ratio": ScheduleConfig("mrd-linear")},
        "mixture": {"mixture": ("salient-span", "difference")},
    }
    masking = TextMaskingConfig(policy=policy, anchors=str(world / "anchors"), **settings.get(policy, {}))
    run = pretrain(config_for(world, tmp_path / "run", masking=masking), progress=False)
    lines = logged(run.folder)
    assert lines[0]["eval_loss"] == first_evaluation["eval_loss"]
    assert lines[0]["eval_masked_domain"] == first_evaluation["eval_masked_domain"]
    assert all(math.isfinite(line["loss"]) for line in lines if "loss" in line)
    assert ("class_loss/lower case" in lines[1]) == (policy == "loss-weighted")


def test_a_model_that_scores_rows_and_a_stream_exclude_each_other(world, tmp_path):
    masking = TextMaskingConfig(policy="attention", teacher=str(world / "model"))
    config = config_for(world, tmp_path / "run", masking=masking)
    config = replace(config, data=replace(config.data, streaming=True, eval=config.data.train))
    with pytest.raises(InputError, match="scores the rows with a model beforehand, which data.streaming=true leaves"):
        pretrain(config, progress=False)


def test_a_run_is_not_resumed_with_other_classes(world, tmp_path, monkeypatch):
    classes = tmp_path / "classes.tsv"
    classes.write_text("kinase\tnoun\nbinds\tverb\n")
    masking = TextMaskingConfig(policy="loss-weighted", classes=f"file:{classes}")
    config = config_for(world, tmp_path / "run", masking=masking)
    with monkeypatch.context() as patched:
        import diffmask.pretrain.run as module

        loggers = module.loggers
        patched.setattr(module, "loggers", lambda *given: [*loggers(*given), InterruptAt(3)])
        assert pretrain(config, progress=False).interrupted
    classes.write_text("kinase\tverb\nbinds\tnoun\n")
    with pytest.raises(InputError, match="cannot be resumed, because its values of units changed since it was started"):
        pretrain(config, resume=True, progress=False)


def test_an_interrupted_run_resumes_to_the_same_weights(world, tmp_path, monkeypatch):
    whole = pretrain(config_for(world, tmp_path / "whole"), progress=False)
    config = config_for(world, tmp_path / "cut")
    with monkeypatch.context() as patched:
        import diffmask.pretrain.run as module

        loggers = module.loggers
        patched.setattr(module, "loggers", lambda *given: [*loggers(*given), InterruptAt(3)])
        stopped = pretrain(config, progress=False)
    assert stopped.interrupted
    assert not stopped.model.exists()
    assert (tmp_path / "cut" / "checkpoint-4").is_dir()
    again = pretrain(config, resume=True, progress=False)
    expected = load_file(whole.model / "model.safetensors")
    for name, value in load_file(again.model / "model.safetensors").items():
        assert torch.equal(value, expected[name]), name
    steps = [line["step"] for line in logged(tmp_path / "cut") if "loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_sigterm_is_answered_as_ctrl_c(world, tmp_path, monkeypatch, capsys):
    import diffmask.pretrain.run as module

    loggers, before = module.loggers, signal.getsignal(signal.SIGTERM)
    stop = InterruptAt(3, signal.SIGTERM)
    monkeypatch.setattr(module, "loggers", lambda *given: [*loggers(*given), stop])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_mapping(config_for(world, tmp_path / "run"))))
    assert main(["pretrain", str(tmp_path / "config.yaml")]) == 143
    assert "stopped, with a checkpoint in" in capsys.readouterr().err
    assert (tmp_path / "run" / "checkpoint-4").is_dir() and not (tmp_path / "run" / "model").exists()
    monkeypatch.setattr(module, "last_checkpoint", lambda run: signal.raise_signal(signal.SIGTERM))
    assert main(["pretrain", str(tmp_path / "config.yaml"), "--resume"]) == 143  # before training begins
    assert capsys.readouterr().err.endswith("terminated\n")
    signal.signal(signal.SIGTERM, before)


def test_a_head_that_is_missing_is_trained_first_with_the_encoder_frozen(world, tmp_path):
    config = config_for(world, tmp_path / "run", model=str(world / "encoder"), head=HeadConfig(steps=3))
    config = replace(config, training=replace(config.training, learning_rate=0.0))
    outcome = pretrain(config, progress=False)
    after, before = load_file(outcome.model / "model.safetensors"), load_file(world / "encoder" / "model.safetensors")
    for name, value in before.items():
        if not name.startswith("pooler"):
            assert torch.equal(after["bert." + name], value), name
    head = load_file(tmp_path / "run" / "head.safetensors")
    assert head.keys() == {name for name in after if name.startswith("cls")} - {"cls.predictions.decoder.bias"}
    assert [line["step"] for line in logged(tmp_path / "run" / "head") if "loss" in line] == [1, 2, 3]


def test_a_head_that_another_run_trained_takes_the_place_of_training_one(world, tmp_path):
    config = config_for(world, tmp_path / "first", model=str(world / "encoder"), head=HeadConfig(steps=3))
    first = pretrain(config, progress=False)
    made = tmp_path / "head.safetensors"
    made.write_bytes((first.folder / "head.safetensors").read_bytes())
    given = replace(config, output=str(tmp_path / "second"), head=HeadConfig(weights=str(made)))
    second = pretrain(given, progress=False)
    assert not (second.folder / "head").exists()
    weights = [load_file(run.model / "model.safetensors") for run in (first, second)]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    assert hashlib.sha256(made.read_bytes()).hexdigest() in (second.model / "README.md").read_text()
    # what an interrupted run began with is what it goes on with
    shutil.rmtree(second.model)
    head = load_file(made)
    save_file({name: value + 1 for name, value in head.items()}, made)
    with pytest.raises(InputError, match="cannot be resumed, because its head changed since it was started"):
        pretrain(given, resume=True, progress=False)


def test_a_head_that_does_not_fit_is_refused(world, tmp_path):
    made = tmp_path / "head.safetensors"

    def refusal(model="encoder"):
        config = config_for(world, tmp_path / "run", model=str(world / model), head=HeadConfig(weights=str(made)))
        with pytest.raises(InputError) as error:
            pretrain(config, progress=False)
        assert not (tmp_path / "run").exists()
        return str(error.value)

    remedy = "; give the head.safetensors of a run that trained a head for the same model, or leave head.weights out"
    assert f"{made} is no file{remedy}" in refusal()
    assert f"{made} cannot take effect, because '{world / 'model'}' has a head of its own; leave it out" in refusal(
        "model"
    )
    made.write_bytes(b"no weights")
    assert "is not a safetensors file, or is damaged (" in refusal()
    names = [name for name, _ in tiny_model().named_parameters() if name.startswith("cls")]
    shapes = {name: value.shape for name, value in tiny_model().named_parameters()}
    save_file({name: torch.zeros(shapes[name]) for name in names[1:]}, made)
    assert f"lacks {names[0]}, unlike the head of" in refusal()
    save_file({name: torch.zeros(shapes[name]) for name in [*names, "bert.embeddings.LayerNorm.bias"]}, made)
    assert "has bert.embeddings.LayerNorm.bias, unlike the head of" in refusal()
    save_file({name: torch.zeros(2, *shapes[name]) for name in names}, made)
    assert f"has {names[0]} of shape (2, {shapes[names[0]][0]}), and '{world / 'encoder'}' of " in refusal()


def test_overwrite_keeps_the_head_that_it_reads(world, tmp_path):
    config = config_for(world, tmp_path / "run", model=str(world / "encoder"), head=HeadConfig(steps=1))
    run = pretrain(config, progress=False)
    again = replace(config, head=HeadConfig(weights=str(run.folder / "head.safetensors")))
    with pytest.raises(InputError, match="head.safetensors lies in .*run, which --overwrite would delete"):
        pretrain(again, overwrite=True, progress=False)


def test_a_model_with_its_head_has_no_such_stage(world, tmp_path):
    pretrain(config_for(world, tmp_path / "run"), progress=False)
    assert not (tmp_path / "run" / "head").exists()


def test_held_out_rows_are_never_trained_on(world, tmp_path):
    import diffmask.pretrain.text as module

    config = config_for(world, tmp_path / "run")
    settings = module.tokenise_settings(config, resolve(config))
    training, evaluation = module.read_rows(config, settings, tiny_tokenizer(), None)
    texts = {tuple(row["input_ids"]) for row in training}
    assert 0 < len(evaluation) < len(training)
    assert not texts & {tuple(row["input_ids"]) for row in evaluation}


def test_workers_that_have_no_room_are_refused_before_the_first_step(world, tmp_path, monkeypatch):
    config = config_for(world, tmp_path / "run")
    config = replace(config, training=replace(config.training, num_workers=2))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000))
    with pytest.raises(InputError, match=r"num_workers=2 needs .* and /dev/shm has .* docker run --shm-size=2g"):
        pretrain(config, progress=False)


def test_streaming_trains(world, tmp_path):
    config = config_for(world, tmp_path / "run")
    data = replace(config.data, streaming=True, eval=(str(world / "text.txt"),))
    outcome = pretrain(replace(config, data=data), progress=False)
    assert outcome.metrics["eval_loss"] > 0


def test_a_folder_is_never_overwritten_unasked(world, tmp_path):
    config = config_for(world, tmp_path / "run")
    pretrain(config, progress=False)
    weights = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="the output folder .*run exists; use --resume .*--overwrite"):
        pretrain(config, progress=False)
    with pytest.raises(InputError, match="is complete, with its model in"):
        pretrain(config, resume=True, progress=False)
    other = replace(config, training=replace(config.training, learning_rate=1.0))
    with pytest.raises(InputError, match="was started with training.learning_rate=5e-05, not 1.0"):
        pretrain(other, resume=True, progress=False)
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == weights
    pretrain(other, overwrite=True, progress=False)
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() != weights


def test_what_cannot_be_used_is_refused_before_anything_is_deleted(world, tmp_path):
    config = config_for(world, tmp_path / "run")
    pretrain(config, progress=False)
    broken = replace(config, data=replace(config.data, train=("nowhere.txt",)))
    with pytest.raises(InputError, match="nowhere.txt"):
        pretrain(broken, overwrite=True, progress=False)
    assert (tmp_path / "run" / "model").is_dir()


def test_anchors_of_another_model_are_refused(world, tmp_path):
    other = tmp_path / "other"
    tiny_model(hidden_size=48).save_pretrained(other)
    tiny_tokenizer().save_pretrained(other)
    with pytest.raises(InputError, match="the anchors were made for .*model', which has another architecture"):
        pretrain(config_for(world, tmp_path / "run", model=str(other)), progress=False)


def test_a_model_without_a_masked_head_is_refused(world, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path / "gpt"
    GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=1)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    with pytest.raises(InputError, match="is a gpt2 model, which has no masked language model's head; use BERT"):
        pretrain(config_for(world, tmp_path / "run", model=str(folder)), progress=False)


def test_weights_that_are_not_the_configs_are_refused(world, tmp_path):
    folder = tmp_path / "half"
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack bert.encoder.layer.1.* and \d+ more of the encoder"):
        pretrain(config_for(world, tmp_path / "run", model=str(folder)), progress=False)


def test_a_folder_that_is_no_model_is_refused(world, tmp_path):
    with pytest.raises(InputError, match="no tokenizer in '.*nothing'"):
        pretrain(config_for(world, tmp_path / "run", model=str(tmp_path / "nothing")), progress=False)


def test_streaming_needs_a_number_of_steps(world, tmp_path):
    config = config_for(world, tmp_path / "run")
    data = replace(config.data, streaming=True)
    training = replace(config.training, steps=None, epochs=1.0)
    with pytest.raises(InputError, match="data.streaming=true has no known end; give training.steps"):
        pretrain(replace(config, data=data, training=training), progress=False)


def test_a_full_disk_leaves_the_last_checkpoint(world, tmp_path, monkeypatch):
    import errno

    import diffmask.train.trainer as module

    save, calls = module.MaskedTrainer.save_model, []

    def fills(self, output_dir=None, _internal_call=False):
        calls.append(output_dir)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", output_dir)
        return save(self, output_dir, _internal_call)

    monkeypatch.setattr(module.MaskedTrainer, "save_model", fills)
    config = config_for(world, tmp_path / "run")
    kept = (
        f"the last good checkpoint is {tmp_path}/run/checkpoint-2; make room on the disk, then continue with --resume"
    )
    with pytest.raises(InputError, match=rf"checkpoint-4 could not be written \(No space left on device\): .*{kept}"):
        pretrain(config, progress=False)
    monkeypatch.undo()
    outcome = pretrain(config, resume=True, progress=False)
    assert outcome.model.is_dir()


def test_a_disk_that_is_full_for_tensorboard_leaves_the_last_checkpoint(world, tmp_path, monkeypatch, capfd):
    """The file of events is then one that refuses to grow, as on a full disk."""
    written, opened = [], pathlib.Path.open

    def fills(self, mode="r", *args, **kwargs):
        if "tfevents" in self.name and mode == "ab":
            written.append(self)
            return opened(pathlib.Path("/dev/full"), "wb") if len(written) > 4 else opened(self, mode)
        return opened(self, mode, *args, **kwargs)

    monkeypatch.setattr(pathlib.Path, "open", fills)
    with pytest.raises(
        InputError, match=r"tfevents\S+ could not be written \(No space .*checkpoint is \S*checkpoint-2;"
    ):
        pretrain(config_for(world, tmp_path / "run"), progress=False)
    assert "Traceback" not in capfd.readouterr().err
    monkeypatch.undo()
    assert pretrain(config_for(world, tmp_path / "run"), resume=True, progress=False).model.is_dir()


def test_nothing_held_out_is_nothing_evaluated(world, tmp_path):
    config = config_for(world, tmp_path / "run")
    outcome = pretrain(replace(config, data=replace(config.data, eval_share=0.0)), progress=False)
    assert outcome.metrics == {}
    assert outcome.model.is_dir()


@pytest.mark.parametrize(
    ("data", "number", "told"),
    [
        ({"eval_share": 0.3}, 22, "data.eval_share=0.3 holds out 22 rows"),
        (
            {"eval_share": 0.002},
            0,
            "data.eval_share=0.002 holds out none of the rows, so nothing is evaluated; raise it",
        ),
        ({"eval_share": 0.0}, 0, "data.eval_share=0 holds out none of the rows, so nothing is evaluated"),
        ({"eval": "one.txt"}, 1, "data.eval holds out 1 of the rows, whose loss says little of the others; hold out"),
        ({"streaming": True}, 0, "nothing is held out of a stream, so nothing is evaluated; give data.eval"),
    ],
)
def test_what_is_really_held_out_is_told_and_recorded(world, tmp_path, caplog, data, number, told):
    (tmp_path / "one.txt").write_text("water salt acid base .\n")
    if "eval" in data:
        data = {"eval": (str(tmp_path / data["eval"]),)}
    config = config_for(world, tmp_path / "run")
    training = replace(config.training, steps=1, save_every=0)
    with caplog.at_level("INFO", "diffmask"):
        pretrain(replace(config, data=replace(config.data, **data), training=training), progress=False)
    (said,) = [each for each in caplog.records if each.getMessage().startswith(told)]
    assert (said.levelname == "INFO") == (number > 1)
    held_out = json.loads((tmp_path / "run" / "run.json").read_text())["held_out"]
    assert held_out == {"number": number, "of": "rows", "told": said.getMessage()}


def test_overlapping_rows_are_not_held_out(world, tmp_path):
    config = config_for(world, tmp_path / "run")
    with pytest.raises(InputError, match="data.overlap=4 repeats text in neighbouring rows"):
        pretrain(replace(config, data=replace(config.data, overlap=4)), progress=False)


def test_overwrite_deletes_runs_only(world, tmp_path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "a.txt").write_text("kinase")
    with pytest.raises(InputError, match="papers is no run .*so it is not deleted"):
        pretrain(config_for(world, tmp_path / "papers"), overwrite=True, progress=False)
    assert (tmp_path / "papers" / "a.txt").exists()
    first = pretrain(config_for(world, tmp_path / "run"), progress=False)
    onwards = config_for(world, tmp_path / "run", model=str(first.model))
    with pytest.raises(InputError, match="model lies in .*run, which --overwrite would delete"):
        pretrain(onwards, overwrite=True, progress=False)
    with pytest.raises(InputError, match="--resume and --overwrite exclude each other"):
        pretrain(config_for(world, tmp_path / "run"), overwrite=True, resume=True, progress=False)
    assert first.model.is_dir()


def test_a_run_that_died_after_its_last_step_trains_no_more(world, tmp_path):
    config = config_for(world, tmp_path / "run")
    config = replace(config, training=replace(config.training, lr_schedule="constant"))
    first = pretrain(config, progress=False)
    weights = load_file(first.model / "model.safetensors")
    for path in first.model.iterdir():
        path.unlink()
    first.model.rmdir()
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write('{"step": 7, "lo')  # and its log was cut off
    again = pretrain(config, resume=True, progress=False)
    assert again.metrics == first.metrics
    for name, value in load_file(again.model / "model.safetensors").items():
        assert torch.equal(value, weights[name]), name
    assert not (tmp_path / "run" / "checkpoint-7").exists()
    assert max(line["step"] for line in logged(tmp_path / "run")) == 6


def test_a_run_is_not_resumed_on_other_data(world, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text((world / "text.txt").read_text())
    config = config_for(world, tmp_path / "run")
    config = replace(config, data=replace(config.data, train=(str(text),)))
    outcome = pretrain(config, progress=False)
    (outcome.model / "model.safetensors").rename(tmp_path / "kept")
    for path in outcome.model.iterdir():
        path.unlink()
    outcome.model.rmdir()
    text.write_text(text.read_text() + "one more line\n")
    with pytest.raises(InputError, match="cannot be resumed, because its data changed since it was started"):
        pretrain(config, resume=True, progress=False)


def test_a_disk_that_fills_up_for_real_is_one_sentence(world, tmp_path):
    settings = to_mapping(config_for(world, tmp_path / "run"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    done = Process(run_with_small_files, 60_000, ["pretrain", str(tmp_path / "config.yaml")]).wait()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "could not be written" in done.stderr.strip().splitlines()[-1]
    assert "continue with --resume" in done.stderr.strip().splitlines()[-1]


def test_overrides_may_stand_behind_options(world, tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(to_mapping(config_for(world, tmp_path / "a"))))
    assert main(["pretrain", str(path), "training.steps=2", "--overwrite", f"output={tmp_path / 'b'}"]) == 0
    assert (tmp_path / "b" / "model").is_dir() and not (tmp_path / "a").exists()
    for more in (["--resume", "--colour"], ["--resume", "word", "--colour"], ["--overwrit"]):
        with pytest.raises(SystemExit) as stopped:
            main(["pretrain", str(path), *more])
        assert stopped.value.code == 2
        assert "unrecognized arguments: " in capsys.readouterr().err
    assert main(["policies", "word"]) == 2
    assert "unknown modality 'word'; choose from: text, video" in capsys.readouterr().err


def test_snapshots_are_the_model_after_so_many_steps(world, tmp_path):
    changes = {"lr_schedule": "constant", "snapshots": (2, 3)}
    long = config_for(world, tmp_path / "long")
    pretrain(replace(long, training=replace(long.training, steps=4, **changes)), progress=False)
    short = config_for(world, tmp_path / "short")
    pretrain(replace(short, training=replace(short.training, steps=2, lr_schedule="constant")), progress=False)
    kept = load_file(tmp_path / "long/snapshots/step-2/model.safetensors")
    ended = load_file(tmp_path / "short/model/model.safetensors")
    assert kept.keys() == ended.keys() and all(torch.equal(kept[name], ended[name]) for name in kept)
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "long/snapshots/step-3")
    late = replace(long, output=str(tmp_path / "late"), training=replace(long.training, steps=2, snapshots=(3,)))
    with pytest.raises(InputError, match=r"training.snapshots=\[3\] asks for a model after the last of"):
        pretrain(late, progress=False)


def test_a_model_says_what_it_was_continued_from(world, tmp_path):
    first = config_for(world, tmp_path / "first")
    pretrain(replace(first, training=replace(first.training, steps=3, snapshots=(2,))), progress=False)
    again = config_for(world, tmp_path / "again")
    again = replace(again, model=str(tmp_path / "first/model"), training=replace(again.training, steps=2))
    pretrain(again, progress=False)
    weights = (world / "model", tmp_path / "first/model")
    names = tuple(hashlib.sha256((w / "model.safetensors").read_bytes()).digest() for w in weights)
    names = tuple(hashlib.sha256(each).hexdigest() for each in names)
    assert Lineage.read(world / "model") == Lineage()
    assert Lineage.read(tmp_path / "first/snapshots/step-2") == Lineage(names[:1], 2)
    assert Lineage.read(tmp_path / "again/model") == Lineage(names, 5)
