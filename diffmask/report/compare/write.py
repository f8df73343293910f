"""The folder of a comparison, and its page."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from diffmask.evaluate.compare.compare import NOT_SHOWN, Comparison, DifferenceOfMeans
from diffmask.files.folders import check_folder, replace_folder
from diffmask.report.compare.figures import forest_figure, learning_figure, say_difference
from diffmask.report.compare.tables import (
    DIFFERENCE_HEAD,
    SCORE_HEAD,
    difference_cells,
    finding,
    list_facts,
    list_notes,
    score_cells,
    title,
    to_csv,
    to_markdown,
)
from diffmask.report.figures.figures import save_figure
from diffmask.report.html.charts import embed
from diffmask.report.html.page import escape, header, number_class, page, paragraph, section, table, write_page

_FILES = ("comparison.md", "comparison.csv", "comparison.html", "comparison.json", "forest.png", "learning.png")
_MOST_SEEDS = 10
"""Seeds whose scores stand in the table one by one."""


def check_output(folder: str | Path, *, overwrite: bool) -> Path:
    """Return the folder if a comparison may be written there; see `files.folders.check_folder`."""
    return check_folder(folder, "comparison", _FILES, overwrite=overwrite)


def write_comparison(found: Comparison, folder: Path) -> None:
    """Write a folder that `check_output` allowed, all at once: Markdown, CSV, HTML, JSON and figures."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(draft, ignore_errors=True)  # of a process of the same number that was killed
    try:
        draft.mkdir()
        (draft / "comparison.md").write_text(to_markdown(found), encoding="utf-8")
        (draft / "comparison.csv").write_text(to_csv(found), encoding="utf-8")
        content = json.dumps(asdict(found), indent=2, ensure_ascii=False)
        (draft / "comparison.json").write_text(content + "\n", encoding="utf-8")
        write_page(_page(found), draft / "comparison.html")
        save_figure(forest_figure(found), draft / "forest.png")
        if found.curve:
            save_figure(learning_figure(found), draft / "learning.png")
        replace_folder(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _page(found: Comparison) -> str:
    head = header(title(found), finding(found), list_facts(found))
    return page(title(found), [head, *comparison_sections(found)])


def comparison_sections(found: Comparison) -> list[str]:
    """Return differences, scores and learning curves for a page of whatever kind."""
    told = "; ".join(f"{each.name} - {each.other}: {say_difference(each)}" for each in found.differences)
    figure = f'<div class="card">{embed(forest_figure(found), "forest", told)}</div>'
    sections = [
        section("Differences", figure, table(DIFFERENCE_HEAD, map(_difference_row, found.differences))),
        section("Scores", _scores(found)),
    ]
    if found.curve:
        points = (f"{each.name} with {100 * each.share:g} %: {100 * each.mean:.2f}" for each in found.curve)
        drawn = embed(learning_figure(found), "learning", "; ".join(points))
        sections.append(section("Learning curves", f'<div class="card">{drawn}</div>'))
    notes = "".join(f"<li>{escape(note)}</li>" for note in list_notes(found))
    sections.append(section("What the numbers mean", f'<ul class="plain soft">{notes}</ul>'))
    return sections


def _scores(found: Comparison) -> str:
    seeds = list(found.scores[0].scores)
    if not 1 < len(seeds) <= _MOST_SEEDS:
        seeds = []
    head = [*SCORE_HEAD, *(f"seed {seed}" for seed in seeds)]
    rows = (_row([*score_cells(row), *(f"{100 * row.scores[seed]:.2f}" for seed in seeds)]) for row in found.scores)
    return paragraph("Mean and standard deviation over the seeds, in points.") + table(head, rows)


def _difference_row(row: DifferenceOfMeans) -> str:
    return _row(difference_cells(row), "soft" if row.verdict == NOT_SHOWN else "best")


def _row(cells: Sequence[str], kind: str = "") -> str:
    # verdicts stand under their head, which is on the right as those of numbers are
    shown = "".join(f"<td{number_class(True)}>{escape(cell)}</td>" for cell in cells[1:])
    return f'<tr{f" class={kind!r}" if kind else ""}><th scope="row">{escape(cells[0])}</th>{shown}</tr>'
