"""The page of a run: what was run, on what, what was masked, what came of it, and its evaluations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from diffmask.config.evaluation import RANKS, RETRIEVAL, metrics_of
from diffmask.evaluate.results import Result, Spread
from diffmask.evaluate.seed_file import OF_A_CLASS
from diffmask.report.continuing import unanswered
from diffmask.report.figures.run_logs import SMOOTHED_OVER, smooth
from diffmask.report.html.charts import Axis, Line, chart, heat_table
from diffmask.report.html.page import duration, macros, page
from diffmask.report.run.read import RunData, Section
from diffmask.tasks.leakage import KINDS
from diffmask.train.log import has_values, of_sides, points

_SHARES = Axis(is_share=True, from_zero=True)
_PLACES = 200
"""Steps of a schedule that are drawn."""
_MOST_TILES = 4
"""Evaluations among the figures at the top; the section about them has all."""
_CLIP_USES = {"clips": "trained on", "held_out": "held out"}
"""Clips that a run read, by what inputs.json calls them."""
_FILE_USES = {"data": "trained on", "held_out": "held out", "task": "task"}
"""Files that a run read, by what inputs.json calls them."""
_MOST_CLASSES = 40
"""In a confusion matrix that can still be read."""
_MOST_FACTS = 60
"""Lines about the leakage of a task."""
_OVERLAP = {**KINDS, "other_label": "with another label"}
"""Texts that are also in another split, by how similar they are; the last kind overlaps with the others."""

_Rows = list[Sequence[str]]
"""Of a table; the first row is its head."""


def run_page(run: RunData) -> str:
    """Return the page of a run."""
    parts = macros("run.html")
    sections = [Section("run", "What was run", _what(run))]
    if losses := [*_loss_charts(run), *_task_charts(run)]:
        sections.append(Section("losses", "Losses", parts.losses(run.words, losses)))
    if schedules := list(_schedule_charts(run)):
        sections.append(Section("schedules", "Schedules", parts.schedules(run.words, _held_strength(run), schedules)))
    if run.anchors:
        sections.append(Section("anchors", "Anchors", parts.known_anchors(run)))
    if run.preview is not None:
        sections.append(Section("masked", "What was masked", run.preview.run_part(run.note)))
    sections += run.sections
    if speed := list(_speed_charts(run)):
        sections.append(Section("speed", "Throughput and optimiser", parts.speed(run.words, speed)))
    if run.evaluations:
        sections.append(Section("evaluation", "Evaluation", evaluation_part(run.evaluations)))
    return page(f"{run.name} - diffmask report", [parts.body(run, _lead(run), list(_tiles(run)), sections)])


def _lead(run: RunData) -> str:
    what = f"{run.model}, continued with {run.policy} masking"
    if run.is_complete:
        date = f", started on {run.sessions[0]['started'][:10]}" if run.sessions else ""
        return f"{unanswered(run.model, evaluated=bool(run.evaluations))} {what} for {run.num_steps:,} steps{date}."
    return f"{what}; not finished: {run.last_step:,} of {run.num_steps:,} steps so far."


def _tiles(run: RunData) -> Iterator[tuple[str, str, str]]:
    """Yield the figures that matter most: name, value, note."""
    domain = f"domain {run.words.wholes}"
    for key, name in _named(run, {"eval_loss": "held-out loss", "eval_loss_domain": f"on {domain}"}).items():
        steps, losses = points(run.log, key)
        if steps:
            change = f"{losses[-1] - losses[0]:+.3f} since".replace("-", "\u2212") if len(losses) > 1 else "at"
            yield name, f"{losses[-1]:.3f}", f"{change} step {steps[0]:,}"
    for key, name in _named(run, {"mask_ratio": "mask ratio"}).items():
        ratio, share = _mean(run, key), _mean(run, key.replace("mask_ratio", "domain_share"))
        if ratio is not None:
            yield name, f"{100 * ratio:.1f} %", "" if share is None else f"{100 * share:.0f} % of it {domain}"
    if run.sessions:
        count = len(run.sessions)
        yield "time", duration(run.seconds), "in one go" if count == 1 else f"in {count} sessions"
    for key in _speeds(run):
        yield key.replace("_", " "), f"{_mean(run, key) or 0:,.0f}", "in training, per process"
    for each in run.evaluations[:_MOST_TILES]:
        (beside, first), (metric, name) = _two_metrics(each)
        note = f"{first} {_say(each.spread('all', beside))}, seeds: {len(each.seeds)}"
        yield f"{name}, {each.folder.name}", _say(each.spread("all", metric)), note


def _named(run: RunData, titles: Mapping[str, str]) -> dict[str, str]:
    """Return the keys under which values were logged, of each side, with titles that name the side."""
    return {
        key: f"{title}, {part}" if part else title
        for name, title in titles.items()
        for key, part in of_sides(run.log, name).items()
    }


def _speeds(run: RunData) -> list[str]:
    """Return the keys under which throughput was logged."""
    return [
        f"{part}_per_second" for part in run.words.parts.split(" and ") if has_values(run.log, f"{part}_per_second")
    ]


def _mean(run: RunData, key: str) -> float | None:
    """Return the mean over the steps of a value that is logged as the mean since the line before."""
    steps, values = points(run.log, key)
    spans = [step - before for step, before in zip(steps, [0, *steps], strict=False)]
    if not steps or not sum(spans):
        return None
    return sum(value * span for value, span in zip(values, spans, strict=True)) / sum(spans)


def _what(run: RunData) -> Markup:
    """Return what was run; whole hashes and the origin of the anchors are folded away."""
    clips = [(use, run.inputs[key]) for key, use in _CLIP_USES.items() if isinstance(run.inputs.get(key), Mapping)]
    # held-out clips are among `clips` already
    listed = [(use, run.inputs[key]) for key, use in _FILE_USES.items() if isinstance(run.inputs.get(key), list)]
    files = [(use, each) for use, group in listed for each in group]
    more = [*((use, each["hash"]) for use, each in clips), *((each["path"], each["sha256"]) for _, each in files)]
    for key, shown in {"features": "features of", "boxes": "boxes, sha256"}.items():
        more += [(shown, run.inputs[key])] if key in run.inputs else []
    return macros("run.html").what(run, files, clips, [*more, *_anchor_facts(run.inputs)])


def _anchor_facts(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    anchors = inputs.get("anchors", {})
    for name, shown in {"command": "anchors made by", "version": "with diffmask"}.items():
        if name in anchors:
            yield shown, str(anchors[name])
    reference = anchors.get("reference")
    if isinstance(reference, Mapping) and "name" in reference:
        yield "general frequencies", str(reference["name"])
    for each in anchors.get("sources", []):
        if isinstance(each, Mapping):
            yield f"anchors' text {each['path']}", each["sha256"]
        else:
            yield "anchors' clips", str(each)
    embedder = anchors.get("embedder")
    if isinstance(embedder, Mapping) and "spec" in embedder:
        yield "anchors' embedder", str(embedder["spec"])
    for each in inputs.get("values of units", []):
        yield "values of units", str(each)


def _loss_charts(run: RunData) -> Iterator[Markup]:
    """Yield the losses: held out, on all that is masked and on the domain's, and of the training."""
    titles = {"eval_loss": f"held-out loss, all {run.words.wholes}",
              "eval_loss_domain": f"held-out loss, domain {run.words.wholes}"}  # fmt: skip
    for key, title in _named(run, titles).items():
        yield chart(key, title, [Line("loss", *points(run.log, key))])
    # in a run that also learns a task, `loss` is the sum of both
    whole = "masked_loss" if has_values(run.log, "masked_loss") else "loss"
    for key, title in _named(run, {whole: "training loss, on its own masks"}).items():
        steps, losses = points(run.log, key)
        even = smooth(np.array(losses), int(len(losses) * SMOOTHED_OVER) | 1).tolist()
        lines = [Line("as logged", steps, losses, "first", "faint"), Line("smoothed", steps, even)]
        yield chart(key, title, lines if even != losses else lines[1:])


def _task_charts(run: RunData) -> Iterator[Markup]:
    """Yield loss and accuracy of a task that was trained together with the masks."""
    for key, title in {"task_loss": "loss of the task", "task_accuracy": "accuracy on the task"}.items():
        lines = [Line("in training", *points(run.log, key), "first"), Line("held out", *points(run.log, f"eval_{key}"))]
        if any(line.xs for line in lines):
            yield chart(key, title, lines, Axis(is_share=key == "task_accuracy"))


def _held_strength(run: RunData) -> float | None:
    """Return the strength if it was the same throughout."""
    values = {value for key in of_sides(run.log, "strength") for value in points(run.log, key)[1]}
    return values.pop() if len(values) == 1 else None


def _schedule_charts(run: RunData) -> Iterator[Markup]:
    """Yield ratio and strength, as planned for the whole run and as logged so far, and the share of the domain."""
    titles = {"mask_ratio": "mask ratio"} | ({"strength": "strength"} if _held_strength(run) is None else {})
    places = np.linspace(0.0, 1.0, _PLACES)
    for key, title in _named(run, titles).items():
        lines = [Line("reached" if key.startswith("mask_ratio") else "logged", *points(run.log, key))]
        if key in run.schedules:
            planned = [run.schedules[key](float(place)) for place in places]
            lines.append(Line("planned", (places * run.num_steps).tolist(), planned, "ink", "dashed"))
        if any(line.xs for line in lines):
            yield chart(key, title, lines, _SHARES)
    for key, title in _named(run, {"domain_share": f"{run.words.wholes} of the domain"}).items():
        steps, shares = points(run.log, key)
        lines = [Line(f"of the hidden {run.words.parts}", steps, shares)]
        in_text = None if run.preview is None else run.preview.domain_share
        if in_text is not None:
            lines.append(Line("of the text", [0, max(steps)], [in_text, in_text], "first", "dashed"))
        yield chart(key, title, lines, _SHARES)


def _speed_charts(run: RunData) -> Iterator[Markup]:
    """Yield throughput, learning rate and norm of the gradient."""
    titles = {
        **{key: key.replace("_", " ") for key in _speeds(run)},
        "learning_rate": "learning rate",
        "grad_norm": "norm of the gradient",
    }
    for key, title in titles.items():
        if has_values(run.log, key):
            yield chart(key, title, [Line(title, *points(run.log, key))], Axis(from_zero=True))


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
        num_seen: Test examples that are also in another split.
        curve: Scores by share of the labels; None where there is one share.
        directions: What each direction of retrieval finds; nothing of labels.
        classes: Of each label: its name, F1 as a share, F1, precision and recall as text, and its test examples.
        confusion: Which label is taken for which; None if it is not known, or too large.
        leakage: Facts about examples in several splits, by name; None if they were not looked for.
        overlaps: The same as a table, if there are numbers; else nothing.
        settings: By name.
    """

    result: Result
    summary: list[str]
    seconds: float
    scores: _Rows
    num_seen: int
    curve: _Curve | None
    directions: _Rows
    classes: list[tuple[str, float, str, str, str, float]]
    confusion: Markup | None
    leakage: list[tuple[str, str]] | None
    overlaps: _Rows
    settings: list[tuple[str, str]]


def _say(spread: Spread | None) -> str:
    """Return a measure as percentage points, with its standard deviation.

    >>> _say(Spread(0.8123, 0.004)), _say(Spread(0.5, None)), _say(None)
    ('81.2 ± 0.4', '50.0', '-')
    """
    if spread is None:
        return "-"
    return f"{100 * spread.mean:.1f}" + ("" if spread.deviation is None else f" ± {100 * spread.deviation:.1f}")


def _two_metrics(result: Result) -> list[tuple[str, str]]:
    """Return the scores that matter most: the one of all examples alike, and the other that is told first."""
    known = list(metrics_of(result.task["kind"]).items())
    return known[1::-1] if result.task["kind"] == RETRIEVAL else known[:2]


def evaluation_part(results: Sequence[Result]) -> Markup:
    """Return what the page of a run says of its evaluations."""
    shown = [_shown(each, f"evaluation{place}") for place, each in enumerate(results)]
    summaries: dict[tuple[str, ...], list[list[str]]] = {}
    for each in shown:
        unseen = f"{_two_metrics(each.result)[1][1]}, unseen ones"
        head = ("evaluation", "seeds", *metrics_of(each.result.task["kind"]).values(), unseen)
        summaries.setdefault(head, []).append(each.summary)
    return macros("evaluations.html").part(shown, [[head, *rows] for head, rows in summaries.items()])


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
        directions=_directions(result),
        classes=_classes(result),
        confusion=_confusion(result),
        leakage=None if leakage is None else [*known[:_MOST_FACTS], *more],
        overlaps=[] if leakage is None else _overlaps(leakage),
        settings=[*sorted(_flat(result.first.settings)), ("hash of the task", task["hash"])],
    )


def _summary(result: Result) -> list[str]:
    measured = [_say(result.spread("all", metric)) for metric in metrics_of(result.task["kind"])]
    unseen = result.spread("unseen", _two_metrics(result)[1][0])
    return [result.folder.name, str(len(result.seeds)), *measured, _say(unseen)]


def _scores(result: Result) -> _Rows:
    num_unseen = sum(result.first.unseen)
    scopes = {"all": f"all test {result.examples}"} | ({"unseen": f"{num_unseen:,} unseen ones"} if num_unseen else {})
    by_seed = [f"seed {seed}" for seed in result.seeds] if len(result.seeds) > 1 else []
    rows: _Rows = [["percent", *scopes.values(), *by_seed]]
    for metric, name in metrics_of(result.task["kind"]).items():
        cells = [_say(result.spread(scope, metric)) for scope in scopes]
        cells += [f"{100 * value:.1f}" for value in result.values("all", metric)] if by_seed else []
        rows.append([name, *cells])
    return rows


def _directions(result: Result) -> _Rows:
    """Return what each direction of retrieval finds, and how far down the first right one is; nothing of labels."""
    if result.task["kind"] != RETRIEVAL:
        return []
    rows: _Rows = [["search", *(f"{name}, %" for name in metrics_of(RETRIEVAL).values()), *RANKS.values()]]
    for label in result.task["labels"]:
        shares = [_say(result.spread("all", "per_class", label, metric)) for metric in metrics_of(RETRIEVAL)]
        ranks = [result.spread("all", "per_class", label, name) for name in RANKS]
        rows.append([label, *shares, *("-" if rank is None else f"{rank.mean:,.1f}" for rank in ranks)])
    return rows


def _curve(result: Result, key: str) -> _Curve:
    places, lines = [100 * share for share in result.shares], []
    rows: _Rows = [["percent", *(f"{place:g} % of labels" for place in places)]]
    for (metric, name), colour in zip(_two_metrics(result), ("first", "second"), strict=True):
        spreads = [result.spread("all", metric, share=share) for share in result.shares]
        known = [each for each in spreads if each is not None]
        deviations = [each.deviation or 0.0 for each in known]
        lines.append(Line(name, places, [each.mean for each in known], colour, "line", deviations))
        rows.append([name, *map(_say, spreads)])
    axis = Axis("labels, %", is_share=True, ticks=places)
    return _Curve(chart(f"{key}-labels", "scores by share of the labels", lines, axis), rows)


def _classes(result: Result) -> list[tuple[str, float, str, str, str, float]]:
    """Return what was measured of each label, the most frequent first; nothing of retrieval."""
    if result.task["kind"] == RETRIEVAL:
        return []
    classes = []
    for label in result.task["labels"]:
        support = max(result.values("all", "per_class", label, "support"), default=0.0)
        measured = [result.spread("all", "per_class", label, name) for name in OF_A_CLASS]
        # without a text of the label nothing was measured
        precision, recall, f1 = measured if support else (None, None, None)
        classes.append((label, f1.mean if f1 else 0.0, _say(f1), _say(precision), _say(recall), support))
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
    """Return how many texts are in several splits, if they were counted."""
    overlaps = [*leakage.get("between", ()), *leakage.get("within", ())]
    if not overlaps or not all(_OVERLAP.keys() <= each.keys() for each in overlaps):
        return []
    rows: _Rows = [["texts of", "are in", "of", *_OVERLAP.values(), "share"]]
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
