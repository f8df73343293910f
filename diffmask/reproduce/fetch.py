"""Prepare the public data sets of the experiments, from files that the user has or from their original source.

    tools/fetch_data                        what there is to fetch, from where and how large; fetches nothing
    tools/fetch_data --download             fetch and prepare all of them
    tools/fetch_data acl-arc --from FILES   prepare one from files that are there

Writes DATA/NAME/train.jsonl, dev.jsonl and test.jsonl, lines of {"text", "label"}. Files are checked before anything is
written, and a data set is there whole or not at all. A download that broke off goes on where it stopped. Needs nothing
but Python.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.reproduce.check_data import Rows, check_bytes, check_rows, read_rows
from diffmask.reproduce.download import download
from diffmask.reproduce.sources import BASE, DATA_SETS, SPLITS, DataSet

_SUFFIXES = (".txt", ".jsonl")


def main(arguments: list[str] | None = None) -> int:
    """Prepare what was asked for; without a source say what could be fetched."""
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
            print(plan(names, options.url, options.data), file=sys.stderr)
            return 2
        for name in names:
            print(prepare(name, options.data, folder=options.folder, url=options.url), flush=True)
    except InputError as error:
        print(f"fetch_data: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"fetch_data: {error.strerror or error}{where}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


def plan(names: list[str], url: str, data: Path) -> str:
    """Return what would be fetched, from where, and how large it is."""
    lines = []
    for name in names:
        data_set = DATA_SETS[name]
        size = sum(file.num_bytes for file in data_set.files.values()) / 1e6
        rows = "/".join(f"{data_set.files[split].num_rows:,}" for split in SPLITS)
        lines.append(f"  {name}: {data_set.title} ({data_set.note}), {rows} texts, {size:.1f} MB")
        lines.append(f"    {url}/{data_set.path}/{{train,dev,test}}.txt")
    return "\n".join(
        [
            f"Nothing is fetched unasked. With --download these files are fetched and prepared in {data}:",
            *lines,
            "Or give the folder that holds them: --from FOLDER. Their owners' terms of use apply.",
        ]
    )


def prepare(name: str, data: Path, *, folder: Path | None, url: str = BASE) -> str:
    """Check and write one data set, and return a line that says what was done.

    Args:
        name: A key of `DATA_SETS`.
        data: Where its folder is written.
        folder: That holds its files; None downloads them.
        url: Where from.

    Raises:
        InputError: Files are missing, are not the right ones, or cannot be fetched or written.
    """
    data_set, target = DATA_SETS[name], data / name
    if target.exists():
        _check_there(name, target)
        return f"{target} is there already"
    waiting = data / f".{name}.download"
    try:
        data.mkdir(parents=True, exist_ok=True)
        paths = _fetch(name, waiting, url) if folder is None else find_files(name, data_set, folder)
        rows = _checked(name, paths)
        _write(rows, target)
        shutil.rmtree(waiting, ignore_errors=True)
    except PermissionError as error:
        raise InputError(
            f"{error.filename} may not be read or written by this user; change its owner, or give another folder "
            "with --data"
        ) from error
    return f"wrote {target}: {', '.join(f'{len(rows[split]):,} {split}' for split in SPLITS)}"


def find_files(name: str, data_set: DataSet, folder: Path) -> dict[str, Path]:
    """Return the file of each split: in the folder, in one of the data set's name, or in a copy of the repository."""
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
    """Download the files of a data set and return where they wait; files that are not the right ones are not kept."""
    data_set = DATA_SETS[name]
    paths = {split: waiting / f"{split}.txt" for split in SPLITS}
    for split, path in paths.items():
        address = f"{url}/{data_set.path}/{split}.txt"
        download(address, path, data_set.files[split], title=f"{name}/{split}.txt")
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
        check_bytes(content, DATA_SETS[name].files[split], path)
        rows[split] = read_rows(content, path)
    check_rows(name, rows)
    return rows


def _check_there(name: str, target: Path) -> None:
    try:
        rows = {}
        for split in SPLITS:
            path = target / f"{split}.jsonl"
            rows[split] = read_rows(path.read_bytes(), path)
        check_rows(name, rows)
    except (OSError, InputError) as error:
        raise InputError(
            f"{target} exists and is not {name} as this writes it ({error}); move it away, or give another folder "
            "with --data"
        ) from error


def _write(rows: Rows, target: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for split, pairs in rows.items():
            lines = (json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in pairs)
            (draft / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        draft.chmod(0o755)
        os.replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
