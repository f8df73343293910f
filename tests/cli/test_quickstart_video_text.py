"""The quickstart on video and language, small: real clips, captions and questions, the commands that it prints."""

import io
import json
import shlex

import pytest
import yaml
from rich.console import Console
from safetensors.torch import load_file
from support.html_checks import check

from diffmask.cli import build_parser, main
from diffmask.config import VideoTextConfig, from_mapping
from diffmask.demo.rendered_pairs import DIGITS, QUESTIONS
from diffmask.evaluate.results import read_results
from diffmask.quickstart.run import MARKER, run_quickstart
from diffmask.quickstart.video_text import VideoTextQuickstart
from diffmask.text.anchors.anchor_set import load_anchors
from diffmask.video.index.index import read_clips

POLICIES = list(VideoTextQuickstart.policies)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "quick start"
    plan = VideoTextQuickstart(
        output, general=12, domain=24, test=12, general_steps=2, steps=2, batch_size=4, seeds=2, workers=0
    )
    file = io.StringIO()
    page = run_quickstart(plan, Console(file=file, width=200))
    return plan, page, file.getvalue()


def test_it_ends_with_a_page_and_tables(done):
    plan, page, printed = done
    assert page == plan.output / "quickstart.html"
    for text in (
        "captions and clips: R@1, by retrieval",
        "questions about clips: accuracy, by probe",
        "all words",
        "domain patches",
        "not continued",
        *VideoTextQuickstart.policies.values(),
        "7/7",
        "Open the page",
    ):
        assert text in printed
    html = page.read_text()
    check(html, pictures=True)
    for text in ("by retrieval", "by probe", "held-out loss, domain words and patches: video", "0.5 of the words"):
        assert text in html
    assert html.count("<img ") > 8
    assert (plan.output / "anchors" / "video" / "sheet.png").exists()


def test_the_anchors_of_the_words_are_the_digits(done):
    plan, _, printed = done
    assert sorted(load_anchors(plan.path("anchors", "text")).anchors) == sorted(DIGITS)
    assert "and 4 of what is seen" in printed


def test_budgets_are_equal_and_runs_of_a_seed_differ_in_the_policy(done):
    plan, _, _ = done
    configs = [yaml.safe_load((plan.output / f"{policy}.yaml").read_text()) for policy in POLICIES]
    assert [from_mapping(VideoTextConfig, config).masking.policy for config in configs] == POLICIES
    for config in configs:
        config.pop("output")
        for side in ("text", "video"):
            config["masking"][side].pop("policy")
    assert configs[0] == configs[1]
    logs = [
        [json.loads(line) for line in (plan.output / policy / "seed-0" / "log.jsonl").read_text().splitlines()]
        for policy in POLICIES
    ]
    for log in logs:
        assert {round(entry["mask_ratio_video"], 6) for entry in log if "mask_ratio_video" in entry} == {0.5}
    # the losses that are compared are measured alike
    numbers = {(log[0]["eval_loss_text"], log[0]["eval_masked_text"], log[0]["eval_loss_video"]) for log in logs}
    assert len(numbers) == 1


def test_no_clip_and_no_answer_of_the_test_is_trained_on(done):
    plan, _, _ = done
    training, test, general = (
        {clip.path for clip in read_clips([plan.path(f"{name}.parquet")])} for name in ("train", "test", "general")
    )
    assert (len(training), len(test), len(general)) == (24, 12, 12)
    assert not training & test and not general & (training | test)
    for run in (*POLICIES, "general"):
        assert QUESTIONS not in (plan.output / f"{run}.yaml").read_text()


def test_models_of_every_seed_are_evaluated_on_both_tasks(done):
    plan, _, _ = done
    for task, number in (("retrieval", None), ("questions", 4 * 12)):
        results = read_results([str(plan.output / "evaluation" / task / name) for name in ("none", *POLICIES)])
        assert [len(result.seeds) for result in results] == [2, 2, 2]
        assert number is None or {len(result.first.targets) for result in results} == {number}


def test_the_commands_that_it_prints_run(done, tmp_path, monkeypatch, capsys):
    plan, _, _ = done
    monkeypatch.chdir(tmp_path)
    for name, command in plan.commands().items():
        words = shlex.split(command)[1:]
        if name in ("general", "pretrain"):
            words += ["training.device=cpu"]
        assert main(words) == 0, f"{command}: {capsys.readouterr().err}"
    assert load_file(tmp_path / "my-run" / "model" / "model.safetensors")
    assert (tmp_path / "my-preview.html").exists()


def test_the_option_is_there(done, capsys):
    plan, _, _ = done
    assert json.loads((plan.output / MARKER).read_text())["modality"] == "video-text"
    assert build_parser().parse_args(["quickstart", "--video-text"]).video_text
    assert main(["quickstart", "--video-text", "--steps", "0"]) == 2
    assert "--steps 0 is below 1; the default is 220" in capsys.readouterr().err
