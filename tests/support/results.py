"""Result files of evaluations, as `diffmask evaluate` writes them, made by hand."""

import json

LABELS = ["INHIBITOR", "ACTIVATOR", "SUBSTRATE"]


def measured(right, labels=LABELS, confusion=True):
    """Return the measures of a test in which `right` of ten texts of each label were recognised."""
    share = right / 10
    per_class = {label: {"precision": share, "recall": share, "f1": share, "support": 10} for label in labels}
    size = range(len(labels))
    table = [[right if row == column else (10 - right) / (len(labels) - 1) for column in size] for row in size]
    scores = {"accuracy": share, "micro_f1": share, "macro_f1": share, "per_class": per_class}
    return scores | {"confusion": table if confusion else None}


def result(seed=0, right=8, shares=(1.0,), labels=LABELS, **changes):
    """Return the content of a seed's file; at smaller shares of the labels, fewer texts are recognised."""
    entries = [
        {
            "share": share,
            "num_train": int(100 * share),
            "predictions": [0] * 30,
            "dev": {"accuracy": 0.5, "micro_f1": 0.5, "macro_f1": 0.5},
            "test": {"all": measured(right * share, labels), "unseen": measured(right * share - 1, labels, False)},
            "chosen": {"epoch": 3},
            "seconds": 10.0,
        }
        for share in shares
    ]
    task = {
        "name": "chemprot",
        "kind": "single-label",
        "labels": labels,
        "num_train": 100,
        "num_dev": 20,
        "num_test": 30,
        "hash": "ab" * 32,
        "leakage": {"exact": {"train-test": {"texts": 4, "share": 0.04}}, "pairs": [{"a": 1, "b": 2}], "near": None},
    }
    return {
        "format": 1,
        "name": "difference",
        "model": "runs/difference",
        "method": "finetune",
        "seed": seed,
        "task": task,
        "settings": {"learning_rate": 2e-5, "epochs": 3},
        "targets": [0] * 30,
        "unseen": [True] * 26 + [False] * 4,
        "shares": entries,
        "versions": {"diffmask": "0.1.0"},
        "hardware": "2 x Processor, no GPU",
        "seconds": 12.5,
    } | changes


def write_results(folder, results):
    """Write a file a seed."""
    folder.mkdir(parents=True)
    for each in results:
        (folder / f"seed-{each['seed']}.json").write_text(json.dumps(each))
    return folder
