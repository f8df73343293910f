"""Fetch a file over HTTP, going on where an earlier attempt broke off."""

import http.client
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.reproduce.check_data import check_bytes
from diffmask.reproduce.sources import SourceFile

_CHUNK = 1 << 16
_TIMEOUT = 60  # seconds without a byte


def download(url: str, path: Path, file: SourceFile, *, title: str) -> None:
    """Fetch a file to a path, unless it is there; what arrived of it is kept beside it as NAME.part.

    Raises:
        InputError: If it cannot be fetched, or is not the file that was published.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        _receive(url, part, file, title)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, PermissionError):
            raise
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise InputError(
            f"cannot fetch {url} ({error}); start this again to go on where it stopped, or get the files in another "
            "way and give their folder with --from"
        ) from error
    try:
        check_bytes(part.read_bytes(), file, part)
    except InputError:
        # what is wrong is not gone on with
        part.unlink()
        raise
    os.replace(part, path)


def _receive(url: str, part: Path, file: SourceFile, title: str) -> None:
    start = part.stat().st_size if part.exists() else 0
    if start == file.num_bytes:
        return
    if start > file.num_bytes:
        start = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        # a server that knows no ranges sends all of it
        goes_on = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        num_received = start if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else num_received + int(length)
        with part.open("ab" if goes_on else "wb") as output:
            while chunk := answer.read(_CHUNK):
                output.write(chunk)
                num_received += len(chunk)
                _show(title, num_received, total)
        if total is not None and num_received < total:
            raise http.client.IncompleteRead(b"", total - num_received)
    print(f"{title}: {num_received / 1e6:.1f} MB", file=sys.stderr)


def _show(title: str, num_received: int, total: int | None) -> None:
    if sys.stderr.isatty() and total:
        print(f"\r{title}: {100 * num_received / total:3.0f} %", end="\r", file=sys.stderr, flush=True)
