"""Evaluations of a run on a page: scores over seeds, each class, who is taken for whom, and texts seen before."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import escape

from diffmask.config.evaluation import METRICS
from diffmask.evaluate.results import Result, Spread
from diffmask.evaluate.seed_file import OF_A_CLASS
from diffmask.report.html.charts import Axis, Line, chart, heat_table
from diffmask.report.html.page import duration, facts, folded, paragraph, prose, table

MOST_CLASSES = 40
"""Of a confusion matrix that can be read."""
MOST_FACTS = 60
"""Lines of what is known of a task's leakage."""

OVERLAP = {
    "exact": "word for word",
    "same_words": "but for punctuation",
    "near": "nearly",
    "other_label": "with another label",
}
"""Texts that stand in another split too, by how much alike they are; the last are some of the others."""

LEAD = (
    "How well the model of this run serves a labelled task. What is tested on was read once, at the end; a mean stands "
    "with the standard deviation over seeds. What this run is to be held against are other runs on the same task and "
    "seeds (`diffmask compare`)."
)


def say(spread: Spread | None) -> str:
    """Return a measure as percentage points, with its standard deviation.

    >>> say(Spread(0.8123, 0.004)), say(Spread(0.5, None)), say(None)
    ('81.2 ± 0.4', '50.0', '-')
    """
    if spread is None:
        return "-"
    return f"{100 * spread.mean:.1f}" + ("" if spread.deviation is None else f" ± {100 * spread.deviation:.1f}")


def evaluation_parts(evaluations: Sequence[Result]) -> Iterator[str]:
    """Yield all evaluations: a table of all of them where there are several, then each by itself."""
    yield f'<p class="soft">{prose(LEAD)}</p>'
    if len(evaluations) > 1:
        rows = (
            f'<tr><th scope="row">{escape(each.folder.name)}</th>{_numbers(_summary(each))}</tr>'
            for each in evaluations
        )
        yield table(["evaluation", "seeds", *METRICS.values(), f"{METRICS['macro_f1']}, unseen texts"], rows)
    for place, each in enumerate(evaluations):
        yield f"<h3>{escape(each.folder.name)}</h3>"
        yield from _evaluation(each, f"evaluation{place}")


def _summary(evaluation: Result) -> list[str]:
    shown = [say(evaluation.spread("all", metric)) for metric in METRICS]
    return [str(len(evaluation.seeds)), *shown, say(evaluation.spread("unseen", "macro_f1"))]


def _numbers(cells: Sequence[str]) -> str:
    return "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)


def _evaluation(evaluation: Result, key: str) -> Iterator[str]:
    task, num_seeds = evaluation.task, len(evaluation.seeds)
    seeds = "one seed, so that there is no spread" if num_seeds == 1 else f"{num_seeds} seeds"
    yield paragraph(
        f"{task['name']} ({task['kind']}, {len(task['labels'])} labels): {task['num_train']:,} {evaluation.examples} "
        f"to train on, {task['num_dev']:,} to choose on, {task['num_test']:,} to test on; by "
        f"{evaluation.first.method}, {seeds}, "
        f"{duration(sum(seed.seconds for seed in evaluation.seeds.values()))} on {evaluation.first.hardware}."
    )
    yield _scores(evaluation)
    yield from _unseen_note(evaluation)
    if len(evaluation.shares) > 1:
        yield _learning_curve(evaluation, key)
    yield _classes(evaluation)
    yield from _confusion(evaluation)
    yield _leakage(task.get("leakage"))
    settings = sorted(_flat(evaluation.first.settings))
    yield folded("Settings of this evaluation", facts([*settings, ("hash of the task", task["hash"])]))


def _scores(evaluation: Result) -> str:
    num_unseen = sum(evaluation.first.unseen)
    scopes = {"all": f"all test {evaluation.examples}"} | (
        {"unseen": f"{num_unseen:,} unseen ones"} if num_unseen else {}
    )
    by_seed = [f"seed {seed}" for seed in evaluation.seeds] if len(evaluation.seeds) > 1 else []
    rows = []
    for metric, name in METRICS.items():
        cells = [say(evaluation.spread(scope, metric)) for scope in scopes]
        cells += [f"{100 * value:.1f}" for value in evaluation.values("all", metric)] if by_seed else []
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{_numbers(cells)}</tr>')
    return table(["percent", *scopes.values(), *by_seed], rows)


def _unseen_note(evaluation: Result) -> Iterator[str]:
    num_test, num_unseen = evaluation.task["num_test"], sum(evaluation.first.unseen)
    if num_unseen < num_test:
        yield paragraph(
            f"{num_test - num_unseen:,} of {num_test:,} test {evaluation.examples} stand, exactly or nearly so, "
            "in another split too; the unseen ones are those that do not."
        )


def _learning_curve(evaluation: Result, key: str) -> str:
    shares, lines, rows = evaluation.shares, [], []
    places = [100 * share for share in shares]
    for metric, colour in (("micro_f1", "first"), ("macro_f1", "second")):
        spreads = [evaluation.spread("all", metric, share=share) for share in shares]
        known = [each for each in spreads if each is not None]
        deviations = [each.deviation or 0.0 for each in known]
        lines.append(Line(METRICS[metric], places, [each.mean for each in known], colour, "line", deviations))
        rows.append(f'<tr><th scope="row">{METRICS[metric]}</th>{_numbers([say(each) for each in spreads])}</tr>')
    axis = Axis("labels, %", is_share=True, ticks=places)
    drawn = chart(f"{key}-labels", "scores by share of the labels", lines, axis)
    numbers = table(["percent", *(f"{100 * share:g} % of labels" for share in shares)], rows)
    return f'<div class="beside"><div class="card">{drawn}</div>{numbers}</div>'


def _classes(evaluation: Result) -> str:
    """Return precision, recall and F1 of each label, the most frequent first."""

    def support(label: str) -> float:
        return max(evaluation.values("all", "per_class", label, "support"), default=0.0)

    rows = []
    for label in sorted(evaluation.task["labels"], key=lambda label: -support(label)):
        measured = [evaluation.spread("all", "per_class", label, name) for name in OF_A_CLASS]
        # without a text of the label nothing was measured
        precision, recall, f1 = measured if support(label) else (None, None, None)
        bar = f'<td class="number bar" style="--share:{f1.mean if f1 else 0:.3f}">{escape(say(f1))}</td>'
        cells = _numbers([say(precision), say(recall), f"{support(label):,.0f}"])
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{bar}{cells}</tr>')
    return table(["label", "F1", "precision", "recall", f"test {evaluation.examples}"], rows)


def _confusion(evaluation: Result) -> Iterator[str]:
    counts, labels = evaluation.confusion(), evaluation.task["labels"]
    if counts is None or len(labels) > MOST_CLASSES:
        return
    sums = [sum(row) for row in counts]
    shares = [[cell / total if total else 0.0 for cell in row] for row, total in zip(counts, sums, strict=True)]
    yield paragraph(
        f"What {evaluation.examples} of each label (rows) were taken for (columns), in percent of the row; on "
        "the diagonal they were recognised."
    )
    titles = [
        [
            f"{labels[row]} taken for {labels[column]}: {cell:,.1f} {evaluation.examples}"
            for column, cell in enumerate(cells)
        ]
        for row, cells in enumerate(counts)
    ]
    yield heat_table("labelled", labels, labels, shares, titles=titles)


def _leakage(leakage: Mapping[str, Any] | None) -> str:
    """Return what was found of texts that stand in several splits."""
    if leakage is None:
        return paragraph("Whether texts stand in more than one split was not looked at.")
    overlaps = [*leakage.get("between", ()), *leakage.get("within", ())]
    if overlaps and all(OVERLAP.keys() <= each.keys() for each in overlaps):
        head = ["texts of", "stand in", "of", *OVERLAP.values(), "share"]
        title = "<h4>Texts in more than one split, or more than once in their own</h4>"
        return title + table(head, map(_overlap, overlaps), num_texts=2)
    found = list(_flat(leakage))
    more = [("", f"and {len(found) - MOST_FACTS} more lines")] if len(found) > MOST_FACTS else []
    return folded("Texts in more than one split", facts([*found[:MOST_FACTS], *more]))


def _overlap(overlap: Mapping[str, Any]) -> str:
    counts = [_plain(overlap.get("num_texts")), *(_plain(overlap[kind]) for kind in OVERLAP)]
    share = overlap.get("share")
    cells = _numbers([*counts, "-" if share is None else f"{100 * share:.1f} %"])
    other = "itself" if overlap.get("split") == overlap.get("other") else overlap.get("other", "-")
    return f'<tr><th scope="row">{escape(overlap.get("split", "-"))}</th><td>{escape(other)}</td>{cells}</tr>'


def _flat(mapping: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, str]]:
    """Yield the values of nested dictionaries and lists, each with its place in words."""
    for name, value in mapping.items():
        place = f"{where}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}, ")
        elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
            yield from _flat({str(number): each for number, each in enumerate(value, 1)}, f"{place} ")
        else:
            yield place, _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
