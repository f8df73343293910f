"""Evaluations of a run on its page: scores over seeds, each class, who is taken for whom, and texts seen before."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from diffmask.config.evaluation import METRICS
from diffmask.evaluate.results import Result, Spread
from diffmask.evaluate.seed_file import OF_A_CLASS
from diffmask.report.html.charts import Axis, Line, chart, heat_table
from diffmask.report.html.page import macros

_MOST_CLASSES = 40
"""Of a confusion matrix that can be read."""
_MOST_FACTS = 60
"""Lines of what is known of a task's leakage."""
_OVERLAP = {
    "exact": "word for word",
    "same_words": "but for punctuation",
    "near": "nearly",
    "other_label": "with another label",
}
"""Texts that stand in another split too, by how much alike they are; the last are some of the others."""

_Rows = list[Sequence[str]]
"""Of a table; the first row is its head."""


class _Curve(NamedTuple):
    """Scores by share of the labels: drawn, and as a table."""

    drawing: Markup
    numbers: _Rows


class _Shown(NamedTuple):
    """What the page says of an evaluation, beside what its result holds.

    Attributes:
        result: The evaluation.
        summary: Its row in the table of several.
        seconds: Time that all seeds took.
        scores: Of all test examples, of unseen ones, and of each seed.
        num_seen: Test examples that stand in another split too.
        curve: Scores by share of the labels; None where there is one share.
        classes: Of each label: its name, F1 as a share, F1, precision and recall as text, and its test examples.
        confusion: Who is taken for whom; None where that is not known, or too much.
        leakage: What is known of examples in several splits, by name; None where it was not looked at.
        overlaps: The same as a table, where it is known in numbers; else nothing.
        settings: By name.
    """

    result: Result
    summary: list[str]
    seconds: float
    scores: _Rows
    num_seen: int
    curve: _Curve | None
    classes: list[tuple[str, float, str, str, str, float]]
    confusion: Markup | None
    leakage: list[tuple[str, str]] | None
    overlaps: _Rows
    settings: list[tuple[str, str]]


def say(spread: Spread | None) -> str:
    """Return a measure as percentage points, with its standard deviation.

    >>> say(Spread(0.8123, 0.004)), say(Spread(0.5, None)), say(None)
    ('81.2 ± 0.4', '50.0', '-')
    """
    if spread is None:
        return "-"
    return f"{100 * spread.mean:.1f}" + ("" if spread.deviation is None else f" ± {100 * spread.deviation:.1f}")


def evaluation_part(results: Sequence[Result]) -> Markup:
    """Return what the page of a run says of its evaluations."""
    shown = [_shown(each, f"evaluation{place}") for place, each in enumerate(results)]
    return macros("evaluations.html").part(shown, list(METRICS.values()))


def _shown(result: Result, key: str) -> _Shown:
    task = result.task
    leakage = task.get("leakage")
    known = [] if leakage is None else list(_flat(leakage))
    more = [("", f"and {len(known) - _MOST_FACTS} more lines")] if len(known) > _MOST_FACTS else []
    return _Shown(
        result=result,
        summary=_summary(result),
        seconds=sum(seed.seconds for seed in result.seeds.values()),
        scores=_scores(result),
        num_seen=task["num_test"] - sum(result.first.unseen),
        curve=_curve(result, key) if len(result.shares) > 1 else None,
        classes=_classes(result),
        confusion=_confusion(result),
        leakage=None if leakage is None else [*known[:_MOST_FACTS], *more],
        overlaps=[] if leakage is None else _overlaps(leakage),
        settings=[*sorted(_flat(result.first.settings)), ("hash of the task", task["hash"])],
    )


def _summary(result: Result) -> list[str]:
    measured = [say(result.spread("all", metric)) for metric in METRICS]
    return [result.folder.name, str(len(result.seeds)), *measured, say(result.spread("unseen", "macro_f1"))]


def _scores(result: Result) -> _Rows:
    num_unseen = sum(result.first.unseen)
    scopes = {"all": f"all test {result.examples}"} | ({"unseen": f"{num_unseen:,} unseen ones"} if num_unseen else {})
    by_seed = [f"seed {seed}" for seed in result.seeds] if len(result.seeds) > 1 else []
    rows: _Rows = [["percent", *scopes.values(), *by_seed]]
    for metric, name in METRICS.items():
        cells = [say(result.spread(scope, metric)) for scope in scopes]
        cells += [f"{100 * value:.1f}" for value in result.values("all", metric)] if by_seed else []
        rows.append([name, *cells])
    return rows


def _curve(result: Result, key: str) -> _Curve:
    places, lines = [100 * share for share in result.shares], []
    rows: _Rows = [["percent", *(f"{place:g} % of labels" for place in places)]]
    for metric, colour in (("micro_f1", "first"), ("macro_f1", "second")):
        spreads = [result.spread("all", metric, share=share) for share in result.shares]
        known = [each for each in spreads if each is not None]
        deviations = [each.deviation or 0.0 for each in known]
        lines.append(Line(METRICS[metric], places, [each.mean for each in known], colour, "line", deviations))
        rows.append([METRICS[metric], *map(say, spreads)])
    axis = Axis("labels, %", is_share=True, ticks=places)
    return _Curve(chart(f"{key}-labels", "scores by share of the labels", lines, axis), rows)


def _classes(result: Result) -> list[tuple[str, float, str, str, str, float]]:
    """Return what was measured of each label, the most frequent first."""
    classes = []
    for label in result.task["labels"]:
        support = max(result.values("all", "per_class", label, "support"), default=0.0)
        measured = [result.spread("all", "per_class", label, name) for name in OF_A_CLASS]
        # without a text of the label nothing was measured
        precision, recall, f1 = measured if support else (None, None, None)
        classes.append((label, f1.mean if f1 else 0.0, say(f1), say(precision), say(recall), support))
    return sorted(classes, key=lambda each: -each[-1])


def _confusion(result: Result) -> Markup | None:
    counts, labels = result.confusion(), result.task["labels"]
    if counts is None or len(labels) > _MOST_CLASSES:
        return None
    sums = [sum(row) for row in counts]
    shares = [[cell / total if total else 0.0 for cell in row] for row, total in zip(counts, sums, strict=True)]
    titles = [
        [
            f"{labels[row]} taken for {labels[column]}: {cell:,.1f} {result.examples}"
            for column, cell in enumerate(cells)
        ]
        for row, cells in enumerate(counts)
    ]
    return heat_table("labelled", labels, labels, shares, titles=titles)


def _overlaps(leakage: Mapping[str, Any]) -> _Rows:
    """Return how many texts stand in several splits, where that was counted."""
    overlaps = [*leakage.get("between", ()), *leakage.get("within", ())]
    if not overlaps or not all(_OVERLAP.keys() <= each.keys() for each in overlaps):
        return []
    rows: _Rows = [["texts of", "stand in", "of", *_OVERLAP.values(), "share"]]
    for each in overlaps:
        other = "itself" if each.get("split") == each.get("other") else each.get("other", "-")
        counts = [_plain(each.get("num_texts")), *(_plain(each[kind]) for kind in _OVERLAP)]
        share = "-" if each.get("share") is None else f"{100 * each['share']:.1f} %"
        rows.append([each.get("split", "-"), other, *counts, share])
    return rows


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
