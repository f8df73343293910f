"""The page of a run: what was run, on what, what was masked, and what came of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from diffmask.config.evaluation import METRICS
from diffmask.report.figures.run_logs import SMOOTHED_OVER, smooth
from diffmask.report.html.charts import Axis, Line, chart
from diffmask.report.html.page import duration, macros, page
from diffmask.report.run.data import RunData, Section
from diffmask.report.run.evaluations_html import evaluation_parts, say
from diffmask.train.log import has_values, points

_SHARES = Axis(is_share=True, from_zero=True)
_PLACES = 200
"""Steps of a schedule that are drawn."""
_MOST_TILES = 4
"""Evaluations among the figures at the top; the section on them has all."""
_CLIP_USES = {"clips": "trained on", "held_out": "held out"}
"""Clips that a run read, by what inputs.json calls them."""
_FILE_USES = {"data": "trained on", "held_out": "held out", "task": "task"}
"""Files that a run read, by what inputs.json calls them."""


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
        evaluations = Markup("".join(evaluation_parts(run.evaluations)))
        sections.append(Section("evaluation", "Evaluation", evaluations))
    return page(f"{run.name} - diffmask report", [parts.body(run, _lead(run), list(_tiles(run)), sections)])


def _lead(run: RunData) -> str:
    what = f"{run.model}, continued with {run.policy} masking"
    if run.is_complete:
        date = f", started on {run.sessions[0]['started'][:10]}" if run.sessions else ""
        return f"{what} for {run.num_steps:,} steps{date}."
    return f"{what}; not finished: {run.last_step:,} of {run.num_steps:,} steps so far."


def _tiles(run: RunData) -> Iterator[tuple[str, str, str]]:
    """Yield the figures that matter most: name, value, note."""
    domain = f"domain {run.words.wholes}"
    for key, name in {"eval_loss": "held-out loss", "eval_loss_domain": f"on {domain}"}.items():
        steps, losses = points(run.log, key)
        if steps:
            change = f"{losses[-1] - losses[0]:+.3f} since".replace("-", "\u2212") if len(losses) > 1 else "at"
            yield name, f"{losses[-1]:.3f}", f"{change} step {steps[0]:,}"
    ratio = _mean(run, "mask_ratio")
    if ratio is not None:
        share = _mean(run, "domain_share")
        yield "mask ratio", f"{100 * ratio:.1f} %", "" if share is None else f"{100 * share:.0f} % of it {domain}"
    if run.sessions:
        count = len(run.sessions)
        yield "time", duration(run.seconds), "in one go" if count == 1 else f"in {count} sessions"
    speed = _mean(run, f"{run.words.parts}_per_second")
    if speed is not None:
        yield f"{run.words.parts} per second", f"{speed:,.0f}", "in training, per process"
    for each in run.evaluations[:_MOST_TILES]:
        note = f"{METRICS['micro_f1']} {say(each.spread('all', 'micro_f1'))}, seeds: {len(each.seeds)}"
        yield f"{METRICS['macro_f1']}, {each.folder.name}", say(each.spread("all", "macro_f1")), note


def _mean(run: RunData, key: str) -> float | None:
    """Return the mean over the steps of a value that is logged as the mean since the line before."""
    steps, values = points(run.log, key)
    spans = [step - before for step, before in zip(steps, [0, *steps], strict=False)]
    if not steps or not sum(spans):
        return None
    return sum(value * span for value, span in zip(values, spans, strict=True)) / sum(spans)


def _what(run: RunData) -> Markup:
    """Return what was run; whole hashes, and what the anchors were made of, are folded away."""
    clips = [(use, run.inputs[key]) for key, use in _CLIP_USES.items() if isinstance(run.inputs.get(key), Mapping)]
    # of clips, what was held out is told with them
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
    for key, title in titles.items():
        if has_values(run.log, key):
            yield chart(key, title, [Line("loss", *points(run.log, key))])
    # of a run that learns a task too, `loss` is the sum of both
    steps, losses = points(run.log, "masked_loss" if has_values(run.log, "masked_loss") else "loss")
    if steps:
        even = smooth(np.array(losses), int(len(losses) * SMOOTHED_OVER) | 1).tolist()
        lines = [Line("as logged", steps, losses, "first", "faint"), Line("smoothed", steps, even)]
        yield chart("loss", "training loss, on its own masks", lines if even != losses else lines[1:])


def _task_charts(run: RunData) -> Iterator[Markup]:
    """Yield loss and accuracy of a task that was trained together with the masks."""
    for key, title in {"task_loss": "loss of the task", "task_accuracy": "accuracy on the task"}.items():
        lines = [Line("in training", *points(run.log, key), "first"), Line("held out", *points(run.log, f"eval_{key}"))]
        if any(line.xs for line in lines):
            yield chart(key, title, lines, Axis(is_share=key == "task_accuracy"))


def _held_strength(run: RunData) -> float | None:
    """Return the strength if it was the same throughout."""
    values = set(points(run.log, "strength")[1])
    return values.pop() if len(values) == 1 else None


def _schedule_charts(run: RunData) -> Iterator[Markup]:
    """Yield ratio and strength, as planned for the whole run and as logged so far, and the share of the domain."""
    titles = {"mask_ratio": "mask ratio"} | ({"strength": "strength"} if _held_strength(run) is None else {})
    places = np.linspace(0.0, 1.0, _PLACES)
    for key, title in titles.items():
        lines = [Line("reached" if key == "mask_ratio" else "logged", *points(run.log, key))]
        if key in run.schedules:
            planned = [run.schedules[key](float(place)) for place in places]
            lines.append(Line("planned", (places * run.num_steps).tolist(), planned, "ink", "dashed"))
        if any(line.xs for line in lines):
            yield chart(key, title, lines, _SHARES)
    steps, shares = points(run.log, "domain_share")
    if steps:
        lines = [Line(f"of the hidden {run.words.parts}", steps, shares)]
        in_text = None if run.preview is None else run.preview.domain_share
        if in_text is not None:
            lines.append(Line("of the text", [0, max(steps)], [in_text, in_text], "first", "dashed"))
        yield chart("domain_share", f"{run.words.wholes} of the domain", lines, _SHARES)


def _speed_charts(run: RunData) -> Iterator[Markup]:
    """Yield throughput, and what it went into."""
    titles = {
        f"{run.words.parts}_per_second": f"{run.words.parts} per second",
        "learning_rate": "learning rate",
        "grad_norm": "norm of the gradient",
    }
    for key, title in titles.items():
        if has_values(run.log, key):
            yield chart(key, title, [Line(title, *points(run.log, key))], Axis(from_zero=True))
