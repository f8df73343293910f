"""The page of a run: what was run, on what, what was masked, and what came of it.

The curves of a run: what it learned, what it was told to mask, how fast it was.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from diffmask.config.evaluation import METRICS
from diffmask.core.schedule import Schedule
from diffmask.report.clips.page import clip_parts, failure_table, number_part
from diffmask.report.figures.run_logs import SMOOTHED_OVER, smooth
from diffmask.report.html.charts import Axis, Line, chart, heat_table
from diffmask.report.html.curves import Log, has_values, points
from diffmask.report.html.page import contents, header, page, paragraph, prose, section, tiles
from diffmask.report.nouns import PATCHES, Nouns
from diffmask.report.preview.heatmap_html import ANCHOR_LEAD, anchor_chips, heat_cards, number_table, word_lists
from diffmask.report.preview.look import DOMAIN
from diffmask.report.run.data import RunData
from diffmask.report.run.evaluations_html import evaluation_parts, say
from diffmask.report.run.facts import duration, run_parts

SHARES = Axis(is_share=True, from_zero=True)
_PLACES = 200
"""Steps of a schedule that are drawn."""


def _loss_charts(log: Log, nouns: Nouns) -> list[str]:
    """Return the losses: held out, on all that is masked and on the domain's, and of the training."""
    titles = {
        "eval_loss": f"held-out loss, all {nouns.wholes}",
        "eval_loss_domain": f"held-out loss, domain {nouns.wholes}",
    }
    figures = [
        chart(key, title, [Line("loss", *points(log, key))])
        for key, title in titles.items()
        if has_values({"": log}, key)
    ]
    # of a run that learns a task too, `loss` is the sum of both
    steps, losses = points(log, "masked_loss" if has_values({"": log}, "masked_loss") else "loss")
    if steps:
        even = smooth(np.array(losses), int(len(losses) * SMOOTHED_OVER) | 1).tolist()
        lines = [Line("as logged", steps, losses, "first", "faint"), Line("smoothed", steps, even)]
        figures.append(chart("loss", "training loss, on its own masks", lines if even != losses else lines[1:]))
    return figures + _task_charts(log)


def _task_charts(log: Log) -> list[str]:
    """Return loss and accuracy of a task that was trained together with the masks."""
    figures = []
    for key, title in {"task_loss": "loss of the task", "task_accuracy": "accuracy on the task"}.items():
        lines = [Line("in training", *points(log, key), "first"), Line("held out", *points(log, f"eval_{key}"))]
        if any(line.xs for line in lines):
            figures.append(chart(key, title, lines, Axis(is_share=key == "task_accuracy")))
    return figures


def _schedule_chart(log: Log, key: str, title: str, schedule: Schedule | None, num_steps: int) -> str:
    """Return a schedule, as planned for the whole run and as logged so far."""
    steps, reached = points(log, key)
    lines = [Line("reached" if key == "mask_ratio" else "logged", steps, reached)]
    if schedule is not None:
        places = np.linspace(0.0, 1.0, _PLACES)
        planned = [schedule(float(place)) for place in places]
        lines.append(Line("planned", (places * num_steps).tolist(), planned, "ink", "dashed"))
    return chart(key, title, lines, SHARES)


def _share_chart(log: Log, in_text: float | None, nouns: Nouns) -> str:
    """Return how much of what was masked was of the domain, beside its share of the text."""
    steps, shares = points(log, "domain_share")
    lines = [Line(f"of the hidden {nouns.parts}", steps, shares)]
    if in_text is not None:
        lines.append(Line("of the text", [0, max(steps)], [in_text, in_text], "first", "dashed"))
    return chart("domain_share", f"{nouns.wholes} of the domain", lines, SHARES)


def _speed_charts(log: Log, nouns: Nouns) -> list[str]:
    """Return throughput, and what it went into."""
    titles = {
        f"{nouns.parts}_per_second": f"{nouns.parts} per second",
        "learning_rate": "learning rate",
        "grad_norm": "norm of the gradient",
    }
    return [
        chart(key, title, [Line(title, *points(log, key))], Axis(from_zero=True))
        for key, title in titles.items()
        if has_values({"": log}, key)
    ]


def _charts(figures: Sequence[str]) -> str:
    """Return figures side by side in a card."""
    return f'<div class="card charts">{"".join(figures)}</div>' if figures else ""


MASKED_LEAD = (
    "The same sentences at several steps of this run. The colour of a word is the probability that the step hides it: "
    "the mean of many masks, drawn as training draws them. Words in a box are hidden by one of these masks. Each "
    "sentence is masked as a row of its own."
)
LOSS_LEAD = (
    "The held-out losses are measured on the same random masks throughout, and may be compared with those of other "
    "runs on the same text; the training loss is measured on the words that this run hides."
)
CLIP_LOSS_LEAD = (
    "The held-out losses are measured on the same random masks throughout, and may be compared with those of other "
    "runs on the same clips; the training loss is measured on the patches that this run hides."
)
CLIP_ANCHOR_LEAD = "What makes this domain different; a number is how many times more frequent it is than elsewhere."
FAILURE_LEAD = "Clips that could not be read while they were scored or trained on; others took their place."
MOST_TILES = 4
"""Evaluations among the figures at the top; the section on them has all."""
CLASS_LEAD = (
    "Loss-weighted masking follows the running loss of each class of words: a class that is still hard has a weight "
    "near 1, one that is easy a weight near 0. Weights in percent."
)


def run_page(run: RunData) -> str:
    """Return the page of a run."""
    made = {
        "run": ("What was run", list(run_parts(run))),
        "losses": ("Losses", list(_losses(run))),
        "schedules": ("Schedules", list(_schedules(run))),
        "anchors": ("Anchors", list(_anchors(run))),
        "masked": ("What was masked", list(_masked(run))),
        "failures": ("Clips that failed", list(_failures(run))),
        "classes": ("Classes of words", list(_classes(run))),
        "speed": ("Throughput and optimiser", list(_speed(run))),
        "evaluation": ("Evaluation", list(evaluation_parts(run.evaluations)) if run.evaluations else []),
    }
    made = {anchor: each for anchor, each in made.items() if each[1]}
    head = header(run.name, _lead(run))
    links = contents({anchor: title for anchor, (title, _) in made.items()})
    sections = [section(title, *parts, anchor=anchor) for anchor, (title, parts) in made.items()]
    title = f"{run.name} - diffmask report"
    return page(title, [head, _missing(run), tiles(_figures(run)), links, *sections])


def _lead(run: RunData) -> str:
    what = f"{run.model}, continued with {run.policy} masking"
    if run.is_complete:
        date = f", started on {run.sessions[0]['started'][:10]}" if run.sessions else ""
        return f"{what} for {run.num_steps:,} steps{date}."
    return f"{what}; not finished: {run.last_step:,} of {run.num_steps:,} steps so far."


def _missing(run: RunData) -> str:
    if not run.missing:
        return ""
    lines, title = "".join(f"<li>{prose(line)}</li>" for line in run.missing), "What this page lacks"
    return f'<aside class="notice" aria-label="{title}"><h2>{title}</h2><ul>{lines}</ul></aside>'


def _figures(run: RunData) -> Iterator[tuple[str, str, str]]:
    """Yield what matters most."""
    domain = f"domain {run.nouns.wholes}"
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
    speed = _mean(run, f"{run.nouns.parts}_per_second")
    if speed is not None:
        yield f"{run.nouns.parts} per second", f"{speed:,.0f}", "in training, per process"
    for each in run.evaluations[:MOST_TILES]:
        note = f"{METRICS['micro_f1']} {say(each.spread('all', 'micro_f1'))}, seeds: {len(each.seeds)}"
        yield f"{METRICS['macro_f1']}, {each.folder.name}", say(each.spread("all", "macro_f1")), note


def _mean(run: RunData, key: str) -> float | None:
    """Return the mean over the steps of a value that is logged as the mean since the line before."""
    steps, values = points(run.log, key)
    spans = [step - before for step, before in zip(steps, [0, *steps], strict=False)]
    if not steps or not sum(spans):
        return None
    return sum(value * span for value, span in zip(values, spans, strict=True)) / sum(spans)


def _losses(run: RunData) -> Iterator[str]:
    figures = _loss_charts(run.log, run.nouns)
    if figures:
        yield paragraph(CLIP_LOSS_LEAD if run.nouns == PATCHES else LOSS_LEAD)
        yield _charts(figures)


def _schedules(run: RunData) -> Iterator[str]:
    titles = {"mask_ratio": "mask ratio", "strength": "strength"}
    held = sorted(set(points(run.log, "strength")[1]))
    if len(held) == 1:  # nothing to draw
        del titles["strength"]
    figures = [
        _schedule_chart(run.log, key, title, run.schedules.get(key), run.num_steps)
        for key, title in titles.items()
        if key in run.schedules or has_values({"": run.log}, key)
    ]
    if has_values({"": run.log}, "domain_share"):
        in_text = run.preview.text_shares[DOMAIN] if run.preview else None
        figures.append(_share_chart(run.log, in_text, run.nouns))
    if figures:
        yield paragraph(
            "How much was to be masked and how far the policy was to be followed, at each step, and what the masks "
            "came to. "
            + (
                "Whole units are hidden, the same number in every row, so that a ratio is met but for a unit."
                if run.nouns == PATCHES
                else "At least one word of every row is masked, so that short rows lie above a small ratio."
            )
            + (f" The strength was {100 * held[0]:g} % throughout." if len(held) == 1 else "")
        )
        yield _charts(figures)


def _anchors(run: RunData) -> Iterator[str]:
    if run.anchors:
        yield paragraph(CLIP_ANCHOR_LEAD if run.nouns == PATCHES else ANCHOR_LEAD)
        yield anchor_chips(run.anchors)


def _masked(run: RunData) -> Iterator[str]:
    if run.clips is not None:
        yield paragraph(run.data_note)
        yield from clip_parts(run.clips)
        yield "<h3>How much was hidden</h3>"
        yield number_part(run.clips)
    if run.preview is None:
        return
    yield paragraph(MASKED_LEAD)
    yield paragraph(run.data_note)
    yield heat_cards(run.preview)
    yield "<h3>Whose words were hidden</h3>"
    yield number_table(run.preview, run.threshold)
    telling = max(run.preview.figures.items(), key=lambda each: len(each[1].most) + len(each[1].least))
    yield from word_lists(dict([telling]))


def _failures(run: RunData) -> Iterator[str]:
    if run.failures:
        yield paragraph(FAILURE_LEAD)
        yield failure_table(dict(run.failures))


def _classes(run: RunData) -> Iterator[str]:
    if run.classes is None:
        return
    yield paragraph(CLASS_LEAD)
    known = run.classes
    order = sorted(range(len(known.names)), key=lambda row: -known.weights[-1][row])
    names = [known.names[row] for row in order]
    columns = [f"{step:,}" for step in known.steps]
    titles = [[f"{known.names[row]}, loss {losses[row]:.3f}" for losses in known.losses] for row in order]
    shares = [[weights[row] for weights in known.weights] for row in order]
    yield heat_table("weight after step", names, columns, shares, titles=titles)


def _speed(run: RunData) -> Iterator[str]:
    figures = _speed_charts(run.log, run.nouns)
    if figures:
        yield paragraph(
            f"{run.nouns.parts.capitalize()} that may be masked, of one process, over the time between two log lines; "
            "evaluations in between are not counted."
        )
        yield _charts(figures)
