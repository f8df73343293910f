"""Questions about clips, and retrieval: from files and a tiny model to results that compare and report read."""

import json
from dataclasses import replace

import pytest
import torch
from support.asked import ask, save_model, write_questions, write_world
from support.html_checks import check
from support.video_task import as_clip

from diffmask.config.evaluation import EvaluateSettings, TaskSettings, VideoTextSettings
from diffmask.core.errors import InputError
from diffmask.evaluate.compare import CompareSettings, compare
from diffmask.evaluate.methods.pair_encoder import PairEncoder
from diffmask.evaluate.methods.retrieval import first_ranks, put_in_order
from diffmask.evaluate.results import Result, read_results
from diffmask.evaluate.run import evaluate
from diffmask.report.html.page import page
from diffmask.report.run.page import evaluation_part
from diffmask.tasks.metrics import score_ranks
from diffmask.tasks.retrieval_task import read_retrieval_task


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_world(folder)
    return folder


def settings_for(world, output, method="probe", task="clips/questions.jsonl", **changes):
    shown = replace(changes.pop("video_text", VideoTextSettings()), clips=(str(world / "clips.parquet"),))
    given = {"method": method, "seeds": 1, "device": "cpu", "eval_batch_size": 16, "max_length": 32} | changes
    given |= {"video_text": shown} if (world / "clips.parquet").exists() else {}
    return EvaluateSettings(str(world / "model"), TaskSettings((str(world / task),)), output=str(output), **given)


def read(path):
    return json.loads(path.read_text())


def accuracy(paths):
    return read(paths[0])["shares"][0]["test"]["all"]["accuracy"]


def test_ranks_against_a_slow_reference():
    random = torch.Generator().manual_seed(0)
    # many are equally similar
    similar = torch.randint(0, 6, (40, 9), generator=random).float()
    right = torch.rand(40, 9, generator=random) < 0.25
    right[torch.arange(40), torch.randint(0, 9, (40,), generator=random)] = True
    expected = []
    for row in range(40):
        # of what is equally similar, what is wrong comes first
        order = sorted(range(9), key=lambda place: (-float(similar[row, place]), bool(right[row, place])))
        wrong_before = 0
        for place in order:
            if right[row, place]:
                break
            wrong_before += 1
        expected.append(1 + wrong_before)
    assert first_ranks(similar, right).tolist() == expected


def test_recall_and_ranks_of_each_direction():
    found = score_ranks(["there", "back"], [0, 0, 0, 1], [1, 3, 11, 5])
    assert found["per_class"]["there"] == {
        "recall_at_1": 1 / 3,
        "recall_at_5": 2 / 3,
        "recall_at_10": 2 / 3,
        "median_rank": 3.0,
        "mean_rank": 5.0,
    }
    assert found["recall_at_5"] == (2 / 3 + 1) / 2 and found["mean_rank"] == 5.0


def test_several_captions_of_a_clip_and_one_caption_of_several_clips(world, tmp_path):
    rows = ["test-0.mp4,we found the kinase", "test-0.mp4,a cell of a rat", "test-1.mp4,We  found the kinase"]
    rows += ["test-2.mp4,the dose was in the blood", "copy.mp4,a protein binds"]
    clip = (world / "clips" / "test-0.mp4").read_bytes()
    for name in ("test-0.mp4", "test-1.mp4", "test-2.mp4"):
        (tmp_path / name).write_bytes((world / "clips" / name).read_bytes())
    (tmp_path / "copy.mp4").write_bytes(clip)
    (tmp_path / "all.csv").write_text("\n".join(["clip,caption", *rows]) + "\n")
    task = read_retrieval_task(settings_for(tmp_path, tmp_path, "retrieval", "all.csv"))
    assert task.captions == ["we found the kinase", "a cell of a rat", "the dose was in the blood", "a protein binds"]
    # a copy of a file is the same clip
    assert task.right.tolist() == [
        [True, True, False],
        [True, False, False],
        [False, False, True],
        [True, False, False],
    ]
    assert task.test.labels == [0, 0, 0, 0, 1, 1, 1] and not len(task.train)


def test_retrieval(world, tmp_path):
    paths = evaluate(settings_for(world, tmp_path / "out", "retrieval", "clips/captions.csv", seeds=2))
    result = read(paths[0])
    # two texts, and twelve clips of the test
    assert result["targets"] == [0] * 2 + [1] * 12 and result["task"]["num_texts"] == 2
    assert result["task"]["kind"] == result["method"] == "retrieval"
    ranks = result["shares"][0]["predictions"]
    assert all(rank <= 7 for rank in ranks[:2]) and all(rank <= 2 for rank in ranks[2:])
    # both texts stand in the training split too
    assert (
        result["unseen"] == [False] * 2 + [True] * 12
        and "2 of these are in train or dev" in (result["task"]["leakage"]["summary"])
    )
    assert read(paths[1])["shares"][0]["predictions"] == ranks
    assert (
        "inputs" not in result["settings"]["video_text"] and result["settings"]["video_text"]["sampling"] == "uniform"
    )


def test_retrieval_is_compared_and_shown(world, tmp_path):
    save_model(tmp_path / "model", seed=1)
    for name, folder in (("one", world), ("two", tmp_path)):
        settings = settings_for(world, tmp_path / "results" / name, "retrieval", "clips/captions.csv", seeds=2)
        evaluate(replace(settings, model=str(folder / "model"), name=name))
    results = read_results([tmp_path / "results"])
    found = compare(results, CompareSettings(num_draws=1000))
    assert found.settings.metric == "recall_at_1" and found.examples == "searches"
    # the mean over both directions
    measured = read(tmp_path / "results" / "one" / "seed-0.json")["shares"][0]["test"]["all"]
    assert found.scores[0].mean == pytest.approx(measured["recall_at_1"])
    assert found.differences[0].low <= found.differences[0].mean <= found.differences[0].high
    with pytest.raises(
        InputError, match="the metric accuracy is not one of a retrieval task; choose from: recall_at_1"
    ):
        compare(results, CompareSettings(metric="accuracy"))
    shown = page("page", [evaluation_part(results)])
    assert check(shown) and "median rank" in shown and "text to clip" in shown


def test_a_probe_finds_what_only_the_clip_tells(world, tmp_path):
    assert accuracy(evaluate(settings_for(world, tmp_path / "full"))) > 0.8
    blind = settings_for(world, tmp_path / "text", video_text=VideoTextSettings(inputs="text"))
    assert accuracy(evaluate(blind)) <= 0.6  # one of the two that are ever right
    (result,) = read_results([tmp_path / "text"])
    assert result.name == "model (text)"


def test_what_is_answerable_from_the_answers_alone_is_found_so(world, tmp_path):
    clips = [as_clip(path) for path in sorted((world / "clips").glob("*.mp4"))]
    clips = [replace(clip, split=clip.name.partition("-")[0]) for clip in clips]
    write_questions(
        world / "clips" / "given-away.jsonl", ask(clips, right=lambda place: ("cell", "rat")[place // 2 % 2])
    )
    shown = {}
    for inputs in ("full", "answers", "question-answers", "video"):
        inside = VideoTextSettings(inputs=inputs)
        settings = settings_for(world, tmp_path / inputs, task="clips/given-away.jsonl", video_text=inside)
        shown[inputs] = accuracy(evaluate(settings))
    assert min(shown.values()) >= 0.9, shown
    found = compare(read_results([tmp_path]), CompareSettings(num_draws=1000))
    assert {score.name for score in found.scores} == {
        "model", "model (answers)", "model (question-answers)", "model (video)",
    }  # fmt: skip
    assert check(page("page", [evaluation_part([Result.read(tmp_path / "answers")])]))


def test_the_most_similar_are_put_in_order_by_how_they_match():
    random = torch.Generator().manual_seed(3)
    similar, matching = torch.randn(20, 7, generator=random), 30 * torch.randn(20, 7, generator=random)
    first = torch.zeros(20, 7, dtype=torch.bool).scatter_(1, similar.topk(3, 1).indices, True)
    found = put_in_order(similar, matching, first)
    for row in range(20):
        order = sorted(range(7), key=lambda place: -float(similar[row, place]))
        order[:3] = sorted(order[:3], key=lambda place: -float(matching[row, place]))
        assert found[row].argsort(descending=True).tolist() == order


def test_retrieval_in_two_stages(world, tmp_path):
    shown = VideoTextSettings(rerank=100)
    result = read(evaluate(settings_for(world, tmp_path, "retrieval", "clips/captions.csv", video_text=shown))[0])
    settings = settings_for(world, tmp_path, "retrieval", "clips/captions.csv")
    task, encoder = read_retrieval_task(settings), PairEncoder.load(str(world / "model"), settings)
    # all are put in order again, so that nothing but the logits counts
    model, logits = encoder.loaded.model, []
    for states in encoder.encode_clips([(each.clip, each.span) for each in task.clips], progress=False):
        for row in states.half().float():
            ids, mask, _ = encoder.text_batch(encoder.tokenise(task.captions), range(len(task.captions)))
            with torch.inference_mode():
                fused = model.fuse(model.encode_text(ids, mask), mask, row.expand(len(ids), -1, -1))
                logits.append(model.match(fused.text, mask))
    matching = torch.stack(logits, 1)
    expected = [*first_ranks(matching, task.right).tolist(), *first_ranks(matching.T, task.right.T).tolist()]
    assert result["shares"][0]["predictions"] == expected


def test_what_retrieval_does_not_read_is_refused(world, tmp_path):
    settings = settings_for(world, tmp_path, "retrieval", "clips/captions.csv")
    with pytest.raises(
        InputError, match="task.label is for labels, and nothing is labelled for retrieval; leave it out"
    ):
        evaluate(replace(settings, task=replace(settings.task, label="caption")))
    (tmp_path / "one.csv").write_text(f"clip,caption\n{world / 'clips' / 'test-0.mp4'},a cell\n")
    with pytest.raises(InputError, match="one.csv has 1 clips and 1 texts to test on; give at least two of both"):
        evaluate(replace(settings, task=TaskSettings((str(tmp_path / "one.csv"),))))
