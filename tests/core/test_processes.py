import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diffmask.core.errors import InputError
from diffmask.core.processes import Ranks, num_cores, read_ranks

REPO = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "5000 100000"}, 1),
        ({"cpu.max": "1600000 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
    ],
)
def test_a_container_may_have_fewer_cores_than_the_machine(files, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert num_cores(tmp_path) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl(2)")
def test_a_process_ends_with_its_parent_even_if_that_is_killed(tmp_path):
    note = tmp_path / "pid"
    script = f"""
import os, time
from diffmask.core.processes import end_with
parent = os.getpid()
if os.fork() == 0:
    end_with(parent)
    open({str(note)!r}, "w").write(str(os.getpid()))
time.sleep(100)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=REPO)
    while not (note.exists() and note.read_text()):
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    state = Path(f"/proc/{note.read_text()}/stat")
    for _ in range(200):
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.02)
    raise AssertionError("it is still there")


@pytest.mark.parametrize(
    "environment",
    [
        {"WORLD_SIZE": "x"},
        {"WORLD_SIZE": "0"},
        {"WORLD_SIZE": "2", "RANK": "2"},
        {"WORLD_SIZE": "2", "RANK": "-1"},
        {"RANK": "1.5"},
        {"LOCAL_RANK": "first"},
        {"MASTER_PORT": "99999"},
        {"WORLD_SIZE": "9" * 5000},
    ],
)
def test_ranks_that_no_launcher_sets_are_refused(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="start the processes with torchrun, or unset"):
        read_ranks()


def test_ranks_are_read(monkeypatch):
    assert read_ranks() == Ranks(1, 0, None)
    for name, value in {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    assert read_ranks() == Ranks(4, 3, 1)
