"""The quickstart on video, small: real clips, a real VideoMAE, the commands that it prints."""

import io
import json
import shlex

import pytest
import yaml
from rich.console import Console
from safetensors.torch import load_file
from support.html_checks import check

from diffmask.cli import build_parser, main
from diffmask.config import VideoConfig, from_mapping
from diffmask.core.errors import InputError
from diffmask.quickstart.run import MARKER, run_quickstart
from diffmask.quickstart.video import VideoQuickstart


def plan_for(output, **changes):
    return VideoQuickstart(
        output, general=12, domain=20, test=20, general_steps=2, steps=2, batch_size=4, seeds=2, workers=0, **changes
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    plan = plan_for(tmp_path_factory.mktemp("out") / "quick start")
    file = io.StringIO()
    page = run_quickstart(plan, Console(file=file, width=200))
    return plan, page, file.getvalue()


def test_it_ends_with_a_page_and_tables(done):
    plan, page, printed = done
    assert page == plan.output / "quickstart.html"
    for text in (
        "new test clips",
        "all patches",
        "domain patches",
        "not continued",
        *VideoQuickstart.policies.values(),
        "7/7",
        "Open the page",
    ):
        assert text in printed
    html = page.read_text()
    check(html, pictures=True)
    assert "img-src data:" in html
    assert html.count("<img ") > 20
    assert "Filled in" in html
    assert (plan.output / "anchors" / "sheet.png").exists()


def test_budgets_are_equal_and_runs_of_a_seed_differ_in_one_line(done):
    plan, _, _ = done
    configs = [yaml.safe_load((plan.output / f"{policy}.yaml").read_text()) for policy in VideoQuickstart.policies]
    assert all(from_mapping(VideoConfig, config) for config in configs)
    for config in configs:
        config["masking"].pop("policy")
        config.pop("output")
    assert configs[0] == configs[1] == configs[2]
    logs = [
        [json.loads(line) for line in (plan.output / policy / "seed-0" / "log.jsonl").read_text().splitlines()]
        for policy in VideoQuickstart.policies
    ]
    ratios = {round(entry["mask_ratio"], 6) for log in logs for entry in log if "mask_ratio" in entry}
    assert ratios == {0.5}
    first = {(log[0]["eval_loss"], log[0]["eval_loss_domain"]) for log in logs}
    assert len(first) == 1


def test_no_clip_of_the_test_is_trained_on(done):
    plan, _, _ = done
    from diffmask.video.index.index import read_clips

    training, test, general = (
        {clip.path for clip in read_clips([plan.path(f"{name}.parquet")])} for name in ("train", "test", "general")
    )
    assert (len(training), len(test), len(general)) == (20, 20, 12)
    assert not training & test
    assert not general & (training | test)


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


def test_it_starts_over_in_its_own_folder_and_nowhere_else(done, tmp_path):
    plan, _, _ = done
    assert json.loads((plan.output / MARKER).read_text())["modality"] == "video"
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and was not made by the quickstart; give another with -o"):
        run_quickstart(plan_for(tmp_path), Console(file=io.StringIO()))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_a_user_put_into_the_folder_of_the_other_quickstart_is_not_deleted(tmp_path):
    (tmp_path / MARKER).write_text(json.dumps({"names": [MARKER, "anchors"]}))
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "holiday.mp4").write_text("mine")
    with pytest.raises(InputError, match="holds clips, which was not made by the quickstart; give another with -o"):
        run_quickstart(plan_for(tmp_path), Console(file=io.StringIO()))
    assert (tmp_path / "clips" / "holiday.mp4").read_text() == "mine"


def test_the_option_is_there(capsys):
    assert build_parser().parse_args(["quickstart", "--video"]).video
    assert main(["quickstart", "--video", "--steps", "0"]) == 2
    assert "--steps 0 is below 1; the default is 150" in capsys.readouterr().err
