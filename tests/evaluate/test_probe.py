"""How a probe chooses its C: folds that leave groups whole, and what happens where there are none."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from support.labelled import TOLD_BY, labelled_rows
from support.tiny import tiny_model, tiny_tokenizer

from diffmask.evaluate.metrics import score
from diffmask.evaluate.probe import Prober, make_folds
from diffmask.evaluate.run import evaluate
from diffmask.evaluate.settings import EvaluateSettings, ProbeSettings, TaskSettings
from diffmask.evaluate.task import Task
from diffmask.text.special import pad_id


def write_task(folder, **splits):
    folder.mkdir()
    for name, rows in splits.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return TaskSettings((str(folder),))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def probed(model, task, output, **changes):
    settings = {"method": "probe", "seeds": 1, "max_length": 16, "device": "cpu", "output": str(output)} | changes
    (path,) = evaluate(EvaluateSettings(model, task, **settings))

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_a_rare_label_is_spread_over_the_folds():
    targets = np.array([0] * 60 + [1] * 3)
    for seed in range(10):
        folds = make_folds(targets, np.arange(63), 3, seed, "single-label")
        assert [int(targets[measured].sum()) for _, measured in folds] == [1, 1, 1]
        assert sorted(np.concatenate([measured for _, measured in folds]).tolist()) == list(range(63))


@pytest.mark.parametrize("kind", ["single-label", "tokens"])
def test_groups_stay_whole(kind):
    groups = np.arange(60) // 4
    for fit, measured in make_folds(np.arange(60) % 2, groups, 3, 0, kind):
        assert not set(groups[fit]) & set(groups[measured])


@pytest.mark.parametrize(
    ("targets", "groups", "kind"),
    [
        ([0, 1, 0, 1], [0, 0, 0, 0], "single-label"),
        ([0, 0, 0, 1], [0, 1, 2, 3], "single-label"),
        ([0, 1, 2, 3], [0, 1, 2, 3], "single-label"),
        ([0, 0, 0, 1], [0, 1, 2, 3], "tokens"),
        ([[0, 1], [1, 0]], [0, 0], "multi-label"),
    ],
)
def test_there_may_be_no_folds(targets, groups, kind):
    assert make_folds(np.array(targets), np.array(groups), 3, 0, kind) is None


def test_without_folds_the_middle_is_taken_and_said(model, tmp_path):
    # all texts have the same words
    rows = [{"text": text, "label": label} for text, label in (("kinase blood", "a"), ("blood kinase", "b"))]
    task = write_task(tmp_path / "task", train=rows * 4, dev=rows, test=rows)
    result = probed(model, task, tmp_path / "out", probe=ProbeSettings(regularisations=(10.0, 0.1, 1.0)))
    assert result["shares"][0]["chosen"] == {"C": 1.0, "cross_validated": None}


def test_a_label_of_one_text_leaves_no_nan(model, tmp_path):
    rows = labelled_rows(40)
    rare = [row for row in rows if row["label"] == "body"][:1]
    train = [row for row in rows if row["label"] != "body"] + rare
    result = probed(model, write_task(tmp_path / "task", train=train, dev=rows, test=rows), tmp_path / "out")
    # the one text is in the training part of two of three folds, and nothing is learned in the third
    assert result["shares"][0]["chosen"] == {"C": 0.1, "cross_validated": None}


@pytest.mark.parametrize("kind", ["tokens", "multi-label"])
def test_cross_validation_measures_as_the_splits_are_measured(kind):
    class Guess:
        def predict(self, features):
            return np.array([0, 0, 1, 1]) if kind == "tokens" else np.array([[1, 0], [0, 0], [0, 1], [1, 1]])

    names = ["O", "X"] if kind == "tokens" else ["a", "b"]
    task = Task("made", kind, names, {}, "", outside="O")
    prober = SimpleNamespace(task=task, settings=SimpleNamespace(metric="micro_f1"))
    given = np.array([0, 0, 0, 1]) if kind == "tokens" else np.array([[1, 0], [1, 0], [0, 1], [1, 1]])
    measured = Prober._scorer(prober)(Guess(), np.zeros((4, 1)), given)
    words = [[0, 0, 0, 1]], [[0, 0, 1, 1]]
    texts = [[0], [0], [1], [0, 1]], [[0], [], [1], [0, 1]]
    assert measured == score(kind, names, *(words if kind == "tokens" else texts))["micro_f1"]
    assert measured == pytest.approx(2 / 3 if kind == "tokens" else 8 / 9)  # for words, without O


def test_words_are_probed(model, tmp_path):
    rows = [
        {"tokens": row["text"].split(), "tags": [TOLD_BY.get(word, "O") for word in row["text"].split()]}
        for row in labelled_rows(20)
    ]
    result = probed(model, write_task(tmp_path / "task", train=rows, dev=rows, test=rows), tmp_path / "out")
    assert 0.0 < result["shares"][0]["chosen"]["cross_validated"] <= 1.0


def test_the_pad_token_is_0_where_a_tokenizer_has_none():
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = "the"
    assert pad_id(tokenizer) == 5
    tokenizer.pad_token = None
    assert pad_id(tokenizer) == 0


def test_a_tokenizer_without_a_pad_token_evaluates(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path / "model")
    rows = [row | {"text": row["text"] + " the" * (place % 3)} for place, row in enumerate(labelled_rows(20))]
    task = write_task(tmp_path / "task", train=rows, dev=rows, test=rows)
    assert probed(str(tmp_path / "model"), task, tmp_path / "out")["shares"][0]["predictions"]
