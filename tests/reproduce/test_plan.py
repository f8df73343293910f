"""What an experiment consists of, and what it may not be."""

import json

import pytest
import yaml
from support.labelled import labelled_rows

from diffmask.assemble.modality import read_config
from diffmask.cli import main
from diffmask.config import TextConfig
from diffmask.config.experiment import arms_of, read_experiment, tasks_of
from diffmask.core.errors import InputError
from diffmask.reproduce.plan import plan
from diffmask.reproduce.run import find_experiment, shipped
from diffmask.reproduce.runner import Runner

EXPERIMENT = {
    "name": "tiny",
    "about": "A tiny experiment.",
    "model": "minilm",
    "seeds": 2,
    "baseline": "random",
    "tasks": {"proteins": {"files": ["proteins"], "text": ["proteins/train.jsonl"]}},
    "pretrain": {"training": {"steps": 4, "batch_size": 8}},
    "evaluate": {"method": "probe"},
    "arms": {
        "none": {"continued": False},
        "random": {"masking": {"policy": "whole-word"}},
        "five": {"masking": {"policy": "difference"}, "anchors": {"num_anchors": 5}},
        "selective": {"masking": {"policy": "selective"}},
    },
}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data" / "proteins"
    folder.mkdir(parents=True)
    for seed, split in enumerate(("train", "dev", "test")):
        rows = labelled_rows(20, seed)
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "data"


def write(tmp_path, **changes):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT | changes, sort_keys=False))
    return path


def jobs_of(tmp_path, data, overrides=(), **changes):
    return plan(read_experiment(write(tmp_path, **changes), overrides), data, tmp_path / "out")


def test_jobs_come_after_what_they_need_and_each_once(tmp_path, data):
    jobs = jobs_of(tmp_path, data)
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names) == 2 + 1 + 2 * (1 + 3 + 4)
    for place, job in enumerate(jobs):
        assert set(job.needs) <= set(names[:place])
    by_name = {job.name: job for job in jobs}
    assert set(by_name["proteins/pretrain/selective/seed-1"].needs) == {
        "proteins/pretrain/start/seed-1",
        "proteins/anchors/default",
        "proteins/scorer",
    }
    assert by_name["proteins/evaluate/none/seed-0"].needs == ("proteins/pretrain/start/seed-0",)


def test_arms_of_a_seed_differ_in_masking_alone(tmp_path, data):
    jobs = {job.name: job for job in jobs_of(tmp_path, data)}
    for job in jobs.values():
        job.begin(tmp_path / "out")

    def config(arm, seed) -> TextConfig:
        return read_config(jobs[f"proteins/pretrain/{arm}/seed-{seed}"].file[0])

    first, second, other = config("random", 0), config("five", 0), config("random", 1)
    assert (first.model, first.data, first.training, first.head) == (
        second.model,
        second.data,
        second.training,
        second.head,
    )
    assert first.masking.policy != second.masking.policy and second.masking.anchors.endswith("num_anchors-5")
    assert (first.training.seed, first.masking.seed, other.training.seed, other.masking.seed) == (0, 0, 1, 1)
    assert other.model != first.model and config("start", 0).training.steps == 0


def check(jobs, folder):
    Runner(jobs, folder, 1, lambda job, what: None).check()


def pretend(jobs, folder):
    for job in jobs:
        job.begin(folder)
        job.done.mkdir(parents=True)


def test_more_seeds_may_be_added_and_nothing_changed_that_is_done(tmp_path, data):
    pretend(jobs_of(tmp_path, data), tmp_path / "out")
    check(jobs_of(tmp_path, data, ["seeds=3"]), tmp_path / "out")
    with pytest.raises(InputError, match=r"proteins/pretrain/start/seed-0 in .* was made with other settings"):
        check(jobs_of(tmp_path, data, ["pretrain.training.batch_size=4"]), tmp_path / "out")


def test_a_job_that_is_not_done_may_be_mended(tmp_path, data):
    for job in jobs_of(tmp_path, data):
        job.begin(tmp_path / "out")
    check(jobs_of(tmp_path, data, ["pretrain.training.batch_size=4"]), tmp_path / "out")


def test_the_head_is_trained_as_the_arms_mask(tmp_path, data):
    given = EXPERIMENT["pretrain"] | {"masking": {"ratio": 0.3, "temperature": 2.0}}
    jobs = jobs_of(tmp_path, data, pretrain=given, arms={"random": {"masking": {"policy": "difference"}}})
    (start,) = [job for job in jobs if job.name == "proteins/pretrain/start/seed-1"]
    masking = yaml.safe_load(start.file[1])["masking"]
    assert (masking["policy"], masking["ratio"]["start"], masking["seed"]) == ("whole-word", 0.3, 1)
    assert masking["anchors"].endswith("anchors/default")


def test_evaluations_choose_by_what_is_compared_and_read_the_task_s_columns(tmp_path, data):
    task = EXPERIMENT["tasks"]["proteins"] | {"metric": "macro_f1", "task": {"label": "label"}}
    jobs = jobs_of(tmp_path, data, tasks={"proteins": task})
    command = next(job.command for job in jobs if job.name == "proteins/evaluate/random/seed-1")
    assert {'metric="macro_f1"', 'task.label="label"', "first_seed=1", 'task.name="proteins"'} <= set(command)


def test_selective_masking_for_all_arms_gets_its_scorer(tmp_path, data):
    pretrain = EXPERIMENT["pretrain"] | {"masking": {"policy": "selective"}}
    jobs = jobs_of(tmp_path, data, pretrain=pretrain, arms={"random": {}})
    (run,) = [job for job in jobs if job.name == "proteins/pretrain/random/seed-0"]
    assert "proteins/scorer" in run.needs and "/scorer" in yaml.safe_load(run.file[1])["masking"]["scorer"]


def test_anchors_of_other_settings_have_other_folders(tmp_path, data):
    arms = {
        name: {"masking": {"policy": "difference"}, "anchors": {"reference": reference}}
        for name, reference in (("random", "a/b"), ("other", "a-b"))
    }
    names = [job.name for job in jobs_of(tmp_path, data, arms=arms) if "/anchors/" in job.name]
    assert len(set(names)) == 3


def test_an_arm_that_is_not_continued_is_always_there(tmp_path, data):
    arms = {"random": {"masking": {"policy": "whole-word"}}}
    names = [job.name for job in jobs_of(tmp_path, data, arms=arms, seeds=1)]
    assert "proteins/evaluate/none/seed-0" in names
    with pytest.raises(InputError, match="the arm 'none' is continued; rename it, or let it say `continued: false`"):
        jobs_of(tmp_path, data, arms={"none": {}}, baseline="none")


def test_arms_read_text_of_their_own_and_are_held_against_the_same(tmp_path, data):
    (data / "general.txt").write_text("a line\n")
    arms = EXPERIMENT["arms"] | {"general": {"text": ["general.txt"], "masking": {"policy": "whole-word"}}}
    task = EXPERIMENT["tasks"]["proteins"] | {"held_out": ["proteins/test.jsonl"]}
    jobs = {job.name: job for job in jobs_of(tmp_path, data, arms=arms, tasks={"proteins": task})}
    read = {
        arm: yaml.safe_load(jobs[f"proteins/pretrain/{arm}/seed-0"].file[1])["data"] for arm in ("general", "random")
    }
    assert read["general"]["train"] == [str(data / "general.txt")]
    assert read["random"]["train"] == [str(data / "proteins/train.jsonl")]
    assert read["general"]["eval"] == read["random"]["eval"] == [str(data / "proteins/test.jsonl")]


def test_arms_are_evaluated_after_fewer_steps_too(tmp_path, data):
    jobs = {
        job.name: job for job in jobs_of(tmp_path, data, steps=[1, 3], evaluate={"method": "probe", "shares": [0.5]})
    }
    job = jobs["proteins/evaluate/random/step-3/seed-1"]
    assert job.command[1] == str(tmp_path / "out/proteins/runs/random/seed-1/snapshots/step-3")
    assert "shares=[0.5]" in job.command and job.needs == ("proteins/pretrain/random/seed-1",)
    assert yaml.safe_load(jobs["proteins/pretrain/random/seed-1"].file[1])["training"]["snapshots"] == [1, 3]
    assert yaml.safe_load(jobs["proteins/pretrain/start/seed-1"].file[1])["training"]["snapshots"] == []
    assert not any(name.startswith("proteins/evaluate/none/step") for name in jobs)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_experiments_plan_and_have_equal_budgets(tmp_path, name):
    config = read_experiment(find_experiment(name))
    assert config.name == name and config.about and config.seeds >= 5 and config.baseline in arms_of(config)
    for task in tasks_of(config).values():
        of_clips = [*task.clips, *task.subtitles, *task.reference, *([task.boxes] if task.boxes else [])]
        of_arms = [file for arm in arms_of(config).values() for file in arm.text]
        for file in (*task.files, *task.text, *task.held_out, *of_arms, *of_clips):
            path = tmp_path / "data" / file
            (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
            if path.suffix:
                path.write_text('{"text": "x", "label": "y"}\n')
            else:
                (path / "clip.mp4").touch()
    assert len(plan(config, tmp_path / "data", tmp_path / "out")) > 2 * 5 * 5


def test_the_issue_s_arms_are_shipped():
    found = {name: set(arms_of(read_experiment(path))) for name, path in shipped().items()}
    assert {"none", "random-token", "whole-word", "salient-span", "selective", "published", "difference"} <= found[
        "difference-masking-text"
    ]
    assert {"fixed", "linear", "cosine", "from-30-to-15"} <= found["masking-ratio-decay"]
    assert {"ptw", "ablations"} <= set(found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "nothing"}, "`baseline: nothing` is no arm; choose from: none, random, five, selective"),
        ({"steps": [2, 4]}, r"steps=\[2, 4\] must be below pretrain.training.steps=4, where each arm is evaluated"),
        ({"steps": [0]}, r"steps=\[0\] must hold numbers at least 1"),
        ({"seeds": 0}, "seeds=0 must be at least 1; 5 is what a comparison needs"),
        ({"arms": {}}, "`arms` of .* is empty; name at least one"),
        ({"arms": {"a/b": {}}}, "'a/b' in `arms` is no name"),
        ({"arms": {"-o": {}}}, "'-o' in `arms` is no name"),
        ({"tasks": {"..": {}}}, "'..' in `tasks` is no name"),
        ({"tasks": {"logs": {}}}, "'logs' in `tasks` is the name of a file or a folder of diffmask; choose another"),
        ({"name": "../../x"}, "'../../x' in `name` is no name; begin with a letter"),
        ({"name": "/tmp/x"}, "'/tmp/x' in `name` is no name"),
        (
            {"arms": {"random": {"anchors": {"reference": ["wordfreq:en", "-o", "/tmp/x"]}}}},
            "`reference` holds '-o', which begins with -; give ./-o if it is a file",
        ),
        ({"arms": {"random": {"maskin": {}}}}, "unknown setting `arms.random.maskin`; did you mean"),
        ({"arms": {"random": {"masking": {"polcy": "x"}}}}, "unknown setting `masking.polcy`; did you mean"),
        ({"arms": {"random": {"anchors": {"number": 3}}}}, "unknown setting `anchors.number`; known here:"),
        ({"arms": {"random": {"anchors": {"expert": True}}}}, "tasks.proteins.expert_anchors is empty"),
        ({"pretrain": {"model": "x"}}, "`pretrain.model` is filled in by the experiment; leave it out"),
        ({"pretrain": {"data": {"train": "x"}}}, "`pretrain.data.train` is filled in by the experiment"),
        ({"evaluate": {"seeds": 3}}, "`evaluate.seeds` is filled in by the experiment"),
        ({"evaluate": {"metric": "macro_f1"}}, "`evaluate.metric` is filled in by the experiment"),
        ({"arms": {"random": {"masking": {"seed": 3}}}}, "`arms.random.masking.seed` is filled in by the experiment"),
        ({"arms": {"random": {}, "start": {}}}, "an arm cannot be called 'start'"),
        ({"arms": {"random": 5}}, "`arms.random` is 5; it must be a group of settings"),
        ({"tasks": {"proteins": None}}, "`tasks.proteins` is empty; it must be a group of settings"),
        ({"pretrain": {"training": 5}}, "`pretrain.training` is 5; it must be a group of settings"),
        ({"pretrain": {"training": {"steps": -5}}}, "training.steps=-5 must be at least 0"),
        ({"arms": {"random": {"masking": {"policy": "diference"}}}}, "unknown policy 'diference'; choose from:"),
        ({"arms": {"random": {"anchors": {"num_anchors": -3}}}}, "num_anchors=-3 must be at least 1"),
        ({"tasks": {"proteins": {"files": [""], "text": ["proteins"]}}}, "the data set '' is not in"),
        ({"tasks": {"proteins": {"files": ["/no/where"], "text": ["proteins"]}}}, "the data set '/no/where' is not in"),
        ({"evaluate": {"method": "guess"}}, "unknown method 'guess'; choose from: finetune, probe"),
        ({"selective": {"delt": 1}}, "unknown setting `selective.delt`; known here:"),
        (
            {"tasks": {"proteins": {"files": ["nowhere"], "text": []}}},
            "the data set 'nowhere' is not in .*data; prep",
        ),
        (
            {"arms": {"random": {"masking": {"policy": "whole-word"}}, "more": {"masking": {"ratio": 0.3}}}},
            "the arms random and more mask 15.0 % and 30.0 % of the tokens on average, so they cannot be compared",
        ),
    ],
)
def test_what_is_refused(tmp_path, data, changes, message):
    with pytest.raises(InputError, match=message):
        jobs_of(tmp_path, data, **changes)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reproduce"], "no experiment was given; write `diffmask reproduce EXPERIMENT`"),
        (["reproduce", "diference"], "no experiment 'diference'; give a YAML file, or one of: ablations, continuing"),
        (["reproduce", "EXPERIMENT", "seeds=two"], "`seeds` is 'two'; it must be a whole number"),
        (["reproduce", "EXPERIMENT", "--num-processes", "0"], "num_processes=0 is below 1"),
    ],
)
def test_what_the_command_refuses(tmp_path, data, capsys, words, message):
    path = str(write(tmp_path))
    given = [path if word == "EXPERIMENT" else word for word in words]
    assert main([*given, "--data", str(data), "-o", str(tmp_path / "out")] if len(words) > 1 else given) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_the_command_lists_and_plans(tmp_path, data, capsys):
    assert main(["reproduce", "--list"]) == 0
    assert "masking-ratio-decay " in capsys.readouterr().out
    assert main(["reproduce", str(write(tmp_path)), "--data", str(data), "-o", str(tmp_path / "out"), "--plan"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 19 and all(line.startswith("to do  proteins/") for line in printed)
    assert not (tmp_path / "out").exists()
