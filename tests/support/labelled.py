"""A task that a tiny model learns: what a text is about is said by one word."""

import json

import torch

from support.tiny import WORDS

TOLD_BY = {"kinase": "enzyme", "blood": "body"}


def labelled_rows(number=60, seed=0):
    """Return texts of six common words and one that tells the label."""
    generator = torch.Generator().manual_seed(seed)
    others = [word for word in WORDS if word not in TOLD_BY]
    rows = []
    for row in range(number):
        words = [others[i] for i in torch.randint(len(others), (6,), generator=generator)]
        telling = list(TOLD_BY)[row % 2]
        words.insert(int(torch.randint(7, (1,), generator=generator)), telling)
        rows.append({"text": " ".join(words), "label": TOLD_BY[telling]})
    return rows


def write_task(path, rows=None):
    """Write rows as JSON lines and return the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows or labelled_rows()))
    return str(path)
