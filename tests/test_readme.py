"""The README is run: its Python as one script, its commands through the parser."""

import re
import shlex
from pathlib import Path

import pytest
from support.tiny import WORDS, tiny_model, tiny_tokenizer

from diffmask.cli import build_parser
from diffmask.text.anchors.find import AnchorSettings, build_anchors

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_its_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("papers.txt").write_text("\n".join(" ".join(WORDS[i:] + WORDS[:i]) for i in range(16)) + "\n")
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 512
    for name in ("model", "bert-base-uncased"):  # a folder of that name stands for the model on the hub
        tiny_model().save_pretrained(name)
        tokenizer.save_pretrained(name)
    build_anchors(AnchorSettings(data=["papers.txt"], model="model", num_anchors=2)).save("anchors")
    names = {}
    scripts = blocks("python")
    assert len(scripts) == 3
    for script in scripts:
        exec(script, names)  # noqa: S102 (it is our own README)
    assert names["loss"].isfinite()
    assert {"input_ids", "attention_mask", "labels"} <= next(iter(names["loader"])).keys()
    assert names["trainer"].state.global_step == 2


def commands():
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("diffmask ")]


@pytest.mark.parametrize("line", commands())
def test_its_commands_are_understood(line):
    words = shlex.split(line, comments=True)[1:]
    assert build_parser().parse_args(words).command == words[0]


def test_its_files_exist():
    for link in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / link).exists(), link
    for script in re.findall(r"^\./(tools/\w+)$", README, flags=re.MULTILINE):
        assert (ROOT / script).exists(), script
    assert commands()
