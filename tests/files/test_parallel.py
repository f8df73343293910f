"""Several processes: results in order, and a sentence in the place of a wait without end or a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from diffmask.core.errors import InputError
from diffmask.core.processes import check_guard
from diffmask.files.parallel import map_ordered

REPO = Path(__file__).parents[2]
WORK = """\
from diffmask.files.parallel import map_ordered


def double(value):
    return 2 * value


"""


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def run(tmp_path, text):
    script = tmp_path / "script.py"
    script.write_text(WORK + text)
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_killed_process_is_one_sentence():
    with pytest.raises(InputError, match="one of 2 processes was ended from outside .* the memory ran out; give a"):
        list(map_ordered(die, range(4), 2))


def test_a_script_with_a_guard_works(tmp_path):
    done = run(tmp_path, "if __name__ == '__main__':\n    print(list(map_ordered(double, range(3), 2)))\n")
    assert done.stdout == "[(0, 0), (1, 2), (2, 4)]\n", done.stderr


def test_a_script_without_a_guard_is_refused_at_once(tmp_path):
    done = run(tmp_path, "print(list(map_ordered(double, range(3), 2)))\n")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "diffmask.core.errors.InputError: num_processes=2 starts this script again in each process, where it would do "
        'its work a second time; put what the script does under `if __name__ == "__main__":`, or ask for no other '
        "processes"
    )
    assert run(tmp_path, "print(list(map_ordered(double, range(3), 1)))\n").stdout == "[(0, 0), (1, 2), (2, 4)]\n"


def test_work_beside_a_guard_ends_too(tmp_path):
    done = run(tmp_path, "list(map_ordered(double, range(3), 2))\nif __name__ == '__main__':\n    pass\n")
    assert done.returncode == 1
    assert "asking for processes starts this script again in each process" in done.stderr


def test_modules_that_only_define_need_no_guard(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(WORK)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    check_guard("num_processes=2")
    script.write_text(WORK + "print(1)\n")
    with pytest.raises(InputError, match="num_processes=2 starts this script again"):
        check_guard("num_processes=2")
    script.write_text("not python at all")
    check_guard("num_processes=2")
