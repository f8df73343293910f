"""The scripts that make .venv, in a checkout whose path has a space, with a Python that only notes what it is asked."""

import shlex
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
# `{refusal}` is where a test makes it fail; otherwise it makes a .venv of itself, and writes down every other call.
PYTHON = """#!/bin/bash
venv={root}/.venv
[ "$*" != --version ] || {{ echo Python {version}.9; exit; }}
{refusal}
case "$*" in
    *"-m venv"*) mkdir -p "$venv/bin" && cp "$0" "$venv/bin/python" ;;
    *version_info\\[:2\\]*) echo {version} ;;
    -c* | "-m pip --version") ;;
    *) echo "$*" >>{root}/calls ;;
esac
"""


class Checkout:
    def __init__(self, root):
        self.root = root
        self.bin = root / "bin"
        (root / "tools").mkdir(parents=True)
        self.bin.mkdir()
        for name in ["tools/environment.sh", "tools/test", "tools/quickstart", "constraints.txt", "pyproject.toml"]:
            (root / name).write_bytes((REPO / name).read_bytes())
        for name in ["cat", "cksum", "cp", "dirname", "mkdir", "rm"]:
            (self.bin / name).symlink_to(f"/usr/bin/{name}")

    def add_python(self, refusal="", version="3.11"):
        path = self.bin / "python3"
        path.write_text(PYTHON.format(root=shlex.quote(str(self.root)), refusal=refusal, version=version))
        path.chmod(0o755)

    def run(self, script, *arguments):
        """Return the finished script, and what it asked of Python beside making .venv."""
        command = ["/bin/bash", self.root / "tools" / script, *arguments]
        done = subprocess.run(command, env={"PATH": str(self.bin)}, cwd="/", capture_output=True, text=True)
        calls = self.root / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return done, lines


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "a checkout")


def test_first_run_installs_and_the_second_does_not(checkout):
    checkout.add_python()
    done, (pinned, editable, tests) = checkout.run("test", "-k", "two words")
    assert done.returncode == 0, done.stderr
    assert "pip install --disable-pip-version-check --require-hashes -r" in pinned
    assert "--no-deps --no-build-isolation -e" in editable
    assert tests == "-m pytest -n auto --dist worksteal -k two words"
    assert "installing the pinned requirements" in done.stderr

    done, calls = checkout.run("quickstart", "--out", "x")
    assert done.stderr == ""
    assert calls == ["-m diffmask quickstart --out x"]


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_changed_pins_are_installed_again(checkout, name):
    checkout.add_python()
    checkout.run("test")
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    assert len(checkout.run("test")[1]) == 3


def test_broken_venv_is_made_again(checkout):
    checkout.add_python()
    checkout.run("test")
    (checkout.root / ".venv/bin/python").unlink()
    assert checkout.run("test")[0].returncode == 0


def test_failed_installation_is_repeated_and_runs_nothing(checkout):
    checkout.add_python('case "$*" in *--require-hashes*) exit 7 ;; esac')
    for _ in range(2):
        done, calls = checkout.run("test")
        assert done.returncode == 7
        assert "installing the pinned requirements" in done.stderr
        assert calls == []


def test_no_python_is_said_in_one_sentence(checkout):
    done, _ = checkout.run("test")
    assert done.returncode == 1
    assert done.stderr == (
        "diffmask: needs Python 3.11 or newer, found no python3 on PATH; "
        "on Debian 12, Ubuntu 24.04 or newer: apt install python3 python3-venv\n"
    )


def test_old_python_is_said_in_one_sentence(checkout):
    checkout.add_python('case "$*" in *"< (3, 11)"*) exit 1 ;; esac', version="3.10")
    done, _ = checkout.run("test")
    assert done.returncode == 1
    assert "needs Python 3.11 or newer, found Python 3.10.9;" in done.stderr


def test_missing_ensurepip_names_the_package(checkout):
    checkout.add_python('case "$*" in *ensurepip*) exit 1 ;; esac', version="3.12")
    done, _ = checkout.run("quickstart")
    assert done.returncode == 1
    assert done.stderr.endswith("(no ensurepip); on Debian or Ubuntu: apt install python3.12-venv\n")
    assert not (checkout.root / ".venv").exists()
