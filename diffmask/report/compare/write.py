"""From what a comparison has come to, to what is shown and written."""

import json
from pathlib import Path

from diffmask.evaluate.compare.compare import HIGHER, NOT_SHOWN, Comparison, Difference
from diffmask.files.folders import draft
from diffmask.report.compare.figures import draw_forest
from diffmask.report.compare.learning import Scored, draw_learning
from diffmask.report.compare.tables import (
    UNIT,
    ComparisonTable,
    DifferenceRow,
    ScoreRow,
    comparison_page,
    to_csv,
    to_markdown,
)
from diffmask.report.html.page import write_page

METRICS = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "accuracy": "accuracy"}
METHODS = {"finetune": "fine-tuned", "probe": "by probe"}
FILES = ("comparison.md", "comparison.csv", "comparison.html", "comparison.json", "forest.png", "learning.png")
FEW_SEEDS = 4
"""Below so many seeds only large differences can be shown."""


def comparison_table(found: Comparison) -> ComparisonTable:
    """Return a comparison with its title, its finding and its notes in words."""
    metric, method = METRICS[found.settings.metric], METHODS.get(found.method, found.method)
    return ComparisonTable(
        title=f"{found.task['name']}: {metric}, {method}",
        finding=_finding(found),
        scores=[ScoreRow(s.name, s.mean, s.deviation, s.low, s.high, s.scores) for s in found.scores],
        differences=[
            DifferenceRow(d.name, d.other, d.mean, d.low, d.high, d.p_value, d.corrected, d.verdict)
            for d in found.differences
        ],
        curve=[Scored(p.name, p.share, p.num_train, p.mean, p.low, p.high) for p in found.curve],
        facts=_facts(found),
        notes=_notes(found),
    )


def write_comparison(found: Comparison, folder: Path) -> None:
    """Write a folder that `check_folder` allowed: Markdown, CSV, HTML, JSON and figures."""
    shown = comparison_table(found)
    with draft(folder) as new:
        new.mkdir()
        (new / "comparison.md").write_text(to_markdown(shown), encoding="utf-8")
        (new / "comparison.csv").write_text(to_csv(shown), encoding="utf-8")
        content = json.dumps(found.describe(), indent=2, ensure_ascii=False)
        (new / "comparison.json").write_text(content + "\n", encoding="utf-8")
        write_page(comparison_page(shown), new / "comparison.html")
        title = f"{shown.title}, against {shown.against}" if shown.against else shown.title
        draw_forest(shown.effects(), title, UNIT, new / "forest.png")
        if shown.curve:
            draw_learning(shown.curve, shown.title, new / "learning.png")


def _finding(found: Comparison) -> str:
    shown = [each for each in found.differences if each.verdict != NOT_SHOWN]
    if not shown:
        return "No difference shown." if len(found.differences) == 1 else "No difference shown in any comparison."
    said = "; ".join(_said(each) for each in shown)
    others = len(found.differences) - len(shown)
    return f"{said}." if not others else f"{said}; no difference shown in {others} of {len(found.differences)}."


def _said(each: Difference) -> str:
    verdict = "higher" if each.verdict == HIGHER else "lower"
    return f"{each.name} is {verdict} than {each.other} by {100 * abs(each.mean):.2f} points"


def _facts(found: Comparison) -> list[tuple[str, str]]:
    what = _examples(found)
    texts = f"{found.num_texts:,} test {what}" + (
        ", unseen in other splits" if found.settings.texts == "unseen" else ""
    )
    share = f"{100 * found.settings.share:g} % of the labels" if found.settings.share is not None else "-"
    return [
        ("task", f"{found.task['name']} ({found.task['kind']}, {found.task['hash'][:12]})"),
        (what, texts),
        ("trained on", share),
        ("seeds", ", ".join(map(str, found.seeds))),
        ("draws", f"{found.settings.num_draws:,}, seed {found.settings.seed}"),
    ]


def _examples(found: Comparison) -> str:
    """Return what is labelled: texts, clips."""
    return found.task.get("examples", "texts")


def _notes(found: Comparison) -> list[str]:
    num_seeds, num_tests, what = len(found.seeds), len(found.differences), _examples(found)
    left = "; ".join(f"{', '.join(map(str, seeds))} of {name}" for name, seeds in found.left_out.items())
    notes = [f"Seeds that not all results have are left out: {left}."] if left else []
    if num_seeds == 1:
        notes.append(
            f"There is one seed: intervals and p-values tell what other test {what} would change, and nothing can be "
            "said of other seeds; evaluate with at least 5."
        )
    else:
        notes.append(
            f"Intervals and p-values are about new seeds and new test {what}: {what} are resampled (exchanged between "
            "the two, for the test) in all seeds alike, and seeds vary as a t-test has them vary."
        )
    if 1 < num_seeds < FEW_SEEDS:
        notes.append(f"With {num_seeds} seeds only large differences can be shown; evaluate with at least 5.")
    if num_tests > 1:
        notes.append(f"corrected p is for {num_tests} comparisons (Holm); intervals are not corrected.")
    notes.append(
        f"'{NOT_SHOWN}' (corrected p of 0.05 or more, or an interval with 0 in it) does not say that there is none: "
        "any difference inside the interval is possible."
    )
    if num_seeds > 1 and found.one_model:
        every = len(found.one_model) == len(found.scores)
        who = "each result" if every else ", ".join(found.one_model)
        notes.append(
            f"All seeds of {who} start from one pretrained model: what is said is about these models trained on the "
            "task anew, not about repeating their pretraining."
        )
    if found.settings.texts == "all" and found.num_seen:
        notes.append(
            f"{found.num_seen:,} of {found.num_texts:,} test {what} stand in another split too, exactly or nearly; "
            "--texts unseen leaves them out."
        )
    return notes
