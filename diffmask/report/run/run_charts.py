"""The curves of a run: what it learned, what it was told to mask, how fast it was."""

from collections.abc import Sequence

import numpy as np

from diffmask.core.schedule import Schedule
from diffmask.report.figures.run_logs import SMOOTHED_OVER, smooth
from diffmask.report.html.charts import Axis, Line, chart
from diffmask.report.html.curves import Log, has_values, points
from diffmask.report.nouns import Nouns

SHARES = Axis(is_share=True, from_zero=True)
_PLACES = 200
"""Steps of a schedule that are drawn."""


def loss_charts(log: Log, nouns: Nouns) -> list[str]:
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


def schedule_chart(log: Log, key: str, title: str, schedule: Schedule | None, num_steps: int) -> str:
    """Return a schedule, as planned for the whole run and as logged so far."""
    steps, reached = points(log, key)
    lines = [Line("reached" if key == "mask_ratio" else "logged", steps, reached)]
    if schedule is not None:
        places = np.linspace(0.0, 1.0, _PLACES)
        planned = [schedule(float(place)) for place in places]
        lines.append(Line("planned", (places * num_steps).tolist(), planned, "ink", "dashed"))
    return chart(key, title, lines, SHARES)


def share_chart(log: Log, in_text: float | None, nouns: Nouns) -> str:
    """Return how much of what was masked was of the domain, beside its share of the text."""
    steps, shares = points(log, "domain_share")
    lines = [Line(f"of the hidden {nouns.parts}", steps, shares)]
    if in_text is not None:
        lines.append(Line("of the text", [0, max(steps)], [in_text, in_text], "first", "dashed"))
    return chart("domain_share", f"{nouns.wholes} of the domain", lines, SHARES)


def speed_charts(log: Log, nouns: Nouns) -> list[str]:
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


def charts(figures: Sequence[str]) -> str:
    """Return figures side by side in a card."""
    return f'<div class="card charts">{"".join(figures)}</div>' if figures else ""
