"""Questions about clips: what a model is shown of them, what it never sees, other tasks, and what is refused."""

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.asked import NAMED, ask, write_questions, write_world
from support.tiny import save_encoder

from diffmask.cli import main
from diffmask.config.evaluation import (
    INPUTS,
    EvaluateSettings,
    ProbeSettings,
    TaskSettings,
    VideoTextFinetuneSettings,
    VideoTextSettings,
)
from diffmask.core.errors import InputError
from diffmask.evaluate.methods.answers import AnswerScorer, compose, compose_all
from diffmask.evaluate.methods.pair_encoder import PairEncoder
from diffmask.evaluate.run import evaluate
from diffmask.tasks.question_task import ANOTHER, Asked, read_question_task
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import write_index
from diffmask.video.read import dataset

DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SOCIAL_IQ = DATA / "video" / "annotations" / "social_iq2"
TUNING = VideoTextFinetuneSettings(learning_rates=(3e-3,), epochs=6, patience=6, batch_size=8)


class World:
    """A folder with clips, a model, questions and captions."""

    def __init__(self, folder):
        self.folder, self.clips = folder, write_world(folder)

    def write(self, name, questions):
        return write_questions(self.folder / "clips" / name, questions)

    def settings(self, output, method="probe", task="questions.jsonl", **changes):
        shown = replace(changes.pop("video_text", VideoTextSettings()), clips=(str(self.folder / "clips.parquet"),))
        given = {"method": method, "seeds": 1, "device": "cpu", "eval_batch_size": 16, "max_length": 32} | changes
        files = TaskSettings((str(self.folder / "clips" / task),))
        return EvaluateSettings(str(self.folder / "model"), files, output=str(output), video_text=shown, **given)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return World(tmp_path_factory.mktemp("questions"))


def read(path):
    return json.loads(path.read_text())


def accuracy(paths):
    return read(paths[0])["shares"][0]["test"]["all"]["accuracy"]


def fit(features, targets, regularisation):
    return AnswerScorer.fit(torch.from_numpy(features), torch.from_numpy(targets), regularisation, 500)


def test_a_scorer_against_a_slow_reference():
    random = np.random.default_rng(0)
    features, targets = random.normal(size=(30, 3, 4)), random.integers(0, 3, 30)
    scorer = fit(features, targets, 0.3)
    mean, scale = features.reshape(-1, 4).mean(0), features.reshape(-1, 4).std(0)

    def loss(weights):
        total = 0.5 * weights @ weights
        for question, right in zip(features, targets, strict=True):
            scores = [float(weights @ ((answer - mean) / scale)) for answer in question]
            total += 0.3 * (np.log(sum(np.exp(score) for score in scores)) - scores[right])
        return total

    weights = scorer.weights.numpy()
    assert all(loss(weights + 0.02 * step) > loss(weights) for step in random.normal(size=(50, 4)))
    chosen = [int(np.argmax([weights @ (answer / scale) for answer in question])) for question in features]
    assert scorer.choose(torch.from_numpy(features)) == chosen


def test_answers_are_scored_alike_in_any_order():
    random = np.random.default_rng(1)
    features, targets = random.normal(size=(40, 5, 6)), random.integers(0, 5, 40)
    orders = np.array([random.permutation(5) for _ in range(40)])
    moved = np.take_along_axis(features, orders[..., None], 1)
    places = (orders == targets[:, None]).argmax(1)
    one, other = fit(features, targets, 1.0), fit(moved, places, 1.0)
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-4)
    chosen = other.choose(torch.from_numpy(moved))
    assert [int(order[place]) for order, place in zip(orders, chosen, strict=True)] == one.choose(
        torch.from_numpy(features)
    )


def test_predictions_follow_the_answers_wherever_they_stand(made, tmp_path):
    questions = ask(made.clips)
    random = np.random.default_rng(2)
    moved, orders = [], []
    for question in questions:
        order = random.permutation(4)
        answers = [question["answers"][place] for place in order]
        orders.append(order)
        moved.append(question | {"answers": answers, "answer": int(np.flatnonzero(order == question["answer"])[0])})
    made.write("moved.jsonl", moved)
    probe = ProbeSettings(regularisations=(1.0,))  # which C is chosen depends on folds, which spread the places evenly
    for method, options in (("probe", {"probe": probe}), ("matching", {})):
        first, second = (
            read(evaluate(made.settings(tmp_path / method / task, method, f"{task}.jsonl", **options))[0])
            for task in ("questions", "moved")
        )
        tested = [order for order, question in zip(orders, questions, strict=True) if question["split"] == "test"]
        pairs = zip(first["shares"][0]["predictions"], second["shares"][0]["predictions"], tested, strict=True)
        assert all(one == order[other] for one, other, order in pairs)


def test_what_a_model_is_shown():
    asked = Asked("who eats?", ("a cat", "a dog"), "", None, "he says hello")
    texts = {inputs: compose_all([asked], inputs)[0] for inputs in INPUTS}
    assert texts == {
        "full": ["who eats? a cat he says hello", "who eats? a dog he says hello"],
        "text": ["who eats? a cat he says hello", "who eats? a dog he says hello"],
        "question-answers": ["who eats? a cat", "who eats? a dog"],
        "answers": ["a cat", "a dog"],
        "video": ["a cat", "a dog"],
    }
    text, (first, last) = compose(asked, "a dog", "full")
    assert text[first:last] == "a dog"


def test_nothing_that_gives_the_answer_away_is_shown(made, tmp_path):
    questions = [
        question | {"idx_types": place % 4, "ans_corr": "corr", "qid": str(place), "answer_idx": question["answer"]}
        for place, question in enumerate(ask(made.clips))
    ]
    for question in questions:
        del question["answer"]
    made.write("marked.jsonl", questions)
    task = read_question_task(made.settings(tmp_path, task="marked.jsonl"), trains=True)
    plain = read_question_task(made.settings(tmp_path), trains=True)
    assert task.asked == plain.asked and task.test.labels == plain.test.labels
    assert set(Asked._fields) == {"question", "answers", "content", "span", "said"}


@pytest.mark.skipif(not SOCIAL_IQ.is_dir(), reason="the real annotations are not here")
def test_the_real_social_iq_shows_nothing_that_gives_the_answer_away(tmp_path):
    files = sorted(SOCIAL_IQ.glob("qa_*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    clips = [Clip(f"/{name}.mp4", "ok", reader="pyav", num_frames=10) for name in {row["vid_name"] for row in rows}]
    write_index(tmp_path / "clips.parquet", clips)
    given = TaskSettings((*map(str, files), str(SOCIAL_IQ / "original_split.json")))
    shown = VideoTextSettings(clips=(str(tmp_path / "clips.parquet"),))
    task = read_question_task(EvaluateSettings("x", given, video_text=shown), trains=True)
    assert (len(task.train) + len(task.dev), len(task.test), task.num_answers) == (1000, 943, 4)
    by_text = {(row["q"], *(row[f"a{number}"] for number in range(4))): row["answer_idx"] for row in rows}
    by_text = {tuple(" ".join(text.split()) for text in texts): answer for texts, answer in by_text.items()}
    for split, asked in task.asked.items():
        for each, label in zip(asked, task.splits[split].labels, strict=True):
            assert by_text[each.question, *each.answers] == label
            # the question, its four answers as they stand, and nothing else
            assert compose_all([each], "full")[0] == [f"{each.question} {answer}" for answer in each.answers]


def test_a_clip_is_opened_once_for_all_questions_about_it(made, tmp_path, monkeypatch):
    made.write("twice.jsonl", [question | {"question": text} for question in ask(made.clips) for text in ("the", "a")])
    opened = Counter()
    real = dataset.open_reader

    def counted(clip, reader):
        opened[clip.path] += 1
        return real(clip, reader)

    monkeypatch.setattr(dataset, "open_reader", counted)
    result = read(evaluate(made.settings(tmp_path / "full", task="twice.jsonl"))[0])
    assert result["task"]["num_test"] == 24 and set(opened) == {clip.path for clip in made.clips}
    assert set(opened.values()) == {1}
    evaluate(made.settings(tmp_path / "text", video_text=VideoTextSettings(inputs="text")))
    assert set(opened.values()) == {1}


def test_the_seconds_and_the_subtitles_of_a_question(made, tmp_path):
    clips = [clip for clip in made.clips if clip.split != "dev"]
    made.write("timed.jsonl", [question | {"ts": "0.1-0.4"} for question in ask(clips)])
    for clip in clips:
        cues = "1\n00:00:00,000 --> 00:00:00,200\nthe rat\n\n2\n00:00:00,500 --> 00:00:00,700\nthe dose\n"
        (tmp_path / f"{clip.name}.srt").write_text(cues)
    found = {}
    for localised in (False, True):
        shown = VideoTextSettings(localised=localised, subtitles=(str(tmp_path),))
        task = read_question_task(made.settings(tmp_path, task="timed.jsonl", video_text=shown), trains=True)
        found[localised] = {(asked.span, asked.said) for asked in task.asked["test"]}, task.notes
    assert found[False][0] == {(None, "the rat the dose")} and found[True][0] == {((0.1, 0.4), "the rat")}
    assert any(note.startswith("without localisation") for note in found[False][1])
    assert any(note.startswith("with localisation") for note in found[True][1])


def test_texts_that_are_cut_off_are_counted(made, tmp_path):
    result = read(evaluate(made.settings(tmp_path, max_length=8))[0])
    assert result["shares"][0]["chosen"]["texts_cut_off"] == 4 * len(made.clips)


def test_the_answer_is_kept_of_a_text_that_is_too_long(made, tmp_path):
    encoder = PairEncoder.load(str(made.folder / "model"), made.settings(tmp_path, max_length=8))
    asked = Asked("we found the dose in the blood of a rat ?", ("the kinase", "a cell"), "", None)
    texts = encoder.tokenise(*compose_all([asked], "full"))
    words = [encoder.loaded.tokenizer.decode(row, skip_special_tokens=True) for row in texts.rows]
    assert [text.endswith(answer) for text, answer in zip(words, asked.answers, strict=True)] == [True, True]
    assert [sum(part) for part in texts.parts] == [2, 2] and texts.num_cut == 2
    assert {len(row) for row in texts.rows} == {8}


def test_fine_tuning(made, tmp_path):
    shown = VideoTextSettings(finetune=TUNING)
    result = read(evaluate(made.settings(tmp_path / "full", "finetune", video_text=shown))[0])
    assert result["shares"][0]["test"]["all"]["accuracy"] >= 0.5
    assert {"answer_head.bias", "answer_head.weight"} <= set(result["shares"][0]["fresh"])
    assert set(result["shares"][0]["chosen"]) == {"learning_rate", "dev", "epoch", "epochs", "texts_cut_off"}
    again = read(evaluate(made.settings(tmp_path / "again", "finetune", video_text=shown))[0])
    assert again["shares"][0]["predictions"] == result["shares"][0]["predictions"]
    assert [entry.name for entry in (tmp_path / "full").iterdir()] == ["seed-0.json"]


def test_open_questions(made, tmp_path):
    questions = [
        {
            "id": place,
            "video_id": clip.name,
            "question": "what was found",
            "answer": NAMED[clip.label],
            "split": clip.split,
        }
        for place, clip in enumerate(made.clips)
    ]
    questions[-1]["answer"] = "A thing"
    made.write("open.jsonl", questions)
    result = read(evaluate(made.settings(tmp_path / "probe", task="open.jsonl"))[0])
    assert result["task"]["labels"] == ["kinase", "protein", ANOTHER] and result["task"]["num_answers"] == 0
    # the answer that nobody can give is wrong
    assert result["targets"][-1] == 2 and 2 not in result["shares"][0]["predictions"]
    assert result["shares"][0]["test"]["all"]["accuracy"] == pytest.approx(11 / 12)
    assert any("whose answer is not among those (counted as wrong)" in note for note in result["task"]["notes"])
    shown = VideoTextSettings(finetune=replace(TUNING, epochs=2))
    tuned = read(evaluate(made.settings(tmp_path / "tuned", "finetune", "open.jsonl", video_text=shown))[0])
    assert 2 not in tuned["shares"][0]["predictions"]
    for method, options, message in (
        ("matching", {}, "open questions have no answers to choose from, .* choose from: finetune, probe"),
        ("probe", {"video_text": VideoTextSettings(inputs="answers")}, "open questions have no answers to show alone"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(made.settings(tmp_path / "none", method, "open.jsonl", **options))


def test_labelled_clips_are_seen_by_the_video_part_alone(made, tmp_path):
    settings = EvaluateSettings(
        str(made.folder / "model"), TaskSettings((str(made.folder / "clips.parquet"),)), "probe", seeds=1, device="cpu",
        output=str(tmp_path / "out"),
    )  # fmt: skip
    result = read(evaluate(settings)[0])
    assert result["task"]["examples"] == "clips" and result["shares"][0]["test"]["all"]["accuracy"] == 1.0
    assert "video_text" not in result["settings"]


def test_a_run_is_evaluated_by_its_model_and_in_its_folder(made, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    shutil.copytree(made.folder / "model", run / "model")
    (run / "config.yaml").write_text("modality: video-text\n")
    monkeypatch.chdir(tmp_path)
    task = str(made.folder / "clips" / "questions.jsonl")
    words = ["evaluate", str(run), "--task", task, "--method", "probe", "--seeds", "1", "--inputs", "full,answers"]
    assert main([*words, "max_length=32", f"video_text.clips=[{made.folder / 'clips.parquet'}]"]) == 0
    told = capsys.readouterr().out
    assert "train: 24 questions" in told and "without localisation" in told and "together: diffmask compare" in told
    names = {path.parent.name for path in run.rglob("seed-0.json")}
    assert names == {"questions-probe", "questions-probe-answers"}


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        (
            "knn",
            {},
            "a model of video and text, is not evaluated by the method knn; choose from: finetune, probe",
        ),
        (
            "matching",
            {"shares": (0.5,)},
            "shares has no effect with the method matching, which trains nothing",
        ),
        ("matching", {"metric": "accuracy"}, "metric has no effect with the method matching, which trains nothing"),
        (
            "matching",
            {"video_text": VideoTextSettings(inputs="text")},
            "video_text.inputs=text shows no clip, with which the method matching compares; choose from: full, video",
        ),
        (
            "retrieval",
            {"video_text": VideoTextSettings(localised=True)},
            "video_text.localised=True has no effect with diffmask-video-text, a model of video and text; leave it out",
        ),
        (
            "probe",
            {"video_text": VideoTextSettings(finetune=TUNING)},
            "video_text.finetune.learning_rates=.* has no effect with the method probe; it is for the method finetune",
        ),
        (
            "probe",
            {"video_text": VideoTextSettings(stride=2)},
            "video_text.stride=2 has no effect with video_text.sampling=uniform; it is for dense sampling",
        ),
        ("probe", {"max_length": 4096}, "max_length=4096 is more than the 512 tokens that the model reads"),
        (
            "probe",
            {"video_text": VideoTextSettings(inputs="sound")},
            "unknown video_text.inputs 'sound'; choose",
        ),
    ],
)
def test_what_is_refused(made, tmp_path, method, changes, message):
    with pytest.raises(InputError, match=message):
        evaluate(made.settings(tmp_path / "out", method, **changes))
    assert not (tmp_path / "out").exists()


def test_questions_without_clips_and_answers(made, tmp_path):
    questions = ask(made.clips)
    questions[0]["clip"] = "gone.mp4"
    questions[1]["answer"] = 9
    del questions[2]["split"]
    made.write("faulty.jsonl", questions)
    task = read_question_task(made.settings(tmp_path, task="faulty.jsonl"), trains=True)
    assert [len(task.splits[name]) for name in ("train", "dev", "test")] == [21, 8, 12]
    notes = "; ".join(task.notes)
    for said in ("without a clip", "right answer nobody says", "of no split", "whose right answer is none of theirs"):
        assert said in notes
    questions[-1]["clip"] = "gone.mp4"
    made.write("faulty.jsonl", questions)
    message = "1 of the 12 test questions have no clip .* or give video_text.unreadable=leave-out"
    with pytest.raises(InputError, match=message):
        read_question_task(made.settings(tmp_path, task="faulty.jsonl"), trains=True)
    smaller = made.settings(tmp_path, task="faulty.jsonl", video_text=VideoTextSettings(unreadable="leave-out"))
    assert len(read_question_task(smaller, trains=True).test) == 11


def test_where_the_test_is_not_answered_dev_is_the_test(made, tmp_path):
    questions = [question for question in ask(made.clips)]
    for question in questions:
        if question["split"] == "test":
            del question["answer"]
    made.write("public.jsonl", questions)
    task = read_question_task(made.settings(tmp_path, task="public.jsonl"), trains=True)
    assert len(task.test) == 8 and task.dev_from_train and len(task.dev) + len(task.train) == 24
    assert not set(task.dev.texts) & set(task.train.texts)  # all questions of a clip are on one side
    assert "no question of test is answered, so that dev is the test" in task.notes


def test_files_of_another_kind_than_the_model_or_the_method(made, tmp_path):
    save_encoder(tmp_path / "bert")
    settings = replace(made.settings(tmp_path / "out"), model=str(tmp_path / "bert"), video_text=VideoTextSettings())
    message = "questions.jsonl holds questions about clips, which a model of video and text answers, and .* text .bert."
    with pytest.raises(InputError, match=message):
        evaluate(settings)
    with pytest.raises(InputError, match="captions.csv holds no questions about clips; give files of TVQA"):
        evaluate(made.settings(tmp_path / "out", "matching", "captions.csv"))


@pytest.mark.slow  # processes are started afresh
@pytest.mark.parametrize("method", ["probe", "finetune"])
def test_other_processes_read_the_same(made, tmp_path, method):
    found = []
    for num_workers in (0, 1):
        tuning = replace(TUNING, epochs=1) if method == "finetune" else VideoTextFinetuneSettings()
        shown = VideoTextSettings(num_workers=num_workers, finetune=tuning)
        found.append(
            read(evaluate(made.settings(tmp_path / str(num_workers), method, video_text=shown))[0])["shares"][0]
        )
    one, two = found
    assert one["predictions"] == two["predictions"] and one["dev"] == two["dev"]
