"""Locks: one process works in a folder, and a lock neither outlives its holder nor lives on in a fork."""

import logging
import os
import signal
import threading

import pytest
from support.processes import Process

import diffmask.files.lock as module
from diffmask.core.errors import InputError
from diffmask.files.lock import locked, waited_for


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_second_is_refused_at_once_and_told_who_works_there(tmp_path):
    with locked(tmp_path), pytest.raises(InputError) as caught, locked(tmp_path, "set output=... to another"):
        pass
    assert str(caught.value) == (
        f"another process is using {tmp_path} (process {os.getpid()} on {os.uname().nodename}); wait for it, or set "
        "output=... to another"
    )
    with locked(tmp_path):
        pass


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "runs" / "a"):
        raise KeyError
    assert names(tmp_path) == []
    with locked(tmp_path / "runs" / "a"):
        (tmp_path / "runs" / "a" / "result").touch()
    assert names(tmp_path / "runs" / "a") == [".lock", "result"]


def hold_and_fork(folder):
    with locked(folder):
        if os.fork() == 0:
            signal.pause()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_fork_does_not_keep_the_lock_of_a_process_that_was_killed(tmp_path):
    assert Process(hold_and_fork, tmp_path).wait().returncode == -signal.SIGKILL
    with locked(tmp_path):
        pass


def test_one_who_waits_says_for_whom(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
    caplog.set_level(logging.WARNING)
    told, done = threading.Event(), threading.Event()
    monkeypatch.setattr(module.logger, "warning", lambda *words: (told.set(), caplog.messages.append(words)))

    def wait():
        with waited_for(tmp_path / "rows.arrow"):
            done.set()

    with waited_for(tmp_path / "rows.arrow"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert told.wait(10) and not done.is_set()
    assert done.wait(10)
    thread.join()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
