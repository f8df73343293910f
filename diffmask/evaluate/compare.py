"""Compare results: means over seeds, differences with intervals, and which of them are more than chance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Self

import numpy as np

from diffmask.config.evaluation import METRICS, RECALLS, metrics_of
from diffmask.config.limits import SEED, AtMost, OneOf, at_least, check_limits
from diffmask.core.errors import InputError
from diffmask.evaluate.resampling import LEVEL, Draws, Sums, count, holm, interval, p_value, ratio
from diffmask.evaluate.results import Result, common_seeds
from diffmask.tasks.metrics import OUTSIDE

HIGHER, LOWER, NOT_SHOWN = "higher", "lower", "no difference shown"


@dataclass(frozen=True)
class CompareSettings:
    """What is compared, and how."""

    metric: Annotated[str | None, OneOf((*METRICS, *RECALLS.values()))] = None
    """micro_f1, macro_f1 or accuracy; of retrieval, recall_at_1, recall_at_5 or recall_at_10; None takes the first."""
    texts: Annotated[str, OneOf(("all", "unseen"))] = "all"
    """all test texts, or those `unseen` in the other splits."""
    share: float | None = None
    """Share of the training texts; None takes the largest that all results have."""
    baseline: str | None = None
    """Name of the result that the others are compared with; None takes the first."""
    all_pairs: bool = False
    """Whether each is compared with each."""
    num_draws: Annotated[
        int,
        at_least(1000, "fewer are too few for an interval"),
        AtMost(10**6),
    ] = 10_000
    """How often texts are resampled, and how often predictions are exchanged."""
    seed: Annotated[int, at_least(0), SEED] = 0
    """Seed of these draws."""

    def __post_init__(self):
        """Check what needs no results to be checked."""
        check_limits(self)


@dataclass(frozen=True)
class Score:
    """A result's score for each seed and over the seeds, and where the mean over all seeds and texts lies (95 %).

    Attributes:
        deviation: Standard deviation over the seeds; None where there is one.
    """

    name: str
    scores: Mapping[int, float]
    mean: float
    deviation: float | None
    low: float
    high: float


@dataclass(frozen=True)
class DifferenceOfMeans:
    """How a result differs from another, over the same seeds and texts.

    Attributes:
        p_value: p-value of a permutation test.
        corrected: The p-value, corrected for the number of comparisons (Holm).
        verdict: higher, lower or no difference shown.
    """

    name: str
    other: str
    mean: float
    deviation: float | None
    low: float
    high: float
    p_value: float
    corrected: float
    verdict: str


@dataclass(frozen=True)
class CurvePoint:
    """A result's score with a share of the training texts."""

    name: str
    share: float
    num_train: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class WorthOfContinuing:
    """What continuing a model is worth: each result against that of the model which it was continued from.

    Attributes:
        differences: By share of the labels, one for each result of a continued model; p-values are corrected for all of
            them together.
        areas: The same of the areas under the learning curves, that is of the means over shares on a logarithmic axis;
            empty where there is one share.
        without: Names of results of continued models whose original is not among the results.
    """

    differences: Mapping[float, tuple[DifferenceOfMeans, ...]]
    areas: tuple[DifferenceOfMeans, ...]
    without: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What comparing results has come to.

    Attributes:
        task: Name, kind and hash of the task.
        method: How the models were evaluated: finetune, probe, attentive or knn.
        settings: How it was compared; metric, share and baseline as they were chosen.
        num_texts: Test texts that were compared on.
        num_seen: Test texts that are also in another split, exactly or nearly.
        seeds: Seeds that all results have.
        left_out: Seeds of each result that others lack.
        scores: One for each result, in their order.
        differences: To the baseline, or of each pair.
        curve: Scores by share, where there are several.
        one_model: Names of results whose seeds start from one model.
        continuing: What continuing is worth; None if no result is of a model that was continued.
    """

    task: dict[str, str]
    method: str
    settings: CompareSettings
    num_texts: int
    num_seen: int
    seeds: tuple[int, ...]
    left_out: dict[str, list[int]]
    scores: tuple[Score, ...]
    differences: tuple[DifferenceOfMeans, ...]
    curve: tuple[CurvePoint, ...]
    one_model: tuple[str, ...]
    continuing: WorthOfContinuing | None

    @property
    def examples(self) -> str:
        """What is labelled: texts, clips."""
        return self.task.get("examples", "texts")

    @property
    def against(self) -> str:
        """Name of what all others are compared with; empty where there is more than one such."""
        others = {each.other for each in self.differences}
        return others.pop() if len(others) == 1 else ""


Drawn = tuple[Sums, np.ndarray]
"""What each text adds to the sums of each seed, and the scores on resampled texts."""


def compare(results: Sequence[Result], settings: CompareSettings) -> Comparison:
    """Compare results that `read_results` has read together.

    Raises:
        InputError: If they have no seed, share or text in common, or the baseline is unknown.
    """
    if len(results) < 2:
        only = f"one result ({results[0].name})" if results else "no result"
        raise InputError(f"{only} cannot be compared; give at least two")
    pairs = _pairs([each.name for each in results], settings)
    seeds, shares = common_seeds(results), _common_shares(results)
    share = _chosen_share(settings.share, shares)
    first = results[0].first
    metric = chosen_metric(settings.metric, first.task["kind"])
    rows = np.flatnonzero(first.unseen) if settings.texts == "unseen" else np.arange(len(first.targets))
    if not len(rows):
        raise InputError(f"no test text of {first.task['name']} is unseen in the other splits; give --texts all")
    draws = Draws(len(rows), settings.num_draws, settings.seed)
    # one share is no curve
    wanted = shares if len(shares) > 1 else [share]
    measured = {each: measure(results, each, seeds, rows, metric, draws) for each in wanted}
    scores, drawn = measured[share]
    return Comparison(
        task={name: first.task[name] for name in ("name", "kind", "hash", "examples") if name in first.task},
        method=first.method,
        settings=replace(settings, metric=metric, share=share, baseline=pairs[0][1]),
        num_texts=len(rows),
        num_seen=len(first.unseen) - sum(first.unseen),
        seeds=tuple(seeds),
        left_out={each.name: sorted(set(each.seeds) - set(seeds)) for each in results if set(each.seeds) - set(seeds)},
        scores=tuple(scores.values()),
        differences=tell_apart([Gap.between(*pair, drawn, draws) for pair in pairs], draws),
        curve=tuple(_curve(results, {each: measured[each][0] for each in wanted})) if len(wanted) > 1 else (),
        one_model=tuple(each.name for each in results if len(each.models) == 1),
        continuing=_worth_of_continuing(results, {each: measured[each][1] for each in wanted}, seeds, draws),
    )


def _pairs(names: Sequence[str], settings: CompareSettings) -> list[tuple[str, str]]:
    """Return which result is compared with which."""
    baseline = names[0] if settings.baseline is None else settings.baseline
    if baseline not in names:
        raise InputError(f"no result is named {baseline!r}; choose the baseline from: {', '.join(names)}")
    ordered = [baseline, *(name for name in names if name != baseline)]
    if settings.all_pairs:
        return [(name, other) for place, other in enumerate(ordered) for name in ordered[place + 1 :]]
    return [(name, baseline) for name in ordered[1:]]


def _common_shares(results: Sequence[Result]) -> list[float]:
    common = sorted(set.intersection(*(set(result.shares) for result in results)))
    if not common:
        raise InputError("no share of the labels is common to all results; evaluate all with the same --shares")
    return common


def _chosen_share(share: float | None, shares: Sequence[float]) -> float:
    if share is None:
        return shares[-1]
    if share not in shares:
        known = ", ".join(f"{each:g}" for each in shares)
        raise InputError(f"the share {share:g} is not in all results; choose from: {known}")
    return share


def chosen_metric(metric: str | None, kind: str) -> str:
    """Return the metric that is asked for, or the first one that a kind of task has."""
    known = metrics_of(kind)
    if metric is not None and metric not in known:
        raise InputError(f"the metric {metric} is not one of a {kind} task; choose from: {', '.join(known)}")
    return metric or next(iter(known))


def _count(metric: str, result: Result, seed: int, share: float, rows: np.ndarray) -> np.ndarray:
    found = result.seeds[seed]
    task = found.task
    outside = task.get("outside", OUTSIDE)
    return count(metric, task["kind"], task["labels"], found.targets, found.predictions[share], outside=outside)[rows]


def _of_seeds(sums: Sums) -> np.ndarray:
    """Return the score of each seed."""
    return np.array([ratio(each.sum(axis=0, dtype=np.float64)) for each in sums])


def _deviation(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def measure(
    results: Sequence[Result], share: float, seeds: Sequence[int], rows: np.ndarray, metric: str, draws: Draws
) -> tuple[dict[str, Score], dict[str, Drawn]]:
    """Return the scores of each result with a share of the training texts, and what they were computed from."""
    sums = [[_count(metric, result, seed, share, rows) for seed in seeds] for result in results]
    scores, drawn = {}, {}
    for result, each, resampled in zip(results, sums, draws.resampled(sums), strict=True):
        values = _of_seeds(each)
        low, high = interval(values, resampled, draws.generator())
        by_seed = dict(zip(seeds, values.tolist(), strict=True))
        # an interval around a score near 1 may reach beyond it
        low, high = max(low, 0.0), min(high, 1.0)
        scores[result.name] = Score(result.name, by_seed, float(values.mean()), _deviation(values), low, high)
        drawn[result.name] = (each, resampled)
    return scores, drawn


def _curve(results: Sequence[Result], scores: Mapping[float, Mapping[str, Score]]) -> Iterator[CurvePoint]:
    for share, by_name in scores.items():
        for result in results:
            score = by_name[result.name]
            yield CurvePoint(result.name, share, result.first.num_train[share], score.mean, score.low, score.high)


@dataclass(frozen=True)
class Gap:
    """How far a result is from another.

    Attributes:
        name: The result.
        other: The other one.
        values: Its score less that of the other, for each seed, (S,).
        resampled: The same on resampled texts, (R, S).
        exchanged: The same after exchanging predictions, (R, S).
    """

    name: str
    other: str
    values: np.ndarray
    resampled: np.ndarray
    exchanged: np.ndarray

    @classmethod
    def between(cls, name: str, other: str, drawn: Mapping[str, Drawn], draws: Draws) -> Self:
        """Return how far one is from the other."""
        (sums, scores), (other_sums, other_scores) = drawn[name], drawn[other]
        values = _of_seeds(sums) - _of_seeds(other_sums)
        return cls(name, other, values, scores - other_scores, draws.exchanged(sums, other_sums))

    @classmethod
    def weighted(cls, gaps: Sequence[Self], weights: Sequence[float]) -> Self:
        """Return a weighted sum of gaps of one pair, such as that of the areas under two curves."""

        def total(part: str) -> np.ndarray:
            pairs = zip(weights, gaps, strict=True)
            return sum((weight * getattr(gap, part) for weight, gap in pairs), np.zeros(()))

        return replace(gaps[0], **{part: total(part) for part in ("values", "resampled", "exchanged")})


def tell_apart(gaps: Sequence[Gap], draws: Draws) -> tuple[DifferenceOfMeans, ...]:
    """Test each gap, correct for their number, and say what may be said."""
    found = []
    for each in gaps:
        low, high = interval(each.values, each.resampled, draws.generator())
        p = p_value(each.values, each.exchanged, draws.generator())
        mean, deviation = float(each.values.mean()), _deviation(each.values)
        found.append(DifferenceOfMeans(each.name, each.other, mean, deviation, low, high, p, p, NOT_SHOWN))
    corrected = holm([each.p_value for each in found])
    return tuple(
        replace(each, corrected=p, verdict=verdict(each.low, each.high, p))
        for each, p in zip(found, corrected, strict=True)
    )


def _worth_of_continuing(
    results: Sequence[Result], drawn: Mapping[float, Mapping[str, Drawn]], seeds: Sequence[int], draws: Draws
) -> WorthOfContinuing | None:
    """Test each result of a continued model against that of its original, with each share of the labels."""
    continued = [each for each in results if any(each.seeds[seed].ancestors for seed in seeds)]
    if not continued:
        return None
    found = {each.name: _original(each, results, seeds) for each in continued}
    pairs = [(name, original) for name, original in found.items() if original is not None]
    gaps = {share: [Gap.between(*pair, drawn[share], draws) for pair in pairs] for share in drawn}
    cells = iter(tell_apart([each for row in gaps.values() for each in row], draws))
    differences = {share: tuple(islice(cells, len(row))) for share, row in gaps.items() if row}
    areas = ()
    if len(gaps) > 1:
        weights = weights_of_area(np.log(list(gaps)).tolist())
        areas = tell_apart([Gap.weighted(of_pair, weights) for of_pair in zip(*gaps.values(), strict=True)], draws)
    return WorthOfContinuing(differences, areas, tuple(name for name, original in found.items() if original is None))


def _original(result: Result, results: Sequence[Result], seeds: Sequence[int]) -> str | None:
    """Return the name of the result of the oldest model that a result was continued from, seed by seed."""
    for generation in range(max(len(result.seeds[seed].ancestors) for seed in seeds)):
        for other in results:
            if all(
                generation < len(result.seeds[seed].ancestors)
                and other.seeds[seed].identity == result.seeds[seed].ancestors[generation]
                for seed in seeds
            ):
                return other.name
    return None


def weights_of_area(places: Sequence[float]) -> list[float]:
    """Return the weights of values at some places in the area under the lines between them, over its width.

    >>> weights_of_area([0.0, 1.0, 3.0])
    [0.16666666666666666, 0.5, 0.3333333333333333]
    """
    gaps = np.diff(places) / (places[-1] - places[0])
    return ((np.append(gaps, 0.0) + np.append(0.0, gaps)) / 2).tolist()


def verdict(low: float, high: float, corrected: float) -> str:
    """Return what may be said of a difference, from its interval and its corrected p-value.

    >>> verdict(0.1, 2.0, 0.01), verdict(0.1, 2.0, 0.2), verdict(-2.0, -0.1, 0.01)
    ('higher', 'no difference shown', 'lower')
    """
    if corrected >= LEVEL or low <= 0 <= high:
        return NOT_SHOWN
    return HIGHER if low > 0 else LOWER
