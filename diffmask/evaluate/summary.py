"""What an evaluation came to, in a few lines."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

SHOWN = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "accuracy": "accuracy"}


def leakage_line(path: Path) -> str:
    """Return what a result file says of texts that stand in more than one split."""
    return json.loads(path.read_text(encoding="utf-8"))["task"]["leakage"]["summary"]


def split_lines(path: Path) -> list[str]:
    """Return which files a result file says that each split was read from, and what F1 leaves out."""
    task = json.loads(path.read_text(encoding="utf-8"))["task"]
    files = task.get("files", {})  # which files of older versions do not tell
    lines = [f"{split + ':':6} {', '.join(names)}" for split, names in files.items()]
    if "left_out" in task:
        lines += [f"{split + ':':6} {task[f'num_{split}']:,} clips" for split in ("train", "dev", "test")]
    if task.get("dev_from_train"):
        lines.append("dev:   a tenth of train")
    for split, reasons in task.get("left_out", {}).items():
        lines.append(f"left out of {split}: {len(reasons):,} clips that cannot be read")
        lines += [f"  {path}: {reason}" for path, reason in reasons.items()]
    if task.get("outside") is not None:
        lines.append(f"label {task['outside']!r} is outside of everything: left out of F1")
    return lines


def summary_lines(paths: Sequence[Path]) -> list[str]:
    """Return a table: for each share of the training examples, mean and deviation of the scores over the seeds.

    Args:
        paths: The result files of one evaluation, one for each seed.
    """
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    seeds = f"{len(results)} seed" + "s" * (len(results) > 1)
    what = results[0]["task"].get("examples", "texts")
    lines = [f"{f'training {what}':>16}  {f'test {what}':12}" + "".join(f"  {name:>15}" for name in SHOWN.values())]
    for place, share in enumerate(results[0]["shares"]):
        for part in ("all", "unseen"):
            scores = [result["shares"][place]["test"][part] for result in results]
            if scores[0] is None:
                continue
            number = len(results[0]["targets"]) if part == "all" else sum(results[0]["unseen"])
            cells = [_spread([score[name] for score in scores]) for name in SHOWN]
            lines.append(f"{share['num_train']:>16,}  {f'{part} {number:,}':12}" + "".join(f"  {c:>15}" for c in cells))
    return [*lines, f"mean and standard deviation over {seeds}"]


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.4f}" + (f" +- {stdev(values):.4f}" if len(values) > 1 else "")
