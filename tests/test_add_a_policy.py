"""The guide is followed, word for word, in a copy of the project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.domain import SENTENCES
from support.tiny import tiny_model, tiny_tokenizer

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "add-a-policy.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("diffmask", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "papers.txt").write_text("\n".join(SENTENCES * 4) + "\n")
    tiny_model().save_pretrained(folder / "minilm")
    tiny_tokenizer().save_pretrained(folder / "minilm")
    written, named, listed = re.findall(r"```python\n# (\S+?)(?:, [^\n]*)?\n(.*?)```", GUIDE, flags=re.DOTALL)
    (folder / written[0]).write_text(written[1])
    build = folder / named[0]
    assert named[0] == listed[0]
    text = build.read_text()
    text = text.replace("from diffmask.policies.loss_weighted", f"{named[1]}from diffmask.policies.loss_weighted", 1)
    build.write_text(re.sub(r"(?m)^(TEXT_POLICIES: .* = \{\n)", lambda found: found[1] + listed[1], text))
    return folder


def run(project, *command):
    environment = os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_new_policy_keeps_the_promises(project):
    done = run(project, "pytest", "-q", "-p", "no:cacheprovider", "tests/policies/test_contract.py", "-k", "long-words")
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 20


def test_it_is_listed_and_shown(project):
    assert "words of many tokens" in run(project, "diffmask", "policies").stdout
    line = next(line for line in GUIDE.splitlines() if line.startswith("diffmask preview"))
    done = run(project, *shlex.split(line.replace("minilm", "./minilm")))
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"(?m)^long-words ", done.stdout)


def test_its_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", GUIDE)
    assert len(links) > 5
    for link in links:
        assert (ROOT / "docs" / link).exists(), link
