"""Does continuing help here, and how soon? What comparisons say of it, in sentences and in tables."""

from collections.abc import Sequence

from diffmask.evaluate.compare import HIGHER, LOWER, NOT_SHOWN, DifferenceOfMeans, Score, WorthOfContinuing
from diffmask.evaluate.step_curves import StepCurves
from diffmask.report.markdown import markdown_table

QUESTION = "Does continuing help here?"


def answer(worth: WorthOfContinuing) -> str:
    """Return the answer in a sentence or two, for each share of the labels."""
    if not worth.differences:
        return (
            f"{QUESTION} This comparison cannot tell: no result is of the model as it was before it was continued; "
            "evaluate that too, in the same way."
        )
    parts = [(share, _told(found)) for share, found in worth.differences.items()]
    if len(parts) == 1:
        told = parts[0][1]
        return f"{QUESTION} {told[0].upper()}{told[1:]}.{_left(worth)}"
    clauses = "; ".join(f"with {100 * share:g} % of the labels {told}" for share, told in parts)
    return f"{QUESTION} {clauses[0].upper()}{clauses[1:]}.{_left(worth)}"


def unanswered(model: str, *, evaluated: bool) -> str:
    """Return what one run can say, which is no answer, and how to get one.

    Args:
        model: The model that the run has continued.
        evaluated: Whether the run was evaluated on a task.
    """
    same = f"{model} as it was"
    asked = f"evaluate {same} in the same way" if evaluated else f"evaluate this run and {same} on your task"
    beyond = "Its scores alone" if evaluated else "A lower held-out loss alone"
    return f"{QUESTION} {beyond} cannot tell: {asked}, and `diffmask compare` answers."


def _told(found: Sequence[DifferenceOfMeans]) -> str:
    """Return what was found with one share of the labels."""
    better, worse = ([each for each in found if each.verdict == verdict] for verdict in (HIGHER, LOWER))
    open_ones = sum(each.verdict == NOT_SHOWN for each in found)
    said = []
    if better:
        said.append(f"yes: {_listed(better, 'better')}")
    if worse:
        said.append(f"{'but' if better else 'no, it harms:'} {_listed(worse, 'worse')}")
    if not said:
        return "no difference is shown"
    rest = f"no difference is shown for {open_ones} of {len(found)}"
    return ", ".join([*said, *([rest] if open_ones else [])])


def _listed(found: Sequence[DifferenceOfMeans], how: str) -> str:
    each = ", ".join(f"{one.name} by {100 * abs(one.mean):.2f}" for one in found)
    originals = list(dict.fromkeys(one.other for one in found))
    return f"{each} points {how} than {' and '.join(originals)}"


def _left(worth: WorthOfContinuing) -> str:
    if not worth.without:
        return ""
    return f" Nothing is said of {', '.join(worth.without)}, whose original is not among the results."


def table_of_worth(worth: WorthOfContinuing) -> list[tuple[str, ...]]:
    """Return head and rows of a table: what each continued model gains, by share of the labels, and the area's gain."""
    shares = list(worth.differences)
    areas = {each.name: each for each in worth.areas}
    head = ("continued", "against", *(f"{100 * share:g} %" for share in shares), *(["area"] if areas else []))
    rows = []
    for place, first in enumerate(worth.differences[shares[0]] if shares else ()):
        cells = [worth.differences[share][place] for share in shares]
        if areas:
            cells.append(areas[first.name])
        rows.append((first.name, first.other, *map(_cell, cells)))
    return [head, *rows]


def lines_of_worth(worth: WorthOfContinuing) -> list[tuple[str, ...]]:
    """Return the same for a terminal, which is not wide: a line for each continued model and share, and its area."""
    head = ("continued", "against", "labels", "difference", "95 % interval", "verdict")
    rows = [(f"{100 * share:g} %", each) for share, cells in worth.differences.items() for each in cells]
    rows += [("area", each) for each in worth.areas]
    return [
        head,
        *(
            (
                each.name,
                each.other,
                labels,
                f"{100 * each.mean:+.2f}",
                f"{100 * each.low:+.2f} to {100 * each.high:+.2f}",
                each.verdict,
            )
            for labels, each in rows
        ),
    ]


def _cell(each: DifferenceOfMeans) -> str:
    mark = {HIGHER: " better", LOWER: " worse"}.get(each.verdict, "")
    return f"{100 * each.mean:+.2f} ({100 * each.low:+.2f} to {100 * each.high:+.2f}){mark}"


def step_table(found: StepCurves) -> str:
    """Return a table in Markdown of the scores of each arm by number of steps, in points, with 95 % intervals."""
    steps = list(found.scores)
    rows = [(name, *(_interval(found.scores[step][name]) for step in steps)) for name in found.reached]
    return markdown_table(("name", *(f"{step:,} steps" for step in steps)), rows)


def step_notes(found: StepCurves) -> str:
    """Return, as a list in Markdown, the areas under the curves and how soon each arm is where the baseline ends."""
    lines = [
        f"- mean over the steps (area under the curve), {each.name} against {each.other}: {_cell(each).strip()}"
        + ("" if each.verdict != NOT_SHOWN else ", no difference shown")
        for each in found.areas
    ]
    goal = found.scores[max(found.scores)][found.baseline].mean
    for name, step in found.reached.items():
        when = "never" if step is None else f"after {step:,.0f} steps"
        lines.append(f"- {name} reaches {100 * goal:.2f}, where {found.baseline} ends: {when}")
    return "\n".join(lines)


def _interval(score: Score) -> str:
    return f"{100 * score.mean:.2f} ({100 * score.low:.2f} to {100 * score.high:.2f})"
