"""Whether files are those of a data set: by their bytes, or by what is known of their contents."""

import hashlib
import json
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.reproduce.sources import DATA_SETS, SPLITS, SourceFile

Rows = dict[str, list[tuple[str, str]]]
"""For each split its texts and labels."""


def check_bytes(content: bytes, file: SourceFile, path: Path) -> None:
    """Check the sha256 of a file where it is known.

    Raises:
        InputError: If it is another.
    """
    found = hashlib.sha256(content).hexdigest()
    if file.sha256 is not None and found != file.sha256:
        raise InputError(
            f"{path} is not the published file: its sha256 is {found[:12]}... and not {file.sha256[:12]}... "
            f"({len(content):,} of {file.num_bytes:,} bytes); nothing was written, get the file again"
        )


def read_rows(content: bytes, path: Path) -> list[tuple[str, str]]:
    """Return texts and labels of JSON lines.

    Raises:
        InputError: If a line is something else.
    """
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


def check_rows(name: str, rows: Rows) -> None:
    """Check how many texts and labels there are, and where it is known how many texts stand in the training split.

    Raises:
        InputError: If there are more or fewer.
    """
    data_set = DATA_SETS[name]
    training = {text for text, _ in rows["train"]}
    facts = [(f"{split} texts", len(rows[split]), data_set.files[split].num_rows) for split in SPLITS]
    facts += [("labels", len({label for split in SPLITS for _, label in rows[split]}), data_set.labels)]
    for split in SPLITS:
        num_known = data_set.files[split].num_in_train
        if num_known is not None:
            num_found = sum(text in training for text, _ in rows[split])
            facts.append((f"{split} texts that stand in train too", num_found, num_known))
    for what, found, known in facts:
        if found != known:
            raise InputError(f"these are not the files of {name}: {found:,} {what}, and not {known:,}; get them again")
