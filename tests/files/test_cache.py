"""The cache of tokenised rows: shared, interrupted, damaged, and on a full disk."""

import errno
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import threading
import time

import pyarrow
import pytest

from diffmask.core.errors import InputError
from diffmask.files.cache import load_or_make

SCHEMA = pyarrow.schema([("x", pyarrow.int64())])


def fill(write):
    for start in range(0, 6000, 1000):
        write(pyarrow.RecordBatch.from_pydict({"x": list(range(start, start + 1000))}, schema=SCHEMA))
    return {"rows": 6000}


def draft_of(process):
    return f".numbers.arrow.{platform.node()}-{process}.partial"


def names(folder):
    """Return the names in a folder, without the part of a draft's that cannot be guessed."""
    return sorted(re.sub(r"-[0-9a-f]{16}\.partial$", ".partial", path.name) for path in folder.iterdir())


def test_rows_are_made_once(tmp_path):
    for make in (fill, None):
        rows, record = load_or_make(tmp_path, "numbers", SCHEMA, make)
        assert rows["x"][:] == list(range(6000))
        assert record == {"rows": 6000}
    assert names(tmp_path) == ["numbers.arrow", "numbers.json", "numbers.lock"]


@pytest.mark.parametrize("damage", ["cut", "changed", "record", "no record", "other record"])
def test_a_damaged_file_is_made_again(tmp_path, caplog, damage):
    load_or_make(tmp_path, "numbers", SCHEMA, fill)
    arrow, record = tmp_path / "numbers.arrow", tmp_path / "numbers.json"
    content = arrow.read_bytes()
    if damage == "cut":
        arrow.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        arrow.write_bytes(content[:3000] + bytes([content[3000] ^ 1]) + content[3001:])
    elif damage == "record":
        record.write_text('{"check": ')
    elif damage == "other record":
        record.write_text("[]")
    else:
        record.unlink()
    rows, _ = load_or_make(tmp_path, "numbers", SCHEMA, fill)
    assert arrow.read_bytes() == content
    assert len(rows) == 6000
    assert (f"{arrow} is damaged and is made again" in caplog.text) == (damage != "no record")


def test_runs_at_the_same_time_share_the_work(tmp_path):
    began, may_end, calls, found = threading.Event(), threading.Event(), [], []

    def slow(write):
        calls.append(1)
        began.set()
        may_end.wait(10)
        return fill(write)

    def run():
        found.append(load_or_make(tmp_path, "numbers", SCHEMA, slow)[0]["x"][:])

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert began.wait(10)
    time.sleep(0.1)
    assert names(tmp_path) == [draft_of(os.getpid()), "numbers.lock"]
    may_end.set()
    for thread in threads:
        thread.join()
    assert calls == [1]
    assert found == [list(range(6000))] * 3


KILLED = """
import pathlib, sys, time
import pyarrow
from diffmask.files.cache import load_or_make
schema = pyarrow.schema([("x", pyarrow.int64())])
def fill(write):
    write(pyarrow.RecordBatch.from_pydict({"x": list(range(100_000))}, schema=schema))
    print("writing", flush=True)
    time.sleep(60)
load_or_make(pathlib.Path(sys.argv[1]), "numbers", schema, fill)
"""


def test_a_killed_run_leaves_nothing_that_is_taken_for_rows_and_the_next_one_tidies_up(tmp_path):
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "writing\n"
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert names(tmp_path) == [draft_of(run.pid), "numbers.lock"]
    rows, _ = load_or_make(tmp_path, "numbers", SCHEMA, fill)
    assert len(rows) == 6000
    assert names(tmp_path) == ["numbers.arrow", "numbers.json", "numbers.lock"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the system refuses to write more, as on a full disk
    try:
        with pytest.raises(InputError) as error:
            load_or_make(tmp_path, "numbers", SCHEMA, fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    sentence = str(error.value)
    assert sentence.startswith(f"{tmp_path}/numbers.arrow could not be written (File too large): the disk mounted at /")
    assert sentence.endswith(
        "no part of it is left; make room on the disk, then give the same command again or name another cache folder"
    )
    assert names(tmp_path) == ["numbers.lock"]


def test_the_last_bytes_may_be_those_that_do_not_fit(tmp_path):
    load_or_make(tmp_path, "numbers", SCHEMA, fill)
    num_bytes = (tmp_path / "numbers.arrow").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for missing in (1, 8, 9, 500):
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes - missing, hard))
        try:
            with pytest.raises(
                InputError, match=r"could not be written \(File too large\): .* make room .* another cache"
            ):
                load_or_make(tmp_path, "other", SCHEMA, fill)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not (tmp_path / "other.arrow").exists()


def test_another_error_of_the_system_is_not_called_a_full_disk(tmp_path):
    def broken(_):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        load_or_make(tmp_path, "numbers", SCHEMA, broken)
    assert names(tmp_path) == ["numbers.lock"]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for folder in (file, file / "below"):
        with pytest.raises(InputError) as error:
            load_or_make(folder, "numbers", SCHEMA, fill)
        assert str(error.value) == f"the cache folder {folder} is not a folder; name another one"


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)  # a mode would not stop the root of a container
    with pytest.raises(InputError) as error:
        load_or_make(tmp_path, "numbers", SCHEMA, fill)
    assert str(error.value) == f"the cache folder {tmp_path} may not be written; name another one"


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EROFS, "the cache folder {} may not be written; name another one"),
        (errno.ENOSPC, "{} could not be written .No space left on device.: the disk .* or name another cache folder"),
    ],
)
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch, number, sentence):
    def refuse(self, *_, **__):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(InputError, match=sentence.format(tmp_path / "cache")):
        load_or_make(tmp_path / "cache", "numbers", SCHEMA, fill)


def test_a_lock_is_held_where_a_full_disk_has_no_room_for_its_holder(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    assert len(load_or_make(tmp_path, "numbers", SCHEMA, fill)[0]) == 6000
