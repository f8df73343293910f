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

    def add_gpu(self, answer):
        path = self.bin / "nvidia-smi"
        path.write_text(f"#!/bin/bash\n{answer}\n")
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


@pytest.mark.parametrize("option", ["--video", "--video-text"])
def test_the_quickstart_installs_what_it_needs_and_tests_install_the_rest(checkout, option):
    checkout.add_python()
    done, (uv, torch, rest, editable, ran) = checkout.run("quickstart", "--out", "x")
    assert done.returncode == 0, done.stderr
    assert uv.startswith("-m pip install --disable-pip-version-check --quiet --require-hashes -r /dev/fd/")
    python = checkout.root / ".venv/bin/python"
    assert torch.startswith(f"-m uv pip install --quiet --python {python} --torch-backend cpu torch==")
    assert torch.rsplit("==", 1)[1].replace(".", "").isdecimal()
    pins = f"--constraint {checkout.root}/constraints.txt -r {checkout.root}/pyproject.toml"
    assert rest == f"-m uv pip install --python {python} {pins} --extra demo"
    assert "--no-deps --no-build-isolation -e" in editable
    assert ran == "-m diffmask quickstart --out x"
    assert "PyTorch without CUDA, for there is no GPU" in done.stderr
    assert checkout.run("quickstart")[1] == ["-m diffmask quickstart"]

    *_, rest, _, ran = checkout.run("quickstart", option)[1]
    assert rest.endswith("--extra demo --extra video")
    assert "--require-hashes -r" in checkout.run("test")[1][0]
    assert checkout.run("quickstart", option)[1] == [f"-m diffmask quickstart {option}"]


def test_with_a_gpu_the_quickstart_installs_the_pinned_pytorch(checkout):
    checkout.add_python()
    checkout.add_gpu("exit 0")
    done, calls = checkout.run("quickstart")
    assert done.returncode == 0 and len(calls) == 4
    assert not any("--torch-backend" in call for call in calls)


def test_a_driver_without_a_gpu_is_none(checkout):
    checkout.add_python()
    checkout.add_gpu("exit 9")
    assert any("--torch-backend cpu" in call for call in checkout.run("quickstart")[1])


def test_without_pytorchs_index_the_pinned_build_is_installed(checkout):
    checkout.add_python('case "$*" in *--torch-backend*) exit 2 ;; esac')
    done, calls = checkout.run("quickstart")
    assert done.returncode == 0, done.stderr
    assert "PyTorch's own index cannot be reached; its build with CUDA is installed (4 GB more)" in done.stderr
    assert [call.split(" --")[0] for call in calls][1:] == [
        "-m uv pip install",
        "-m pip install",
        "-m diffmask quickstart",
    ]


def test_a_part_that_cannot_be_installed_runs_nothing(checkout):
    checkout.add_python('case "$*" in *--constraint*) exit 7 ;; esac')
    for _ in range(2):
        done, calls = checkout.run("quickstart")
        assert done.returncode == 7
        assert not any("diffmask quickstart" in call for call in calls)


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
