"""A tiny model on tiny tasks of every kind, through the real Trainer and scikit-learn, to files and back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from support.compared import NOTHING, SCORES, write_result
from support.labelled import TOLD_BY, labelled_rows
from support.tiny import tiny_model, tiny_tokenizer
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    DebertaV2Config,
    Trainer,
    TrainingArguments,
)

from diffmask.cli import main
from diffmask.config.evaluation import EvaluateSettings, FinetuneSettings, ProbeSettings, TaskSettings
from diffmask.core.errors import InputError
from diffmask.evaluate.methods.text import check_length
from diffmask.evaluate.results import read_results
from diffmask.evaluate.run import choose_share, evaluate
from diffmask.evaluate.seed_file import SeedFile, is_done, remove_others
from diffmask.tasks.task import read_task
from diffmask.text.model.load import load_weights

SIZES = {"train": 60, "dev": 20, "test": 24}
KINDS = ("single-label", "multi-label", "tokens", "pairs")


def as_kind(row, kind):
    words = row["text"].split()
    if kind == "multi-label":
        return {"text": row["text"], "labels": [row["label"], "the"] if "the" in words else [row["label"]]}
    if kind == "tokens":
        return {"tokens": words, "tags": [TOLD_BY.get(word, "O") for word in words]}
    if kind == "pairs":
        return {"sentence1": " ".join(words[:3]), "sentence2": " ".join(words[3:]), "label": row["label"]}
    return row


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    for kind in KINDS:
        (folder / kind).mkdir()
        for seed, (split, number) in enumerate(SIZES.items()):
            rows = [as_kind(row, kind) for row in labelled_rows(number, seed)]
            (folder / kind / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings_for(world, output, kind="single-label", **changes):
    tuning = FinetuneSettings(learning_rates=(3e-3,), epochs=20, patience=20, batch_size=8)
    given = {"method": "finetune", "seeds": 1, "max_length": 16, "device": "cpu"} | changes
    if given["method"] == "finetune":
        given = {"finetune": tuning} | given
    return EvaluateSettings(str(world / "model"), TaskSettings((str(world / kind),)), output=str(output), **given)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        (
            "probe",
            {"finetune": FinetuneSettings(epochs=3)},
            "finetune.epochs=3 has no effect with the method probe; it",
        ),
        ("finetune", {"probe": ProbeSettings(folds=5)}, "probe.folds=5 has no effect with the method finetune; it is"),
    ],
)
def test_settings_of_another_method_are_refused(world, tmp_path, method, changes, message):
    with pytest.raises(InputError) as caught:
        evaluate(settings_for(world, tmp_path / "out", method=method, **changes))
    assert message in str(caught.value) and str(caught.value).endswith("leave it out or choose that method")


def read(path):
    return json.loads(path.read_text())


def without_time(result):
    shares = [{name: value for name, value in share.items() if name != "seconds"} for share in result["shares"]]
    return {name: value for name, value in result.items() if name != "seconds"} | {"shares": shares}


@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuning_learns_every_kind_of_task(world, tmp_path, kind):
    (path,) = evaluate(settings_for(world, tmp_path / "out", kind))
    result = read(path)
    share = result["shares"][0]
    assert share["test"]["all"]["micro_f1"] > 0.9
    assert len(share["predictions"]) == 24
    assert share["chosen"]["learning_rate"] == 3e-3 and 1 <= share["chosen"]["epoch"] <= 20
    (gathered,) = read_results([tmp_path / "out"])
    assert gathered.first.predictions[1.0] == share["predictions"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_reads_every_kind_of_task(world, tmp_path, kind):
    (path,) = evaluate(settings_for(world, tmp_path / "out", kind, method="probe"))
    result = read(path)
    assert result["method"] == "probe" and "finetune" not in result["settings"]
    assert result["shares"][0]["chosen"]["C"] in result["settings"]["probe"]["regularisations"]
    # a random encoder of bags of words tells one word well above chance
    assert result["shares"][0]["test"]["all"]["accuracy"] > (0.4 if kind == "multi-label" else 0.6)


def test_the_dev_split_chooses_the_learning_rate(world, tmp_path):
    tuning = FinetuneSettings(learning_rates=(1e-9, 3e-3), epochs=6, patience=6, batch_size=8)
    (path,) = evaluate(settings_for(world, tmp_path / "out", finetune=tuning))
    assert read(path)["shares"][0]["chosen"]["learning_rate"] == 3e-3


def test_training_stops_when_dev_no_longer_gains(world, tmp_path):
    tuning = FinetuneSettings(learning_rates=(1e-12,), epochs=8, patience=2, batch_size=8)
    (path,) = evaluate(settings_for(world, tmp_path / "out", finetune=tuning))
    chosen = read(path)["shares"][0]["chosen"]
    assert (chosen["epoch"], chosen["epochs"]) == (1, 3)


def test_a_seed_gives_the_same_twice_and_another_seed_another_head(world, tmp_path):
    first = evaluate(settings_for(world, tmp_path / "a", seeds=2, finetune=FinetuneSettings(epochs=1)))
    second = evaluate(settings_for(world, tmp_path / "b", first_seed=1, finetune=FinetuneSettings(epochs=1)))
    assert without_time(read(first[1])) == without_time(read(second[0]))
    assert read(first[0])["shares"][0]["dev"] != read(first[1])["shares"][0]["dev"] or (
        read(first[0])["shares"][0]["predictions"] != read(first[1])["shares"][0]["predictions"]
    )


def test_seeds_that_are_there_are_not_run_again(world, tmp_path):
    settings = settings_for(world, tmp_path / "out", method="probe", seeds=2)
    evaluate(settings)
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").iterdir())]
    (tmp_path / "out" / "seed-1.json").unlink()
    evaluate(settings)
    after = [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").iterdir())]
    assert before[0] == after[0] and before[1] != after[1] and len(after) == 2
    evaluate(settings, overwrite=True)
    assert (tmp_path / "out" / "seed-0.json").stat().st_mtime_ns != before[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": 12}, r"seed-0.json was made with settings.max_length=16, not 12; give another folder with -o"),
        ({"method": "finetune"}, r"seed-0.json was made with method=probe, not finetune"),
        ({"kind": "pairs"}, r"seed-0.json was made with task=single-label, not pairs"),
    ],
)
def test_results_of_another_evaluation_are_not_mixed_in(world, tmp_path, changes, message):
    evaluate(settings_for(world, tmp_path / "out", method="probe"))
    with pytest.raises(InputError, match=message):
        evaluate(settings_for(world, tmp_path / "out", **({"method": "probe"} | changes)))


def test_a_model_with_other_weights_is_another_evaluation(world, tmp_path):
    evaluate(settings_for(world, tmp_path / "out", method="probe"))
    tiny_model(seed=1).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    other = replace(settings_for(world, tmp_path / "out", method="probe"), model=str(tmp_path / "model"))
    with pytest.raises(InputError, match="was made with model_hash="):
        evaluate(other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "seed-0.json is damaged: it holds no object; delete it and evaluate that seed again"),
        ("{", r"seed-0.json is damaged: it is no JSON \(Expecting"),
        ({"settings": {"old": 1}}, "seed-0.json was made with settings.old=1, not None; give another folder"),
    ],
)
def test_a_file_that_is_no_such_result(tmp_path, content, message):
    path = write_result(tmp_path, seeds=(0,), parts={"settings": {}}) / "seed-0.json"
    record = read(path) | {"model_hash": None}
    path.write_text(content if isinstance(content, str) else json.dumps(record | content))
    with pytest.raises(InputError, match=message):
        is_done(path, record)


def test_overwriting_leaves_no_seeds_of_another_evaluation(world, tmp_path):
    out = tmp_path / "out"
    record = read(write_result(out, seeds=(0,)) / "seed-0.json") | {"model_hash": "a"}
    others = [{}, {"model_hash": "b"}, {"name": "m"}, {"task": record["task"] | {"hash": "c"}}]
    for seed, changes in enumerate(others):
        (out / f"seed-{seed}.json").write_text(json.dumps(record | changes))
    (out / "seed-9.json").write_text("[]")
    remove_others(out, record)
    assert [path.name for path in out.iterdir()] == ["seed-0.json"]
    evaluate(settings_for(world, out, method="probe", first_seed=3), overwrite=True)
    assert [path.name for path in out.iterdir()] == ["seed-3.json"]


def test_another_outside_is_another_evaluation(tmp_path):
    labels = ["O", "alpha", "beta"]
    task = {"kind": "tokens", "labels": labels, "outside": "O"}
    measures = {"per_class": dict.fromkeys(labels, NOTHING)}
    shares = [{"share": 1.0, "num_train": 1, "predictions": [[0]], "test": {"all": SCORES | measures}}]
    parts = {"targets": [[0]], "unseen": [True], "shares": shares}
    path = write_result(tmp_path, seeds=(0,), task=task, parts=parts) / "seed-0.json"
    record = read(path) | {"model_hash": None}
    before = {name: value for name, value in record["task"].items() if name != "outside"}
    path.write_text(json.dumps(record | {"task": before}))
    assert is_done(path, record)
    with pytest.raises(InputError, match="was made with task.outside=O, not X"):
        is_done(path, record | {"task": record["task"] | {"outside": "X"}})


def test_positions_of_roberta_begin_behind_the_pad_token():
    config = tiny_model("roberta").config
    check_length(config, config.max_position_embeddings - config.pad_token_id - 1)
    with pytest.raises(InputError, match="max_length=79 is more than the 78 tokens that the model reads; give less"):
        check_length(config, 79)
    check_length(DebertaV2Config(position_biased_input=False), 4096)


def test_the_classifier_of_another_task_is_left_out(world, tmp_path):
    torch.manual_seed(0)
    config = tiny_model().config
    config.num_labels = 5
    BertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    tuning = FinetuneSettings(epochs=1)
    settings = replace(settings_for(world, tmp_path / "out", finetune=tuning), model=str(tmp_path / "model"))
    (path,) = evaluate(settings)
    assert read(path)["shares"][0]["fresh"] == ["classifier.bias", "classifier.weight"]


def test_weights_of_another_size_are_refused(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 31}))
    for kind in (AutoModelForMaskedLM, AutoModelForSequenceClassification):
        with pytest.raises(InputError, match="have another size than its config says"):
            load_weights(kind, str(tmp_path), **({} if kind is AutoModelForMaskedLM else {"num_labels": 2}))


def test_drafts_lie_in_the_output_and_go_away(world, tmp_path, monkeypatch):
    out, seen = tmp_path / "out", []
    left = out / ".draft-seed-0" / "checkpoint-1"
    left.mkdir(parents=True)  # of a process that was killed

    def full(trainer):
        seen.append((Path(trainer.args.output_dir), left.exists()))
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(Trainer, "train", full)
    with pytest.raises(InputError, match="No space .*the results of finished seeds are .*then give the same command"):
        evaluate(settings_for(world, out))
    assert seen == [(out / ".draft-seed-0" / "0", False)]
    assert not list(out.iterdir())


def test_several_gpus_are_refused(world, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda arguments: 2))
    with pytest.raises(InputError, match="one process sees 2 GPUs, .* show it one with CUDA_VISIBLE_DEVICES=0"):
        evaluate(settings_for(world, tmp_path / "out"))


def test_a_learning_curve(world, tmp_path):
    (path,) = evaluate(settings_for(world, tmp_path / "out", method="probe", shares=(1.0, 0.3)))
    assert [(share["share"], share["num_train"]) for share in read(path)["shares"]] == [(0.3, 18), (1.0, 60)]


def test_a_smaller_share_is_part_of_a_larger_and_depends_on_the_seed(world):
    train = read_task(TaskSettings((str(world / "single-label"),))).train
    small, large = set(choose_share(train, 0.1, 0)), set(choose_share(train, 0.3, 0))
    assert small < large and len(large) == 18
    assert set(choose_share(train, 0.3, 1)) != large


def test_unseen_texts_are_scored_apart(world, tmp_path):
    task = tmp_path / "task"
    task.mkdir()
    rows = {split: labelled_rows(number, seed) for seed, (split, number) in enumerate(SIZES.items())}
    rows["test"] += rows["train"][:6]
    for split, part in rows.items():
        (task / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    settings = replace(
        settings_for(world, tmp_path / "out", method="probe"), task=TaskSettings((str(task),), name="leaky")
    )
    result = read(evaluate(settings)[0])
    assert result["unseen"][24:] == [False] * 6 and any(result["unseen"][:24])
    test = result["shares"][0]["test"]
    supports = [sum(each["support"] for each in test[part]["per_class"].values()) for part in ("all", "unseen")]
    assert supports == [30, sum(result["unseen"])]


def test_words_beyond_the_length_get_the_most_frequent_label(world, tmp_path):
    (path,) = evaluate(settings_for(world, tmp_path / "out", "tokens", max_length=8))
    result = read(path)
    outside = result["task"]["labels"].index("O")
    assert all(guess[6] == outside for guess in result["shares"][0]["predictions"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "guess"}, "unknown method 'guess'; choose from: finetune, probe"),
        ({"metric": "auc"}, "unknown metric 'auc'; choose from: micro_f1, macro_f1, accuracy"),
        ({"precision": "fp64"}, "unknown precision 'fp64'; choose from: fp32, bf16, fp16"),
        ({"shares": (0.0, 1.0)}, r"shares=\[0.0, 1.0\] must hold numbers in \(0, 1\]; give for example 0.1, 0.3 and 1"),
        ({"shares": (0.01,)}, "a share of 0.01 of the training texts has fewer than two labels; give a larger one"),
        ({"seeds": 0}, "seeds=0 must be at least 1"),
        ({"finetune": FinetuneSettings(epochs=0)}, "finetune.epochs=0 must be at least 1"),
        (
            {"finetune": FinetuneSettings(learning_rates=())},
            "finetune.learning_rates is empty; give one or more",
        ),
        ({"device": "cuda:9"}, "unknown device 'cuda:9'; choose from: auto, cpu, cuda"),
        ({"precision": "fp16"}, "precision fp16 needs a GPU, and the device is the CPU; give fp32 or bf16"),
        ({"max_length": 513}, "max_length=513 is more than the 512 tokens that the model reads; give less"),
        (
            {"finetune": FinetuneSettings(warmup_ratio=1.0)},
            r"finetune.warmup_ratio=1 is outside \[0, 1\); 0.06",
        ),
        ({"finetune": FinetuneSettings(weight_decay=-0.1)}, "finetune.weight_decay=-0.1 must be at least 0; 0.05 or"),
        ({"finetune": FinetuneSettings(max_grad_norm=0.0)}, "finetune.max_grad_norm=0 must be above 0"),
    ],
)
def test_what_is_refused(world, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        evaluate(settings_for(world, tmp_path / "out", **({"method": "probe"} | changes)))
    assert not (tmp_path / "out").exists()


def test_the_command(world, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["evaluate", str(world / "model"), "--task", str(world / "single-label"), "--method", "probe"]
    assert main([*given, "--seeds", "2", "--name", "tiny", "max_length=16"]) == 0
    printed = capsys.readouterr().out
    assert "mean and standard deviation over 2 seeds" in printed and "all 24" in printed
    assert "train: train.jsonl\ndev:   dev.jsonl\ntest:  test.jsonl\n" in printed
    assert "results: evaluations/tiny/single-label-probe" in printed
    assert {path.name for path in (tmp_path / "evaluations/tiny/single-label-probe").iterdir()} == {
        "seed-0.json",
        "seed-1.json",
    }


def test_the_command_says_what_is_outside(world, tmp_path, capsys):
    given = ["evaluate", str(world / "model"), "--task", str(world / "tokens"), "--method", "probe", "--seeds", "1"]
    assert main([*given, "--outside", "body", "-o", str(tmp_path / "out"), "max_length=16"]) == 0
    assert "label 'body' marks words that belong to nothing: left out of F1" in capsys.readouterr().out
    assert read(tmp_path / "out" / "seed-0.json")["task"]["outside"] == "body"


def test_a_result_is_json_or_nothing(tmp_path):
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        SeedFile.write(tmp_path / "seed-0.json", {"score": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate"], "no model or no task was given"),
        (["evaluate", "MODEL", "--task", "TASK", "probe.fold=3"], "unknown setting `probe.fold`"),
        (["evaluate", "MODEL", "--task", "TASK", "--shares", "a,b"], "--shares a,b is not a list of numbers"),
        (["evaluate", "nowhere", "--task", "TASK"], "no model in 'nowhere'"),
        (["evaluate", "MODEL", "--task", "missing"], "missing"),
    ],
)
def test_what_the_command_refuses(world, tmp_path, capsys, words, message):
    places = {"MODEL": str(world / "model"), "TASK": str(world / "single-label")}
    assert main([places.get(word, word) for word in words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and not printed.out
