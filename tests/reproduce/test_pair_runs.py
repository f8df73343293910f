"""The experiment on TVQA and Social-IQ, from files as they are published: its jobs, and all of them on tiny models."""

import json

import pytest
from support.asked import write_published
from support.tiny import save_encoder
from support.tiny_clip import save_clip, tiny_clip, tiny_config
from support.tiny_video import tiny_videomae
from support.video_task import make_clips

from diffmask.assemble.modality import read_config
from diffmask.cli import main
from diffmask.config.experiment import arms_of, read_experiment
from diffmask.core.errors import InputError
from diffmask.reproduce.plan import plan
from diffmask.reproduce.run import find_experiment, reproduce
from diffmask.reproduce.runner import Runner

NAME = "difference-masking-video"
SPLITS = (("train", 12), ("dev", 6))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_published(folder / "data", make_clips(folder / "clips", SPLITS))
    tiny_videomae().save_pretrained(folder / "videomae")
    save_encoder(folder / "bert")
    save_clip(tiny_clip(), tiny_config(), folder / "clip")
    return folder


def overrides(world, **more):
    given = {
        "model": world / "videomae",
        "pretrain.text_model": world / "bert",
        "pretrain.data": {"max_length": 16, "num_processes": 1, "cache": str(world / "cache")},
        "pretrain.training": {"steps": 2, "batch_size": 4, "device": "cpu", "eval_every": 0},
        "evaluate": {"method": "probe", "max_length": 32, "device": "cpu"},
        "arms.attention.masking.video.teacher": f"clip:{world / 'clip'}",
        "arms.text-anchors.anchors": {"embedder": f"clip:{world / 'clip'}", "num_anchors": 2, "min_count": 1},
        "arms.automatic-anchors.anchors": {"automatic": True, "num_anchors": 2, "min_count": 1, "num_words": 4},
        "seeds": 1,
    } | more
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value, default=str)}" for name, value in given.items()
    ]


def jobs_of(world, output, **more):
    config = read_experiment(find_experiment(NAME), overrides(world, **more))
    return {job.name: job for job in plan(config, world / "data", output)}


def test_the_arms_of_the_issue_and_rows_of_inputs_are_planned(world, tmp_path):
    arms = arms_of(read_experiment(find_experiment(NAME)))
    assert list(arms) == ["none", "random", "attention", "box-prior", "text-anchors", "automatic-anchors"]
    jobs = jobs_of(world, tmp_path)
    for task in ("tvqa", "social-iq"):
        for inputs in ("answers", "question-answers", "text", "video"):
            assert f"{task}/evaluate/random/{inputs}/seed-0" in jobs
        needs = {name: jobs[f"{task}/pretrain/{name}/seed-0"].needs for name in arms if name != "none"}
        start = f"{task}/pretrain/start/seed-0"
        assert needs["random"] == needs["attention"] == needs["box-prior"] == (start,)
        assert len(needs["text-anchors"]) == len(needs["automatic-anchors"]) == 2
    names = list(jobs)
    assert all(names.index(need) < names.index(job.name) for job in jobs.values() for need in job.needs)


def test_arms_differ_in_masking_alone(world, tmp_path):
    jobs = jobs_of(world, tmp_path)
    for job in jobs.values():
        job.begin(tmp_path)
    names = ("random", "box-prior", "text-anchors")
    found = {name: read_config(jobs[f"tvqa/pretrain/{name}/seed-0"].file[0]) for name in names}
    first = found["random"]
    for config in found.values():
        assert (config.model, config.data, config.training, config.text_model) == (
            first.model, first.data, first.training, None,
        )  # fmt: skip
    assert found["box-prior"].masking.video.boxes == str(world / "data" / "tvqa" / "boxes.csv")
    assert (found["text-anchors"].masking.policy, first.masking.policy) == ("difference", "whole-word+random-patch")
    start = read_config(jobs["tvqa/pretrain/start/seed-0"].file[0])
    assert start.text_model == str(world / "bert") and start.training.steps == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"tasks.tvqa.boxes": None}, "the arm box-prior prefers boxes, and tasks.tvqa.boxes is not given"),
        (
            {"tasks.tvqa.reference": []},
            "the arm automatic-anchors finds its anchors by comparing clips, and tasks.tv",
        ),
        ({"tasks.tvqa.clips": ["gone"]}, "the data set 'gone' is not in"),
        ({"arms.random.masking": {"video": {"ratio": 0.5}}}, "the arms random and attention mask .* of the patches on"),
        ({"arms.random.masking": {"text": {"ratio": 0.5}}}, "the arms random and attention mask .* of the tokens on"),
        ({"modality": "sound"}, "unknown modality 'sound'; choose from: text, video-text"),
        ({"pretrain.data.clips": ["x"]}, "`pretrain.data.clips` is filled in by the experiment"),
    ],
)
def test_what_is_refused(world, tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        jobs_of(world, tmp_path, **more)


@pytest.mark.slow  # sixty jobs
def test_every_job_runs_and_the_table_has_all_rows(world, tmp_path, monkeypatch):
    # in this process, which is much faster than one for each
    def run_here(runner):
        for job in runner.jobs:
            job.begin(runner.folder)
            assert main(list(job.command)) == 0, job.name
            assert job.is_done, job.name

    monkeypatch.setattr(Runner, "run", run_here)
    config = read_experiment(find_experiment(NAME), overrides(world))
    table = reproduce(config, world / "data", tmp_path / "out", 1, lambda *_: None).read_text()
    for arm in arms_of(config):
        assert f"| {arm} |" in table
    for row in ("random (answers)", "random (question-answers)", "random (text)", "random (video)"):
        assert table.count(f"| {row} |") >= 2  # for both tasks
    result = json.loads((tmp_path / "out" / "tvqa" / "results" / "none" / "seed-0.json").read_text())
    assert (
        result["task"]["num_test"] == 6
        and "no question of test is answered, so that dev is the test" in (result["task"]["notes"])
    )
