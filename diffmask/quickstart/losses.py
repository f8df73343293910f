"""Held-out losses of several runs beside the model that was not continued: a table for the terminal and for a page."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan, nan
from statistics import fmean
from typing import NamedTuple

from markupsafe import Markup
from rich.table import Table
from rich.text import Text

from diffmask.assemble.modality import Words
from diffmask.report.html.charts import chart_of_runs
from diffmask.report.html.page import macros
from diffmask.train.log import Log, of_sides

BEFORE = "not continued"
_ALL, _DOMAIN, _NUM_MASKED = "eval_loss", "eval_loss_domain", "eval_masked"


class HeldOutLoss(NamedTuple):
    """A model's loss per masked position of what is held out."""

    name: str
    loss: float
    loss_domain: float


def masked_sides(log: Log) -> list[str]:
    """Return the sides of whose masked positions a run has logged held-out losses; "" where it has one side only."""
    return list(of_sides(log, _NUM_MASKED).values()) or [""]


def read_losses(logs: Mapping[str, Log], side: str = "") -> list[HeldOutLoss]:
    """Return the losses before the first step, which all runs share, and after the last step of each run.

    Args:
        logs: Entries of each run's log, by name; each run evaluated before its first step and after its last.
        side: Which side's, of a run that has several.
    """
    key, key_domain = (f"{name}_{side}" if side else name for name in (_ALL, _DOMAIN))
    evaluations = {name: [entry for entry in log if _ALL in entry] for name, log in logs.items()}
    first = next(iter(evaluations.values()))[0]
    assert first["step"] == 0, "a run that is compared must evaluate before its first step"
    last = {name: entries[-1] for name, entries in evaluations.items()}
    # without a masked position of the domain there is no loss
    return [
        HeldOutLoss(name, entry[key], entry.get(key_domain, nan)) for name, entry in {BEFORE: first, **last}.items()
    ]


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


def loss_section(results: Sequence[HeldOutLoss], *notes: str, words: Words) -> Markup:
    """Return the losses for a page; notes say what they show and what they do not."""
    title = f"Held-out {words.samples}"
    rows = [(name, cells) for name, *cells in _cells(results)]
    return macros("quickstart.html").losses(title, _columns(words), rows, notes)


def _columns(words: Words) -> tuple[str, str, str]:
    return "held-out loss", f"all {words.wholes}", f"domain {words.wholes}"


def curve_section(logs: Mapping[str, Log], words: Words) -> Markup:
    """Return the curves of several runs."""
    figures = {
        _ALL: f"held-out loss, all {words.wholes}",
        _DOMAIN: f"held-out loss, domain {words.wholes}",
        "loss": "training loss, each on its own masks",
    }
    entries = [entry for log in logs.values() for entry in log]
    charts = [
        chart_of_runs(logs, found, f"{title}: {side}" if side else title)
        for key, title in figures.items()
        for found, side in of_sides(entries, key).items()
    ]
    return macros("quickstart.html").curves(words, charts)


def _cells(results: Sequence[HeldOutLoss]) -> Iterator[list]:
    """Yield the name of each row, then for each column the loss and how it differs from the first row's, as text."""
    first = results[0]
    for result in results:
        pairs = [(result.loss, first.loss), (result.loss_domain, first.loss_domain)]
        yield [result.name, *(_cell(a, b, is_first=result is first) for a, b in pairs)]


def _cell(loss: float, first: float, *, is_first: bool) -> tuple[str, str]:
    return ("-", "") if isnan(loss) else (f"{loss:.3f}", "" if is_first else f"{loss - first:+.3f}")
