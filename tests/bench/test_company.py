"""Whether other programs ran beside a measurement."""

import subprocess
import sys
import time

import pytest

from diffmask import bench
from diffmask.bench import watch_company

BUSY = "import time\nwhile time.process_time() < 0.4: pass"


def test_other_programs_are_noticed():
    with watch_company() as company:
        # its parent ends at once, so that it is nobody's child
        subprocess.run(["sh", "-c", f'"{sys.executable}" -c "{BUSY}" >/dev/null 2>&1 & sleep 1'], check=True)
    assert company.cores > 0.2
    assert "cores busy meanwhile" in company.sentence()


@pytest.mark.parametrize(("everybody", "said"), [(10.05, False), (11.0, True)])
def test_only_what_others_used_counts(monkeypatch, everybody, said):
    ours, all_of_them, now = iter([5.0, 15.0]), iter([100.0, 100.0 + everybody]), iter([0.0, 5.0])
    monkeypatch.setattr(bench, "_our_seconds", lambda: next(ours))
    monkeypatch.setattr(bench, "_all_seconds", lambda: next(all_of_them))
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(now))
    with watch_company() as company:
        pass
    assert company.cores == pytest.approx((everybody - 10) / 5)
    assert (company.sentence() is not None) == said


def test_our_own_processes_are_not_company():
    before = bench._our_seconds()
    child = subprocess.Popen([sys.executable, "-c", BUSY + "\ninput()"], stdin=subprocess.PIPE, text=True)
    while bench._our_seconds() - before < 0.4:
        assert child.poll() is None
        time.sleep(0.01)
    child.communicate("\n")
    assert bench._our_seconds() - before >= 0.4
