import errno
import os
import platform
import re
import resource
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from diffmask.core.errors import InputError
from diffmask.files.folders import draft, write_text, writing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def make(path, kind, content="new"):
    if kind == "folder":
        path.mkdir()
        path = path / "content.txt"
    path.write_text(content)


def read(path):
    return (path / "content.txt" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("replaced", [False, True])
def test_it_gets_its_name_once_it_is_whole(tmp_path, kind, replaced):
    path = tmp_path / "out"
    if replaced:
        make(path, kind, "old")
    with draft(path) as new:
        make(new, kind)
        assert new.parent == tmp_path and new != path
        assert path.exists() == replaced
    assert read(path) == "new"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_one_that_fails_goes_away_and_what_was_there_stays(tmp_path, kind, error):
    path = tmp_path / "out"
    make(path, kind, "old")
    with pytest.raises(type(error)), draft(path) as new:
        make(new, kind)
        raise error
    assert read(path) == "old"
    assert names(tmp_path) == ["out"]


def test_where_nothing_is_written_nothing_is_renamed(tmp_path):
    write_text(tmp_path / "out", "old")
    with draft(tmp_path / "out"):
        pass
    assert read(tmp_path / "out") == "old"


def test_a_relative_path_means_the_folder_it_was_given_in(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with draft("out") as new:
        monkeypatch.chdir(tmp_path / "elsewhere")
        new.write_text("new")
    assert read(tmp_path / "out") == "new"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_drafts_of_killed_processes_of_this_machine_are_removed(tmp_path, kind):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    here = platform.node()
    kept = [
        f".out.elsewhere-{done.pid}.partial",  # of another machine
        f".out.{here}-{os.getppid()}.partial",  # of a process that is alive
        f".other.{here}-{done.pid}.partial",  # of another name
    ]
    for name in (f".out.{here}-{done.pid}.partial", *kept):
        make(tmp_path / name, kind)
    with draft(tmp_path / "out") as new:
        make(new, kind)
    assert names(tmp_path) == sorted([*kept, "out"])


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file: No space left on device"),
    ],
)
def test_a_full_disk_is_one_sentence(tmp_path, error):
    with pytest.raises(InputError) as caught, draft(tmp_path / "out", "start it again") as new:
        new.write_text("half")
        raise error
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path}/out could not be written (")
    assert "No space left on device): the disk mounted at /" in sentence
    assert re.search(
        "has [0-9,]+ bytes free, and no part of it is left; make room on the disk, then start it again$", sentence
    )
    assert not names(tmp_path)


def test_a_full_disk_names_itself_and_what_is_still_there(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_files=9, f_favail=9, f_bavail=3, f_frsize=4096))
    (tmp_path / "out").write_text("before")
    with pytest.raises(InputError) as caught, draft(tmp_path / "out") as new:
        new.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value) == (
        f"{tmp_path}/out could not be written (No space left on device): the disk mounted at {tmp_path} has 12,288 "
        "bytes free, and what had that name before is still there; make room on the disk, then give the same command "
        "again"
    )
    assert (tmp_path / "out").read_text() == "before"
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_files=9, f_favail=0, f_bavail=3, f_frsize=4096))
    with pytest.raises(InputError, match="has no room for more files, and"), writing(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_torch_cannot_write_is_a_full_disk(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(InputError, match="torch could not write all of it.: the disk"), writing(tmp_path / "out"):
            torch.save(torch.zeros(100_000), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_error_that_follows_from_a_full_disk_is_one(tmp_path):
    with pytest.raises(InputError, match="No space left on device"), writing(tmp_path / "out"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("the data set could not be made") from error


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), RuntimeError("shapes differ")])
def test_another_error_is_not_called_a_full_disk(tmp_path, error):
    with pytest.raises(type(error), match=str(error.args[-1])), writing(tmp_path / "out"):
        raise error


def test_a_name_that_nobody_can_guess(tmp_path):
    with draft(tmp_path / "out") as first, draft(tmp_path / "out") as second:
        assert first != second


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_files_get_the_mode_of_the_umask(tmp_path, kind):
    before = os.umask(0o027)
    try:
        with draft(tmp_path / "out") as new:
            make(new, kind)
            ((new / "content.txt") if kind == "folder" else new).chmod(0o600)  # as safetensors writes them
    finally:
        os.umask(before)
    path = tmp_path / "out" / "content.txt" if kind == "folder" else tmp_path / "out"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["out"]


def test_what_has_its_name_is_on_the_disk(tmp_path, monkeypatch):
    flushed = []
    flush = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (flushed.append(os.readlink(f"/proc/self/fd/{handle}")), flush(handle))
    )
    with draft(tmp_path / "out") as new:
        make(new, "folder")
    assert [os.path.basename(path) for path in flushed] == ["content.txt", new.name, tmp_path.name]
