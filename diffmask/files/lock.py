"""Locks between processes: files that the system frees when a holder dies; one works, others wait or are refused."""

import errno
import fcntl
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.core.processes import refuse_in_child

LOCK_FILE = ".lock"
"""Name of the lock of a folder, in it."""
POLL_SECONDS = 0.1
SILENT_SECONDS = 5.0
"""After which one who waits says for whom."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
"""What a file system says that knows no locks."""

logger = logging.getLogger(__name__)
_held: set[int] = set()


def _let_go() -> None:
    """In a forked child: the lock is its parent's, and must not outlive it."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def locked(folder: Path, remedy: str = "give another folder with -o") -> Iterator[None]:
    """Keep other processes out of a folder, which is made where it is missing, and removed again if it stays empty.

    Args:
        folder: The folder.
        remedy: What else to do than to wait, for the message.

    Raises:
        InputError: If another process works there.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with _hold(folder / LOCK_FILE, folder, remedy):
        try:
            yield
        finally:
            if made and os.listdir(folder) == [LOCK_FILE]:
                (folder / LOCK_FILE).unlink()
                for each in made:
                    each.rmdir()


@contextmanager
def waited_for(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which lies beside it; wait for a process that holds it, and say so after some seconds.

    Args:
        path: What is locked; its folder exists.
    """
    with _hold(path.with_suffix(".lock"), path, None):
        yield


@contextmanager
def _hold(path: Path, what: Path, remedy: str | None) -> Iterator[None]:
    """Hold a lock; without a remedy, wait for it."""
    refuse_in_child()  # its parent may hold the lock, and wait for it
    handle = _take(path, what, remedy)
    _held.add(handle)
    try:
        with suppress(OSError):  # a full disk has no room for who we are, which others are told; the lock is held
            os.truncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {platform.node()}".encode(), 0)
        yield
    finally:
        if handle in _held:  # a fork has let go of it
            _held.discard(handle)
            os.close(handle)


def _take(path: Path, what: Path, remedy: str | None) -> int:
    """Return the open file of a lock once it is ours."""
    began, told = time.monotonic(), False
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "not known which"
            os.close(handle)
            if remedy is not None:
                raise InputError(f"another process is using {what} ({holder}); wait for it, or {remedy}") from error
            if not told and time.monotonic() - began >= SILENT_SECONDS:
                logger.warning("waiting for another process (%s) that works on %s", holder, what)
                told = True
            time.sleep(POLL_SECONDS)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(handle)
                raise
            logger.warning("%s cannot be locked (%s); let no other process work there", what, error.strerror)
            return handle
        else:
            if _is_at(path, handle):
                return handle
            os.close(handle)  # its last holder has removed it meanwhile


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False
