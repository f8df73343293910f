"""Scores over the steps of pretraining: how soon continuing helps, and how soon an arm is where the baseline ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from diffmask.evaluate.compare import (
    CompareSettings,
    DifferenceOfMeans,
    Gap,
    Score,
    chosen_metric,
    measure,
    tell_apart,
    weights_of_area,
)
from diffmask.evaluate.resampling import Draws
from diffmask.evaluate.results import Result, common_seeds


@dataclass(frozen=True)
class StepCurves:
    """Scores of arms over the steps of pretraining.

    Attributes:
        baseline: The arm that the others are compared with.
        scores: By number of steps, ascending, the score of each arm; at 0, that of the model as it was.
        areas: Differences of the areas under the curves, over their width, to that of the baseline.
        reached: After how many steps each arm has the score that the baseline has at its end; None if it never does.
            Between two measured steps the score is taken to change evenly.
    """

    baseline: str
    scores: Mapping[int, Mapping[str, Score]]
    areas: tuple[DifferenceOfMeans, ...]
    reached: Mapping[str, float | None]


def compare_steps(results: Mapping[int, Sequence[Result]], settings: CompareSettings) -> StepCurves:
    """Compare arms over their steps.

    Args:
        results: By number of steps, a result of each arm, under the same names; at 0, the model as it was, which may be
            the same result under the name of each arm.
        settings: Metric, baseline and draws; the largest share that all results have is taken.
    """
    first = results[min(results)][0].first
    metric = chosen_metric(settings.metric, first.task["kind"])
    every = [each for row in results.values() for each in row]
    seeds, share = common_seeds(every), max(set.intersection(*(set(each.shares) for each in every)))
    rows = np.arange(len(first.targets))
    draws = Draws(len(rows), settings.num_draws, settings.seed)
    measured = {step: measure(results[step], share, seeds, rows, metric, draws) for step in sorted(results)}
    scores = {step: of_step for step, (of_step, _) in measured.items()}
    names = [each.name for each in results[min(results)]]
    baseline = settings.baseline or names[0]
    weights = weights_of_area(list(measured))
    gaps = [
        [Gap.between(name, baseline, drawn, draws) for _, drawn in measured.values()]
        for name in names
        if name != baseline
    ]
    areas = tell_apart([Gap.weighted(each, weights) for each in gaps], draws)
    goal = scores[max(scores)][baseline].mean
    reached = {name: first_reached({step: each[name].mean for step, each in scores.items()}, goal) for name in names}
    return StepCurves(baseline, scores, areas, reached)


def first_reached(values: Mapping[int, float], goal: float) -> float | None:
    """Return where the lines between values first reach a goal; None if they never do.

    >>> first_reached({0: 0.0, 100: 1.0, 300: 2.0}, 1.5), first_reached({0: 0.0, 100: 1.0}, 1.5)
    (200.0, None)
    """
    steps = sorted(values)
    if values[steps[0]] >= goal:
        return float(steps[0])
    for before, after in pairwise(steps):
        if values[after] >= goal:
            part = (goal - values[before]) / (values[after] - values[before])
            return before + part * (after - before)
    return None
