"""diffmask selective: what it writes, prints and refuses."""

import contextlib
import json
import re
from pathlib import Path

import pytest
from support.labelled import TOLD_BY, labelled_rows, write_task
from support.tiny import save_encoder, tiny_model, tiny_tokenizer

from diffmask.cli import build_parser
from diffmask.core.errors import InputError

QUICK = ["--epochs", "9", "--learning-rate", "1e-2", "--batch-size", "8", "--max-length", "32", "--common-words", "0"]


def call(*argv):
    args = build_parser().parse_args(["selective", *map(str, argv), "--device", "cpu"])
    return args.run(args)


def refusal(*argv):
    with pytest.raises(InputError) as caught:
        call(*argv)
    return str(caught.value)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    save_encoder(folder / "model")
    (folder / "task").mkdir()
    rows = labelled_rows(100)
    for name, part in (("train", rows[:60]), ("dev", rows[60:80]), ("test", rows[80:])):
        write_task(folder / "task" / f"{name}.jsonl", part)
    with (folder / "said.txt").open("w") as said, contextlib.redirect_stdout(said):
        call(folder / "task", "--model", folder / "model", "-o", folder / "out", *QUICK)
    return folder


def test_a_scorer_is_made_and_described(world):
    lines = (world / "said.txt").read_text().splitlines()
    assert lines[0] == "classifier: 60 texts of 2 labels, 20 held out"
    assert lines[1].startswith("classifier: 100.0 % of held-out texts right, 50.0 % in the largest class")
    assert f"left out: {world}/task/test.jsonl" in lines
    assert f"held out: {world}/task/dev.jsonl" in lines
    head = lines.index(next(line for line in lines if line.startswith("word")))
    assert {line.split()[0] for line in lines[head + 1 : head + 3]} == set(TOLD_BY)
    given = f"model={world}/model masking.scorer={world}/out"
    assert lines[-1] == f"  diffmask pretrain configs/selective.yaml {given} data.train=TEXT"
    record = json.loads((world / "out" / "scorer.json").read_text())
    assert [Path(file["path"]).name for file in record["data"]] == ["dev.jsonl", "train.jsonl"]
    assert record["settings"]["max_texts"] == 1000


def test_an_output_is_overwritten_only_when_asked(world, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "scorer.json").write_text("{}")
    (out / "old.txt").write_text("")
    arguments = [world / "task", "--model", world / "model", "-o", out, *QUICK, "--max-texts", 40]
    assert refusal(*arguments) == f"folder {out} exists; choose another name or allow to overwrite it (--overwrite)"
    call(*arguments, "--overwrite")
    assert json.loads((out / "scorer.json").read_text())["labels"] == ["body", "enzyme"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (out / "old.txt").exists()


def test_a_classifier_that_learned_nothing_is_refused(world, tmp_path):
    idle = [*QUICK, "--learning-rate", "1e-9", "--epochs", "1"]
    said = refusal(world / "task", "--model", world / "model", "-o", tmp_path / "out", *idle)
    assert re.fullmatch(
        r"the classifier gets \d+\.0 % of the held-out texts right, and naming the largest class 50\.0 %, "
        "so it needs no words; give more --epochs, --max-texts, or another --learning-rate",
        said,
    )
    assert not list(tmp_path.iterdir())


def test_a_delta_that_takes_every_word_is_refused(world, tmp_path):
    said = refusal(world / "task", "--model", world / "model", "-o", tmp_path / "out", *QUICK, "--delta", "1")
    assert said.startswith("delta=1 makes all of ")
    assert said.endswith(" words important; give a smaller --delta")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--max-texts", "3", "max_texts=3 must be at least 10"),
        ("--batch-size", "0", "batch_size=0 must be at least 1"),
        ("--seed", "-1", "seed=-1 must be at least 0"),
        ("--epochs", "0", "epochs=0 must be above 0"),
        ("--scorer-learning-rate", "-1", "scorer_learning_rate=-1 must be above 0"),
        ("--delta", "1.5", "delta=1.5 is outside (0, 1]; it is a difference of two probabilities"),
        ("--max-length", "100", "max_length=100 is outside [3, 64], what this model reads"),
        ("--max-length", "2", "max_length=2 is outside [3, 64], what this model reads"),
        ("--units", "line", "unknown units 'line'; choose from: word, token"),
    ],
)
def test_settings_that_cannot_be_are_refused(world, tmp_path, option, value, said):
    assert refusal(world / "task", "--model", world / "model", "-o", tmp_path / "out", *QUICK, option, value) == said


def test_bad_input_is_one_sentence(world, tmp_path):
    out, model = ("-o", tmp_path / "out"), ("--model", world / "model")
    assert refusal(tmp_path / "no", *model, *out, *QUICK) == f"{tmp_path}/no does not exist; check the path"
    (tmp_path / "bare.jsonl").write_text('{"text": "kinase"}\n')
    assert "has no column of labels; name it with --label" in refusal(tmp_path / "bare.jsonl", *model, *out, *QUICK)
    assert "no tokenizer in" in refusal(world / "task", "--model", tmp_path / "no", *out, *QUICK)
    tiny_model().save_pretrained(tmp_path / "pickled")
    tiny_tokenizer().save_pretrained(tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    assert "model.safetensors" in refusal(world / "task", "--model", tmp_path / "pickled", *out, *QUICK)
    words = [*QUICK, "--common-words", "9", "--language", "xx"]
    assert refusal(world / "task", *model, *out, *words).startswith("wordfreq has no language 'xx'; choose from: ")
    assert not (tmp_path / "out").exists()
