"""Results of `diffmask evaluate`: the seeds of one model on one task, found, read, checked, and averaged."""

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from diffmask.config.evaluation import TOKENS
from diffmask.config.read import flat
from diffmask.core.errors import InputError
from diffmask.evaluate.seed_file import SeedFile
from diffmask.tasks.metrics import OUTSIDE

_NAME = re.compile(r"seed-(\d+)\.json")
_MAY_DIFFER = ("shares", "video_text.inputs")
"""Settings in which results that are compared may differ: each share is trained on alone, and what a model is shown of
a question is what is compared."""


class Spread(NamedTuple):
    """A measure over seeds; `deviation` is that of a sample, and None where there is one seed."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Result:
    """One method on one task, for several seeds.

    Attributes:
        name: What it is called in tables.
        folder: Where it was read from.
        seeds: Results of each seed, by number, ascending.
    """

    name: str
    folder: Path
    seeds: Mapping[int, SeedFile]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the seeds in a folder.

        Raises:
            InputError: If there is none, a file is damaged, or they are of different evaluations.
        """
        seeds = {}
        for number, path in _seed_paths(folder).items():
            seeds[number] = SeedFile.read(path)
            if seeds[number].seed != number:
                raise InputError(f"{path} is of seed {seeds[number].seed}; give the file the name of its seed")
        if not seeds:
            raise InputError(f"{folder} holds no seed-N.json; let `diffmask evaluate` finish one seed")
        result = cls(_printable(next(iter(seeds.values())).name), folder, seeds)
        for number, seed in seeds.items():
            what = _difference(result.first, seed)
            if what is None and seed.name != result.first.name:
                what = f"names ({result.first.name} and {seed.name})"
            if what is not None:
                raise InputError(
                    f"seeds {result.first.seed} and {number} in {folder} have different {what}, so they are not of one "
                    "result; evaluate again into an empty folder"
                )
        _check_weights(result)
        if not result.shares:
            raise InputError(f"the seeds in {folder} share no share of the labels; let `diffmask evaluate` finish them")
        return result

    @property
    def first(self) -> SeedFile:
        """The first seed, for what all seeds have in common."""
        return next(iter(self.seeds.values()))

    @property
    def task(self) -> Mapping[str, Any]:
        """The task."""
        return self.first.task

    @property
    def examples(self) -> str:
        """What is labelled: texts, clips."""
        return self.task.get("examples", "texts")

    @property
    def shares(self) -> list[float]:
        """Shares of the labels that every seed has, ascending."""
        return sorted(set.intersection(*(set(seed.predictions) for seed in self.seeds.values())))

    @property
    def models(self) -> set[str]:
        """Models that its seeds start from."""
        return {seed.model for seed in self.seeds.values()}

    def values(self, part: str, *path: str, share: float | None = None) -> list[float]:
        """Return a measure of each seed that has it.

        Args:
            part: all or unseen test texts.
            path: Its keys, such as "macro_f1" or "per_class", "INHIBITOR", "f1".
            share: Share of the labels; None takes the largest.
        """
        share = self.shares[-1] if share is None else share
        found: list[Any] = [seed.scores[share].get(part) for seed in self.seeds.values()]
        for key in path:
            found = [each[key] for each in found if each is not None]
        return [float(each) for each in found]

    def spread(self, part: str, *path: str, share: float | None = None) -> Spread | None:
        """Return mean and standard deviation of a measure over the seeds; None if it was not measured."""
        values = self.values(part, *path, share=share)
        if not values:
            return None
        return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def confusion(self) -> list[list[float]] | None:
        """Return the mean number of texts of each label (row) that were taken for each (column), if it is known."""
        tables = [(seed.scores[self.shares[-1]]["all"] or {}).get("confusion") for seed in self.seeds.values()]
        known = [table for table in tables if table is not None]
        if not known:
            return None
        return [[statistics.fmean(cells) for cells in zip(*rows, strict=True)] for rows in zip(*known, strict=True)]


def read_results(paths: Iterable[str | Path]) -> list[Result]:
    """Read results that may be compared, in the order of their paths.

    Args:
        paths: Folders of `seed-N.json`, or folders that hold such folders.

    Raises:
        InputError: If there is none, a file is damaged, or two of them cannot be compared.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        for folder in find_results(Path(path)):
            folders.setdefault(folder.resolve(), folder)
    results = [Result.read(folder) for folder in folders.values()]
    for result in results[1:]:
        _check_comparable(results[0], result)
    times = Counter(result.name for result in results)
    # results with the same name are told apart by their folders
    return [replace(each, name=f"{each.name} ({each.folder})") if times[each.name] > 1 else each for each in results]


def find_results(path: Path) -> list[Path]:
    """Return the folders at or below a path that hold results.

    Raises:
        InputError: If there is none.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give the output folder of `diffmask evaluate`")
    if not path.is_dir():
        raise InputError(f"{path} is a file; give the folder of the results, as `diffmask evaluate` wrote it")
    if _seed_paths(path):
        return [path]
    found = sorted({file.parent for file in path.rglob("seed-*.json") if _NAME.fullmatch(file.name)})
    if not found:
        raise InputError(f"{path} holds no results (no seed-N.json); give the output folder of `diffmask evaluate`")
    return found


def common_seeds(results: Sequence[Result]) -> list[int]:
    """Return the seeds that all results have.

    Raises:
        InputError: If there is none.
    """
    common = set(results[0].seeds)
    for result in results[1:]:
        if set(results[0].seeds).isdisjoint(result.seeds):
            raise InputError(
                f"{results[0].name} and {result.name} have no seed in common ({_listed(results[0].seeds)}; "
                f"{_listed(result.seeds)}); evaluate both with the same seeds"
            )
        common &= set(result.seeds)
        if not common:
            raise InputError("no seed is common to all results; evaluate all with the same seeds")
    return sorted(common)


def _seed_paths(folder: Path) -> dict[int, Path]:
    found = {int(name[1]): path for path in folder.iterdir() if (name := _NAME.fullmatch(path.name))}
    return dict(sorted(found.items()))


def _check_weights(result: Result) -> None:
    """Refuse seeds of one model that was trained again between them."""
    first: dict[str, SeedFile] = {}
    for seed in result.seeds.values():
        before = first.setdefault(seed.model, seed)
        if before.model_hash != seed.model_hash:
            raise InputError(
                f"seeds {before.seed} and {seed.seed} in {result.folder} have different weights, though both are of "
                f"{seed.model}, so they are not of one result; evaluate again into an empty folder"
            )


def _check_comparable(first: Result, second: Result) -> None:
    what = _difference(first.first, second.first)
    if what is not None:
        raise InputError(
            f"{first.folder} and {second.folder} have different {what}, so their scores cannot be compared; give "
            "results of one task that were evaluated in the same way"
        )


def _difference(first: SeedFile, second: SeedFile) -> str | None:
    """Return the first thing that must be equal and is not, with both values."""
    if first.task["name"] != second.task["name"]:
        return f"tasks ({first.task['name']} and {second.task['name']})"
    if first.task["kind"] != second.task["kind"]:
        return f"kinds of task ({first.task['kind']} and {second.task['kind']})"
    given_outside, other_outside = (each.task.get("outside", OUTSIDE) for each in (first, second))
    if first.task["kind"] == TOKENS and given_outside != other_outside:
        return f"labels outside of everything ({given_outside} and {other_outside})"
    if first.method != second.method:
        return f"methods ({first.method} and {second.method})"
    given, other = flat(first.settings), flat(second.settings)
    for name in dict.fromkeys(name for name in (*given, *other) if name not in _MAY_DIFFER):
        if name not in given or name not in other or given[name] != other[name]:
            return f"settings ({name}: {given.get(name, 'absent')} and {other.get(name, 'absent')})"
    given, other = ((each.task["hash"], each.task["labels"], each.targets, each.unseen) for each in (first, second))
    same = given == other
    return None if same else f"texts or labels, in spite of the same task name ({first.task['name']})"


def _listed(seeds: Iterable[int]) -> str:
    numbers = list(seeds)
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _printable(name: str) -> str:
    """Return a name without characters that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in name)
