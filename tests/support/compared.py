"""Results that differ by what they predict, as files, for tests of comparing them."""

import json

import numpy as np

LABELS = ["alpha", "beta", "gamma"]

NOTHING = dict.fromkeys(("precision", "recall", "f1", "support"), 0)
SCORES = {**dict.fromkeys(("accuracy", "micro_f1", "macro_f1"), 0.5), "per_class": dict.fromkeys(LABELS, NOTHING)}
"""What a comparison does not read: it scores the predictions itself."""


def made_up(targets, accuracy, random, num_labels=3):
    """Return predictions that are right on about this share of the texts."""
    wrong = (targets + random.integers(1, num_labels, len(targets))) % num_labels
    return np.where(random.random(len(targets)) < accuracy, targets, wrong).tolist()


def write_result(
    folder, name="none", *, accuracy=0.7, seeds=(0, 1, 2), shares=(1.0,), num_texts=120, parts=None, **changes
):
    """Write a result of a single-label task; the task is the same whatever is predicted.

    Args:
        parts: Parts of the files that are replaced whole.
        changes: Parts that are set, such as `method`, or added to, such as `task={"hash": ...}`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = np.random.default_rng(1).integers(0, len(LABELS), num_texts)
    for seed in seeds:
        random = np.random.default_rng([seed, *name.encode()])
        content = {
            "format": 1,
            "name": name,
            "model": f"runs/{name}",
            "method": "finetune",
            "seed": seed,
            "task": {
                "name": "toy", "kind": "single-label", "labels": LABELS, "num_train": 900, "num_dev": 90,
                "num_test": num_texts, "hash": "0123456789abcdef", "leakage": None,
            },
            "settings": {"metric": "micro_f1", "shares": list(shares), "finetune": {"epochs": 3}},
            "targets": targets.tolist(),
            "unseen": [place % 4 != 0 for place in range(num_texts)],
            "shares": [
                {
                    "share": share,
                    "num_train": round(900 * share),
                    "predictions": made_up(targets, accuracy * share**0.1, random),
                    "test": {"all": SCORES, "unseen": None},
                }
                for share in shares
            ],
            "seconds": 1.0,
        }  # fmt: skip
        for key, value in changes.items():
            content[key] = content[key] | value if isinstance(value, dict) else value
        content |= parts or {}
        (folder / f"seed-{seed}.json").write_text(json.dumps(content))
    return folder
