"""Jobs as real processes: order, failures, and what becomes of them when the one that started them ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from diffmask.core.errors import InputError
from diffmask.reproduce.runner import Job, JobError, Runner, locked


def count_job(folder, name, needs=(), text="we found the kinase"):
    (folder / f"{name}.txt").write_text(text)
    done = folder / f"{name}.parquet"
    return Job(name, ("count", str(folder / f"{name}.txt"), "-o", str(done)), done, needs)


def run(jobs, folder, num_processes=1):
    told = []
    Runner(jobs, folder, num_processes, lambda job, what: told.append((job.name, what))).run()
    return told


def test_jobs_run_after_what_they_need_and_not_twice(tmp_path):
    jobs = [count_job(tmp_path, "last", ("first",)), count_job(tmp_path, "first")]
    assert run(jobs, tmp_path) == [("first", "started"), ("first", "done"), ("last", "started"), ("last", "done")]
    assert run(jobs, tmp_path) == []
    jobs[0].done.unlink()
    assert run(jobs, tmp_path) == [("last", "started"), ("last", "done")]
    assert (tmp_path / "logs" / "last.log").exists()


def test_several_at_a_time(tmp_path):
    told = run([count_job(tmp_path, name) for name in "abc"], tmp_path, num_processes=2)
    assert {told[0][1], told[1][1]} == {"started"} and sorted(name for name, what in told if what == "done") == list(
        "abc"
    )


def test_what_a_command_refuses_is_said(tmp_path):
    with pytest.raises(InputError, match=r"^empty was refused: .*empty.txt is empty"):
        run([count_job(tmp_path, "empty", text="")], tmp_path)


def test_a_job_that_leaves_nothing_has_failed(tmp_path):
    job = Job("silent", ("--version",), tmp_path / "never")
    with pytest.raises(JobError, match=r"silent failed \(exit status 0: diffmask .*\); its output is in .*silent.log"):
        run([job], tmp_path)


def test_a_second_process_is_kept_out(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="another process is using"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


CHILD = """
import sys
from pathlib import Path
from diffmask.reproduce.runner import Job
from diffmask.reproduce.runner import Runner
folder = Path(sys.argv[1])
job = Job("long", ("count", str(folder / "pipe.txt"), "-o", str(folder / "out.parquet")), folder / "out.parquet")
Runner([job], folder, 1, lambda job, what: print(what, flush=True)).run()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the job")
def test_jobs_end_with_the_process_that_started_them(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")  # whose reader waits for ever
    parent = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "started\n"
    (child,) = children_of(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 20
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(child)


def children_of(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True)
    return [int(word) for word in found.stdout.split()]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
