"""The splits of labelled data, and the words by which files and rows say which one they belong to."""

import re
from pathlib import Path

SPLITS = ("train", "dev", "test")
SPLIT_NAMES = {
    "train": "train", "training": "train", "dev": "dev", "devel": "dev", "development": "dev", "devset": "dev",
    "val": "dev", "valid": "dev", "validation": "dev", "eval": "dev", "evaluation": "dev", "test": "test",
    "testing": "test", "testset": "test", "trainlist": "train", "vallist": "dev", "testlist": "test",
}  # fmt: skip
"""Words in the name of a file, or in a column of splits, that say which split is meant."""


def splits_named(path: Path) -> list[str]:
    """Return the splits that the name of a file mentions, in order.

    >>> splits_named(Path("data/chem-val.jsonl")), splits_named(Path("train_and_test.csv"))
    (['dev'], ['train', 'test'])
    """
    return [SPLIT_NAMES[part] for part in re.split(r"[^a-z]+", path.name.lower()) if part in SPLIT_NAMES]
