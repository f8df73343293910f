"""Evaluations of a run as their folders hold them: one file a seed, read into what a page shows."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from diffmask.core.errors import InputError

FORMAT = 1
METRICS = {"accuracy": "accuracy", "micro_f1": "micro F1", "macro_f1": "macro F1"}
PER_CLASS = ("precision", "recall", "f1")


class Spread(NamedTuple):
    """A measure over seeds; `deviation` is that of a sample, and None where there is one seed."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class _SeedResult:
    """What one seed came to.

    Attributes:
        seed: Its number.
        shares: For each share of the labels, ascending, what was measured on the test texts: `all`, and `unseen` where
            there are such texts.
        num_unseen: Test texts that stand in no other split.
        seconds: Time it took.
        about: The whole file but its predictions.
    """

    seed: int
    shares: dict[float, dict[str, Mapping[str, Any] | None]]
    num_unseen: int
    seconds: float
    about: dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """All seeds of one evaluation.

    Attributes:
        name: Of its folder.
        seeds: In the order of their numbers, at least one.
    """

    name: str
    seeds: Sequence[_SeedResult]

    @property
    def about(self) -> dict[str, Any]:
        """What the seeds have in common."""
        return self.seeds[0].about

    @property
    def task(self) -> dict[str, Any]:
        """The task."""
        return self.about["task"]

    @property
    def shares(self) -> list[float]:
        """Shares of the labels that every seed has, ascending."""
        return sorted(set.intersection(*(set(seed.shares) for seed in self.seeds)))

    def values(self, scope: str, *path: Any, share: float | None = None) -> list[float]:
        """Return a measure of each seed, as far as it is there.

        Args:
            scope: all or unseen test texts.
            path: Where it stands, such as "macro_f1" or "per_class", "INHIBITOR", "f1".
            share: Of the labels; by default the largest.
        """
        share = self.shares[-1] if share is None else share
        measured = (seed.shares[share].get(scope) for seed in self.seeds)
        return [float(_at(each, path)) for each in measured if each is not None]

    def spread(self, scope: str, *path: Any, share: float | None = None) -> Spread | None:
        """Return mean and standard deviation of a measure over the seeds; None where it was not taken."""
        values = self.values(scope, *path, share=share)
        if not values:
            return None
        return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def confusion(self) -> list[list[float]] | None:
        """Return the mean number of texts of each label (row) that were taken for each (column), if it is known."""
        tables = [(seed.shares[self.shares[-1]]["all"] or {}).get("confusion") for seed in self.seeds]
        known = [table for table in tables if table is not None]
        if not known:
            return None
        return [[statistics.fmean(cells) for cells in zip(*rows, strict=True)] for rows in zip(*known, strict=True)]


def _at(measured: Any, path: Sequence[Any]) -> Any:
    for key in path:
        measured = measured[key]
    return measured


def read_evaluation(folder: Path) -> Evaluation:
    """Read the seeds of an evaluation.

    Raises:
        InputError: If a file is damaged, of another version, or the seeds are of different evaluations.
    """
    seeds = sorted((_read_seed(path) for path in folder.glob("seed-*.json")), key=lambda each: each.seed)
    if not seeds:
        raise InputError(f"{folder} holds no seed-N.json; let `diffmask evaluate` finish one seed")
    first = seeds[0].about
    for seed in seeds:
        if seed.about["task"]["hash"] != first["task"]["hash"] or seed.about["settings"] != first["settings"]:
            raise InputError(
                f"{folder} mixes seeds of different tasks or settings (seeds {seeds[0].seed} and {seed.seed}); "
                "evaluate again into an empty folder"
            )
    evaluation = Evaluation(folder.name, seeds)
    if not evaluation.shares:
        raise InputError(f"the seeds in {folder} share no share of the labels; let `diffmask evaluate` finish them")
    return evaluation


def _read_seed(path: Path) -> _SeedResult:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        if given["format"] != FORMAT:
            raise InputError(f"{path} has format {given['format']}, not {FORMAT}; use the diffmask that wrote it")
        return _seed_of(given)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged ({error!r}); delete it and evaluate that seed again") from error


def _seed_of(given: Mapping[str, Any]) -> _SeedResult:
    """Return a seed's result; every measure that a page shows is looked up here, so that none is missing later."""
    labels = given["task"]["labels"]
    shares = {float(each["share"]): dict(each["test"]) for each in given["shares"]}
    for scopes in shares.values():
        for measured in (scopes["all"], scopes.get("unseen")):
            if measured is None:
                continue
            for name in METRICS:
                float(measured[name])
            for label in labels:
                for name in (*PER_CLASS, "support"):
                    float(measured["per_class"][label][name])
            for row in measured.get("confusion") or []:
                [float(cell) for cell in row]
    about = {name: value for name, value in given.items() if name not in ("targets", "unseen", "shares")}
    _ = [about["task"][name] for name in ("kind", "hash", "num_train", "num_dev", "num_test")]
    _ = about["settings"], about["method"]
    return _SeedResult(int(given["seed"]), shares, sum(given["unseen"]), float(given["seconds"]), about)
