"""Processes that work for one that was killed do not live on."""

import os
import signal
from pathlib import Path

from support.processes import Process

from diffmask.files.parallel import map_ordered


def whoami(number):
    return os.getpid()


def die_with_workers(folder):
    results = map_ordered(whoami, range(1000), 2)
    pids = {next(results)[1] for _ in range(20)}
    (folder / "pids").write_text(" ".join(map(str, pids)))
    os.kill(os.getpid(), signal.SIGKILL)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    assert Process(die_with_workers, tmp_path).wait().returncode == -signal.SIGKILL
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    handles = []
    for pid in pids:
        try:
            handles.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    import select

    for handle in handles:
        assert select.select([handle], [], [], 30)[0], "a worker lives on"
        os.close(handle)
    assert not any(map(is_running, pids))
