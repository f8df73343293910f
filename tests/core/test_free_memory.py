import psutil
import pytest

from diffmask.core.machine import free_memory
from diffmask.evaluate.methods.video import _empty_tokens

GIB = 2**30


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
    return path


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 8 GiB that can be taken, most of them cache, and no groups."""
    sizes = {"MemTotal": 16777216, "MemFree": 262144, "MemAvailable": 8388608, "Cached": 8000000}
    sizes |= dict.fromkeys(("Buffers", "Shmem", "Active", "Inactive"), 0)
    write(tmp_path / "meminfo", "\n".join(f"{name}: {size} kB" for name, size in sizes.items()))
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    return tmp_path / "cgroup", tmp_path / "own"


def test_the_cache_of_files_is_free(machine):
    assert free_memory(*machine) == 8 * GIB


def test_the_tokens_may_take_the_cache(machine, monkeypatch):
    monkeypatch.setattr("diffmask.evaluate.methods.video.free_memory", lambda: free_memory(*machine))
    assert _empty_tokens(300, 1568, 768).numel() == 300 * 1568 * 768  # 0.7 GiB, more than MemFree


def test_a_group_of_version_2_has_its_limit(machine):
    groups, own = machine
    write(own, "0::/jobs/mine")
    write(groups / "jobs/mine/memory.max", "max")
    write(groups / "jobs/mine/memory.current", GIB)
    assert free_memory(*machine) == 8 * GIB
    write(groups / "jobs/memory.max", 4 * GIB)
    write(groups / "jobs/memory.current", 3 * GIB)
    assert free_memory(*machine) == GIB, "the limit of the group that it lies in"
    write(groups / "jobs/mine/memory.max", 3 * GIB // 2)
    assert free_memory(*machine) == GIB // 2
    write(groups / "jobs/mine/memory.stat", f"anon 5\nactive_file 7\ninactive_file {GIB // 4}")
    assert free_memory(*machine) == 3 * GIB // 4


def test_a_container_sees_its_own_group_at_the_root(machine):
    groups, own = machine
    write(own, "0::/jobs/unseen")
    write(groups / "memory.max", 2 * GIB)
    write(groups / "memory.current", GIB)
    assert free_memory(*machine) == GIB


@pytest.mark.parametrize("place", ["memory/jobs", "memory", "jobs"])
def test_a_group_of_version_1_has_its_limit(machine, place):
    groups, own = machine
    write(own, "5:cpu,cpuacct:/other\n4:memory:/jobs")
    write(groups / place / "memory.limit_in_bytes", 2**63 - 4096)
    write(groups / place / "memory.usage_in_bytes", GIB)
    assert free_memory(*machine) == 8 * GIB
    write(groups / place / "memory.limit_in_bytes", 3 * GIB)
    assert free_memory(*machine) == 2 * GIB
    write(groups / place / "memory.stat", f"total_inactive_file {GIB}")
    assert free_memory(*machine) == 3 * GIB


def test_a_group_over_its_limit_has_nothing_left(machine):
    groups, own = machine
    write(own, "0::/")
    write(groups / "memory.max", GIB)
    write(groups / "memory.current", 2 * GIB)
    assert free_memory(*machine) == 0


def test_this_machine_has_memory():
    free = free_memory()
    assert 0 < free < 2**50
