import subprocess

import pytest
import torch

from diffmask.core import machine
from diffmask.core.machine import code_version, describe_hardware


def test_the_hardware_is_one_line(monkeypatch, tmp_path):
    cpus = tmp_path / "cpuinfo"
    cpus.write_text("processor : 0\nmodel name\t: A Processor @ 2 GHz\nprocessor : 1\nmodel name\t: A Processor\n")
    monkeypatch.setattr(machine, "_CPU_FILE", cpus)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: ["H200", "H200", "T4"][index])
    line = describe_hardware()
    assert " x A Processor @ 2 GHz, " in line and line.endswith(" GiB; 2 x H200, 1 x T4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert describe_hardware().endswith("; no GPU")


def test_without_a_list_of_processors_their_kind_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CPU_FILE", tmp_path / "none")
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "riscv64")
    assert " x riscv64, " in describe_hardware()


@pytest.fixture
def checkout(tmp_path):
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "code.py").write_text("1\n")
    for words in (["init", "-q"], ["add", "code.py"], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    return tmp_path


def test_the_commit_is_told_and_whether_files_differ_from_it(checkout):
    commit = code_version(checkout)
    assert commit is not None and len(commit) == 12 and int(commit, 16)
    (checkout / "notes.txt").write_text("not of the code\n")
    assert code_version(checkout) == commit
    (checkout / "code.py").write_text("2\n")
    assert code_version(checkout) == commit + "+"


def test_what_is_no_checkout_has_no_commit(tmp_path):
    assert code_version(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert code_version(tmp_path) is None
