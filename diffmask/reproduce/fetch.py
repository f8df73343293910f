"""Prepare the public data sets of the experiments, from files that the user has or from their original source.

    tools/fetch_data                        what there is to fetch, from where and how large; fetches nothing
    tools/fetch_data --download             fetch and prepare all of them
    tools/fetch_data acl-arc --from FILES   prepare one from files that are there

Writes DATA/NAME/train.jsonl, dev.jsonl and test.jsonl, lines of {"text", "label"}. Files are checked by their sha256 or
their contents before anything is written, and a data set is there whole or not at all. A download that broke off
continues where it stopped. Needs nothing but Python 3.11: it can run before diffmask is installed.
"""

import argparse
import hashlib
import http.client
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmask.core.errors import InputError
from diffmask.files.folders import draft

SPLITS = ("train", "dev", "test")
COMMIT = "06793f77d7278898159ed50da30d173cdc8fdea9"
BASE = f"https://raw.githubusercontent.com/allenai/scibert/{COMMIT}/data/text_classification"


@dataclass(frozen=True)
class _SourceFile:
    """One file of a data set: lines of JSON, each with a text and a label.

    Attributes:
        num_bytes: Size of the file, shown before anything is fetched.
        num_rows: Number of texts.
        sha256: Hash of its bytes; None if only its contents are known.
        num_in_train: Without a sha256: number of texts that also occur, word for word, in the training file.
    """

    num_bytes: int
    num_rows: int
    sha256: str | None = None
    num_in_train: int | None = None


@dataclass(frozen=True)
class _DataSet:
    """A data set as it was distributed with SciBERT.

    Attributes:
        title: Name of the data set, and its task.
        path: Folder at the source.
        labels: Number of labels.
        files: The file of each split.
        note: Whom its authors ask to be cited.
    """

    title: str
    path: str
    labels: int
    files: Mapping[str, _SourceFile]
    note: str


DATA_SETS = {
    "chemprot": _DataSet(
        "ChemProt: relations of chemicals and proteins",
        "chemprot",
        13,
        {
            "train": _SourceFile(1121208, 4169, "ab17b85c4fb869b2338d7c9617414e63f3c7225e5005920b18d9cd996f1049d8"),
            "dev": _SourceFile(678657, 2427, "bfe8f39e5146ad4bb16b23707dade850546a305047bc666f6f6824c6a7e3df2f"),
            "test": _SourceFile(960369, 3469, "372249c85ffea6d9a18dc5168cf45841b3d79b03412d6c620381cfc0dd3d6d49"),
        },
        "Kringelum et al. 2016",
    ),
    "sciie": _DataSet(
        "SciIE: relations of scientific terms",
        "sciie-relation-extraction",
        7,
        {
            "train": _SourceFile(823836, 3219, "83d395d97de2c02dcb4898af3c6e34b5f5aa19771298fbc9f69ae435fa1258fb"),
            "dev": _SourceFile(118354, 455, "9500a8e561f1ce50d972b8473525fe24ebae732bde653c381a4c65945965567a"),
            "test": _SourceFile(249465, 974, "be4c06d2b8903783818a5e4cba08c71b954a86f00021907706f66ac3e26c58bd"),
        },
        "Luan et al. 2018",
    ),
    # No copy was at hand to take hashes from. What is known of its contents is checked instead: rows, labels, and how
    # many texts also occur in the training file, which another version or another split would not share.
    "acl-arc": _DataSet(
        "ACL-ARC: intents of citations",
        "citation_intent",
        6,
        {
            "train": _SourceFile(465895, 1688),
            "dev": _SourceFile(30138, 114, num_in_train=43),
            "test": _SourceFile(38637, 139, num_in_train=52),
        },
        "Jurgens et al. 2018",
    ),
}


Rows = dict[str, list[tuple[str, str]]]
"""The texts and labels of each split."""


def _check_bytes(content: bytes, file: _SourceFile, path: Path) -> None:
    """Refuse a file that has another sha256 than the published one, if that is known."""
    found = hashlib.sha256(content).hexdigest()
    if file.sha256 is not None and found != file.sha256:
        raise InputError(
            f"{path} is not the published file: its sha256 is {found[:12]}... and not {file.sha256[:12]}... "
            f"({len(content):,} of {file.num_bytes:,} bytes); nothing was written, get the file again"
        )


def _read_rows(content: bytes, path: Path) -> list[tuple[str, str]]:
    """Return the texts and labels of lines of JSON."""
    rows = []
    # not splitlines: a text may hold a line separator of Unicode
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
                rows.append((row["text"], row["label"]))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f'{path}: line {number} is not {{"text": ..., "label": ...}} in JSON; get the file again'
                ) from error
    return rows


def _check_rows(name: str, rows: Rows) -> None:
    """Refuse other numbers of texts, labels, or texts that also occur in the training split, than are known."""
    data_set = DATA_SETS[name]
    training = {text for text, _ in rows["train"]}
    facts = [(f"{split} texts", len(rows[split]), data_set.files[split].num_rows) for split in SPLITS]
    facts += [("labels", len({label for split in SPLITS for _, label in rows[split]}), data_set.labels)]
    for split in SPLITS:
        num_known = data_set.files[split].num_in_train
        if num_known is not None:
            num_found = sum(text in training for text, _ in rows[split])
            facts.append((f"{split} texts that also occur in train", num_found, num_known))
    for what, found, known in facts:
        if found != known:
            raise InputError(f"these are not the files of {name}: {found:,} {what}, and not {known:,}; get them again")


_CHUNK = 1 << 16
_TIMEOUT = 60  # seconds without a byte
_MOST_SECONDS = 3600
_SPARE_BYTES = 1 << 20
"""What a mirror may send beyond twice the size that is known."""


def _check_url(url: str) -> None:
    """Refuse an address that is not https; of this machine, where nobody listens in, http will do.

    Raises:
        InputError: If it is another.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        parts, is_here = urllib.parse.urlsplit(""), False
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_here)):
        raise InputError(f"{url} is no https address; give one with --url, or the folder of the files with --from")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another https address, and to no other."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: urllib.request.Request) -> Any:
    """Open an address of the web; unlike `urllib.request.urlopen`, no file and no FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(), _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener.open(request, timeout=_TIMEOUT)


def _download(url: str, path: Path, file: _SourceFile, *, title: str) -> None:
    """Fetch a file, unless it is there; what has arrived is kept beside it as NAME.part, to continue from."""
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
            f"cannot fetch {url} ({error}); give the same command again to continue where it stopped, or get the files "
            "in another way and give their folder with --from"
        ) from error
    try:
        _check_bytes(part.read_bytes(), file, part)
    except InputError:
        part.unlink()  # the next attempt must not continue from a wrong file
        raise
    os.replace(part, path)


def _receive(url: str, part: Path, file: _SourceFile, title: str) -> None:
    start = part.stat().st_size if part.exists() else 0
    if start == file.num_bytes:
        return
    if start > file.num_bytes:
        start = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    most, until = 2 * file.num_bytes + _SPARE_BYTES, time.monotonic() + _MOST_SECONDS
    with _open(request) as answer:
        # a server that does not support ranges sends the whole file again
        is_rest = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        num_received = start if is_rest else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else num_received + int(length)
        with part.open("ab" if is_rest else "wb") as output:
            while chunk := answer.read(_CHUNK):
                output.write(chunk)
                num_received += len(chunk)
                if num_received > most:
                    raise InputError(
                        f"{url} sends more than {most / 1e6:.1f} MB, and {title} has {file.num_bytes / 1e6:.1f} MB; "
                        "give another address with --url, or the folder of the files with --from"
                    )
                if time.monotonic() > until:
                    raise TimeoutError(f"it took longer than {_MOST_SECONDS / 3600:g} hours")
                _show(title, num_received, total)
        if total is not None and num_received < total:
            raise http.client.IncompleteRead(b"", total - num_received)
    print(f"{title}: {num_received / 1e6:.1f} MB", file=sys.stderr)


def _show(title: str, num_received: int, total: int | None) -> None:
    if sys.stderr.isatty() and total:
        print(f"\r{title}: {100 * num_received / total:3.0f} %", end="\r", file=sys.stderr, flush=True)


_SUFFIXES = (".txt", ".jsonl")


def main(arguments: list[str] | None = None) -> int:
    """Prepare the data sets that are named; without a source, say what could be fetched."""
    parser = argparse.ArgumentParser(
        prog="fetch_data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DATA_SETS)} (default: all)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--from", dest="folder", type=Path, metavar="FOLDER", help="folder that holds the files")
    source.add_argument("--download", action="store_true", help="fetch them from where they were published")
    parser.add_argument("--url", default=BASE, help="with --download: a mirror of the source")
    default = Path(os.environ.get("DIFFMASK_DATA") or "data")
    parser.add_argument(
        "--data", type=Path, default=default, metavar="DATA", help="where to write (default: $DIFFMASK_DATA, or data)"
    )
    options = parser.parse_args(arguments)
    try:
        names = _known(options.names)
        if options.folder is None and not options.download:
            print(_plan(names, options.url, options.data), file=sys.stderr)
            return 2
        if options.folder is None:
            _check_url(options.url)
        for name in names:
            print(_prepare(name, options.data, folder=options.folder, url=options.url), flush=True)
    except InputError as error:
        print(f"fetch_data: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"fetch_data: {error.strerror or error}{where}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return 130
    return 0


def _plan(names: list[str], url: str, data: Path) -> str:
    """Say what would be fetched, from where, and how large it is."""
    lines = []
    for name in names:
        data_set = DATA_SETS[name]
        size = sum(file.num_bytes for file in data_set.files.values()) / 1e6
        rows = "/".join(f"{data_set.files[split].num_rows:,}" for split in SPLITS)
        lines.append(f"  {name}: {data_set.title} ({data_set.note}), {rows} texts, {size:.1f} MB")
        lines.append(f"    {url}/{data_set.path}/{{train,dev,test}}.txt")
    return "\n".join(
        [
            f"Nothing is downloaded without being asked for. With --download these files are downloaded to {data}:",
            *lines,
            "Or give the folder that holds them: --from FOLDER. Their owners' terms of use apply.",
        ]
    )


def _prepare(name: str, data: Path, *, folder: Path | None, url: str = BASE) -> str:
    """Check and write one data set, and return a line that says what was done.

    Args:
        name: A key of `DATA_SETS`.
        data: Folder in which the data set gets a folder of its own.
        folder: Folder that holds the files; None downloads them.
        url: Address to download from.
    """
    data_set, target = DATA_SETS[name], data / name
    if target.exists():
        _check_there(name, target)
        return f"{target} is there already"
    waiting = data / f".{name}.download"
    try:
        data.mkdir(parents=True, exist_ok=True)
        paths = _fetch(name, waiting, url) if folder is None else _find_files(name, data_set, folder)
        rows = _checked(name, paths)
        _write(rows, target)
        shutil.rmtree(waiting, ignore_errors=True)
    except PermissionError as error:
        raise InputError(
            f"{error.filename} may not be read or written by this user; change its owner, or give another folder "
            "with --data"
        ) from error
    return f"wrote {target}: {', '.join(f'{len(rows[split]):,} {split}' for split in SPLITS)}"


def _find_files(name: str, data_set: _DataSet, folder: Path) -> dict[str, Path]:
    """Return the file of each split: in the folder itself, or where it is in a copy of the original repository."""
    inside = [folder / name, folder / data_set.path, folder / "data" / "text_classification" / data_set.path, folder]
    for place in inside:
        found = {
            split: path for split in SPLITS for suffix in _SUFFIXES if (path := place / f"{split}{suffix}").is_file()
        }
        if len(found) == len(SPLITS):
            return found
    raise InputError(
        f"{folder} holds no files of {name}; give a folder with train, dev and test as .txt or .jsonl, "
        f"or with such a folder named {name} or {data_set.path}"
    )


def _known(names: list[str]) -> list[str]:
    for name in names:
        if name not in DATA_SETS:
            raise InputError(f"unknown data set {name!r}; choose from: {', '.join(DATA_SETS)}")
    return names or list(DATA_SETS)


def _fetch(name: str, waiting: Path, url: str) -> dict[str, Path]:
    """Download the files of a data set and return where they are until they are checked; wrong ones are not kept."""
    data_set = DATA_SETS[name]
    paths = {split: waiting / f"{split}.txt" for split in SPLITS}
    for split, path in paths.items():
        address = f"{url}/{data_set.path}/{split}.txt"
        _download(address, path, data_set.files[split], title=f"{name}/{split}.txt")
    try:
        _checked(name, paths)
    except InputError:
        shutil.rmtree(waiting)
        raise
    return paths


def _checked(name: str, paths: dict[str, Path]) -> Rows:
    rows = {}
    for split, path in paths.items():
        content = path.read_bytes()
        _check_bytes(content, DATA_SETS[name].files[split], path)
        rows[split] = _read_rows(content, path)
    _check_rows(name, rows)
    return rows


def _check_there(name: str, target: Path) -> None:
    try:
        rows = {}
        for split in SPLITS:
            path = target / f"{split}.jsonl"
            rows[split] = _read_rows(path.read_bytes(), path)
        _check_rows(name, rows)
    except (OSError, InputError) as error:
        raise InputError(
            f"{target} exists and is not {name} as this command writes it ({error}); move it away, or give another "
            "folder with --data"
        ) from error


def _write(rows: Rows, target: Path) -> None:
    with draft(target) as new:
        new.mkdir()
        for split, pairs in rows.items():
            lines = (json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in pairs)
            (new / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
