"""What a command does before its work: how it is interrupted, and what it tells the libraries that it loads."""

import logging
import os
import subprocess
import sys

import pytest

from diffmask.cli import main
from diffmask.core.processes import num_cores


def diffmask(*words, path="", **environment):
    found = [path, *(folder for folder in sys.path if folder)]
    given = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    environment = given | {"PYTHONPATH": os.pathsep.join(map(str, found))} | environment
    command = [sys.executable, "-m", "diffmask", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_interrupt_while_libraries_load_is_one_word(tmp_path):
    # stands in for a library that takes its time, and is interrupted meanwhile
    (tmp_path / "tqdm.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemExit('loaded')\n"
    )
    (tmp_path / "corpus.txt").write_text("some words\n")
    done = diffmask("count", tmp_path / "corpus.txt", "-o", tmp_path / "counts.parquet", path=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
    assert not (tmp_path / "counts.parquet").exists()


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, f"passive {num_cores()}"),
        ({"OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "1"}, "active 1"),
    ],
)
def test_threads_wait_without_spinning_unless_the_user_wants_it(tmp_path, given, seen):
    (tmp_path / "tqdm.py").write_text(
        "import os\nraise SystemExit(os.environ['OMP_WAIT_POLICY'] + ' ' + os.environ['OMP_NUM_THREADS'])\n"
    )
    (tmp_path / "corpus.txt").write_text("some words\n")
    done = diffmask("count", tmp_path / "corpus.txt", "-o", tmp_path / "counts.parquet", path=tmp_path, **given)
    assert done.stderr.strip() == seen


def test_what_is_logged_is_shown_once(tmp_path, monkeypatch, capsys):
    def run(args):
        for name in ("a", "b", "a"):
            logging.getLogger("diffmask.files").info("read column %r", name)

    monkeypatch.setattr("diffmask.cli.policies.run", run)
    assert main(["policies"]) == 0
    assert capsys.readouterr().err == "read column 'a'\nread column 'b'\n"
