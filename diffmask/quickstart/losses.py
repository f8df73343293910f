"""Held-out losses of several runs beside the model that was not continued: a table for the terminal and for a page."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan, nan
from statistics import fmean
from typing import NamedTuple

from markupsafe import escape
from rich.table import Table
from rich.text import Text

from diffmask.assemble.modality import Words
from diffmask.report.html.charts import chart_of_runs
from diffmask.report.html.page import paragraph, section, table
from diffmask.train.log import Log, has_values

BEFORE = "not continued"
_ALL, _DOMAIN = "eval_loss", "eval_loss_domain"


class HeldOutLoss(NamedTuple):
    """A model's loss per masked position of what is held out."""

    name: str
    loss: float
    loss_domain: float


def read_losses(logs: Mapping[str, Log]) -> list[HeldOutLoss]:
    """Return the losses before the first step, which all runs share, and after the last step of each run.

    Args:
        logs: Entries of each run's log, by name; each run evaluated before its first step and after its last.
    """
    evaluations = {name: [entry for entry in log if _ALL in entry] for name, log in logs.items()}
    first = next(iter(evaluations.values()))[0]
    assert first["step"] == 0, "a run that is compared must evaluate before its first step"
    last = {name: entries[-1] for name, entries in evaluations.items()}
    # without a masked position of the domain there is no loss
    return [HeldOutLoss(name, entry[_ALL], entry.get(_DOMAIN, nan)) for name, entry in {BEFORE: first, **last}.items()]


def mean_of_seeds(seeds: Sequence[Sequence[HeldOutLoss]]) -> list[HeldOutLoss]:
    """Return the means of several seeds' results of the same runs."""
    return [
        HeldOutLoss(same[0].name, fmean(each.loss for each in same), fmean(each.loss_domain for each in same))
        for same in zip(*seeds, strict=True)
    ]


def loss_table(results: Sequence[HeldOutLoss], words: Words) -> Table:
    """Return the losses for the terminal, with what changed from the first row."""
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for place, name in enumerate(_columns(words)):
        shown.add_column(name, justify="right" if place else "left")
    for name, *cells in _cells(results):
        shown.add_row(Text(name), *(f"{loss} {change:>8}" for loss, change in cells))
    return shown


def loss_section(results: Sequence[HeldOutLoss], *notes: str, words: Words) -> str:
    """Return the losses for a page; notes say what they show and what they do not."""
    rows = (
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td class="number">{loss} <small class="soft">{change}</small></td>' for loss, change in cells)
        + "</tr>"
        for name, *cells in _cells(results)
    )
    return section(f"Held-out {words.samples}", table(_columns(words), rows), *(paragraph(note) for note in notes))


def _columns(words: Words) -> tuple[str, str, str]:
    return "held-out loss", f"all {words.wholes}", f"domain {words.wholes}"


def curve_section(logs: Mapping[str, Log], words: Words) -> str:
    """Return the curves of several runs."""
    figures = {
        _ALL: f"held-out loss, all {words.wholes}",
        _DOMAIN: f"held-out loss, domain {words.wholes}",
        "loss": "training loss, each on its own masks",
    }
    drawn = "".join(
        chart_of_runs(logs, key, title)
        for key, title in figures.items()
        if any(has_values(log, key) for log in logs.values())
    )
    lead = (
        "The held-out losses are measured on the same random masks for every run, so they can be compared. The "
        f"training losses cannot: each is measured on the {words.wholes} that its own policy hides, and some are "
        "harder to guess."
    )
    return section("Curves", paragraph(lead), f'<div class="card grid">{drawn}</div>')


def _cells(results: Sequence[HeldOutLoss]) -> Iterator[list]:
    """Yield the name of each row, then for each column the loss and how it differs from the first row's, as text."""
    first = results[0]
    for result in results:
        pairs = [(result.loss, first.loss), (result.loss_domain, first.loss_domain)]
        yield [result.name, *(_cell(a, b, is_first=result is first) for a, b in pairs)]


def _cell(loss: float, first: float, *, is_first: bool) -> tuple[str, str]:
    return ("-", "") if isnan(loss) else (f"{loss:.3f}", "" if is_first else f"{loss - first:+.3f}")
