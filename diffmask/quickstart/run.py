"""The quickstart: its steps, one after the other, and the page at the end. What differs by modality is handed in.

`run_quickstart` is the list of steps. It is given a `Quickstart`, which makes the data, names the settings of each run
and says the sentences; there is one for text, one for clips and one for both.
"""

import json
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Generic, NamedTuple, NotRequired, TypedDict, TypeVar

import yaml
from markupsafe import Markup
from rich.console import Console

from diffmask.assemble.modality import Words, modality_named
from diffmask.config import TextConfig, VideoConfig, VideoTextConfig, to_mapping
from diffmask.config.evaluation import RETRIEVAL, EvaluateSettings
from diffmask.config.limits import Name
from diffmask.core.errors import InputError
from diffmask.core.processes import torch_threads
from diffmask.evaluate.compare import CompareSettings, Comparison, compare
from diffmask.evaluate.results import read_results
from diffmask.evaluate.run import evaluate
from diffmask.files.folders import check_writable, write_text
from diffmask.files.json_object import read_object
from diffmask.pretrain import pretrain
from diffmask.quickstart.losses import (
    BEFORE,
    HeldOutLoss,
    curve_section,
    loss_section,
    loss_table,
    masked_sides,
    mean_of_seeds,
    read_losses,
)
from diffmask.report.comparison import ComparisonReport
from diffmask.report.html.page import macros, page, write_page
from diffmask.report.preview import Asked, Preview
from diffmask.train.log import Log, read_log
from diffmask.version import __version__

MARKER = "quickstart.json"
_Marker = TypedDict("_Marker", {"names": NotRequired[list[Annotated[str, Name()]]]})  # noqa: UP013 - one line for one key
"""File that tells a folder of the quickstart from others."""
_PAGE = "quickstart.html"
_Logs = dict[str, list[Log]]
"""Logs of the runs of each policy, one for each seed, by what the policy is called."""

Data = TypeVar("Data")


class Stage(NamedTuple):
    """A step that pretrains: its title, what a user types for it, and what each run of it is called, by its name."""

    title: str
    command: str
    runs: Mapping[str, str]


@dataclass(frozen=True)
class Sentences:
    """Titles of steps and of the page, and what the results show and what they do not."""

    data_step: str
    anchor_step: str
    task_step: str
    page_step: str  # empty if the page is no step of its own
    title: str
    heading: str
    lead: str
    question: str
    masks: str
    loss_limit: str
    task_limit: str
    command_lead: str


class Quickstart(ABC, Generic[Data]):
    """What the steps ask of a modality.

    Attributes:
        output: Folder that everything lands in.
        steps: Optimiser steps of each run.
        seeds: How many runs each policy has, which differ in their seed.
        seed: The first seed; those of everything else follow from it.
        modality: Name of its modality.
        policies: Policies that are compared, and what they are called.
        leaves: Files and folders in the output folder that only this modality leaves.
        shown: Data in the output folder that previews show, how many samples of it, and how many on the terminal.
        fills_in: Whether the trained model fills in what is hidden, on the page.
        threads: Threads that compute; None for as many as there are cores.
    """

    output: Path
    steps: int
    seeds: int
    seed: int
    modality: ClassVar[str]
    policies: ClassVar[Mapping[str, str]]
    leaves: ClassVar[Sequence[str]]
    shown: ClassVar[tuple[str, int, int]]
    fills_in: ClassVar[bool]
    threads: ClassVar[int | None] = None

    def path(self, *parts: str) -> str:
        """Return a path in the output folder."""
        return str(self.output.joinpath(*parts))

    @abstractmethod
    def start(self) -> str:
        """Return the model that all runs start from, a folder or a name."""

    @abstractmethod
    def sentences(self) -> Sentences:
        """Return what it says."""

    @abstractmethod
    def commands(self) -> dict[str, str]:
        """Return what a user types for "anchors", "preview", "pretrain", "evaluate", and for steps of its own."""

    def check(self) -> None:  # noqa: B027 - most need nothing
        """Raise an `InputError`, before anything is written, if something is missing."""

    @abstractmethod
    def make_data(self, console: Console, *, progress: bool) -> Data:
        """Write what is trained and tested on, and say what it is."""

    def preparations(self) -> Sequence[Stage]:
        """Return the pretraining that comes before the anchors, each run once; by default there is none."""
        return ()

    @abstractmethod
    def find_anchors(self, console: Console, *, progress: bool) -> None:
        """Write the anchors, and say what they are."""

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """Return the pretraining that is compared; its runs are named after their policies."""

    @abstractmethod
    def config(self, run: str, seed: int = 0) -> TextConfig | VideoConfig | VideoTextConfig:
        """Return the settings of a run with a seed, of which the first has number 0.

        Those of one seed differ in the policy and in the folder, and in nothing else.
        """

    def make_task(self, data: Data, console: Console) -> None:  # noqa: B027 - labels may be there already
        """Write the labelled data of the task, where it is not there yet, and say what it is."""

    @abstractmethod
    def evaluations(self) -> Mapping[str, EvaluateSettings]:
        """Return how models are evaluated, by the folder in `evaluation` that the results land in, "" for itself.

        Name, output and seeds are not read.
        """

    @abstractmethod
    def facts(self, data: Data) -> list[tuple[str, str]]:
        """Return what the head of the page says about data and models, as names and values."""


def run_quickstart(
    quickstart: Quickstart, console: Console, *, overwrite: bool = False, progress: bool = False
) -> Path | None:
    """Do every step, and return the page; None if it was interrupted.

    Args:
        quickstart: Data, settings and sentences.
        console: What is done is printed here.
        overwrite: Write into a folder that holds something else.
        progress: Show progress bars.

    Raises:
        InputError: If the folder holds something else, or what the quickstart needs is not installed.
    """
    quickstart.check()
    _claim(quickstart, overwrite=overwrite)
    with torch_threads(quickstart.threads):
        return _run(quickstart, console, progress=progress)


def _run(quickstart: Quickstart, console: Console, *, progress: bool) -> Path | None:
    """Do every step in the folder, which is there."""
    said, commands = quickstart.sentences(), quickstart.commands()
    step = _Steps(console, 4 + len(quickstart.preparations()) + len(quickstart.stages()) + bool(said.page_step))
    with step(said.data_step, commands.get("data", "")):
        data = quickstart.make_data(console, progress=progress)
    if _pretrain_all(quickstart, quickstart.preparations(), 1, step, progress=progress) is None:
        return _stopped(console)
    with step(said.anchor_step, commands["anchors"]):
        quickstart.find_anchors(console, progress=progress)
    with step("Preview: what each policy would hide", commands["preview"]):
        preview = _preview(quickstart)
        preview.print(console, quickstart.shown[2])
    logs = _pretrain_all(quickstart, quickstart.stages(), quickstart.seeds, step, progress=progress)
    if logs is None:
        return _stopped(console)
    losses = _mean_losses(logs)
    for side, each in losses.items():
        console.print()
        console.print(loss_table(each, _words(quickstart, side)))
    console.print(f"\n{said.loss_limit}")
    with step(said.task_step, commands["evaluate"]):
        quickstart.make_task(data, console)
        scores = [_evaluate_all(quickstart, folder, progress=progress) for folder in quickstart.evaluations()]
    for each in scores:
        ComparisonReport(each).print(console)
    console.print(f"\n{said.task_limit}")
    with step(said.page_step):
        if quickstart.fills_in:
            preview = _preview(quickstart, Path(quickstart.config("difference").output) / "model")
        path = quickstart.output / _PAGE
        write_page(_page(quickstart, quickstart.facts(data), preview, logs, losses, scores), path)
    console.print(f"\nEverything is in {quickstart.output}. Open the page: {path}", highlight=False)
    return path


def _stopped(console: Console) -> None:
    console.print("\nstopped; the same command starts over")


def _claim(quickstart: Quickstart, *, overwrite: bool) -> None:
    """Make the folder; what an earlier quickstart left in it is deleted, and nothing else."""
    folder = quickstart.output
    runs = [name for stage in (*quickstart.preparations(), *quickstart.stages()) for name in stage.runs]
    common = ("anchors", "cache", "evaluation")
    names = [MARKER, _PAGE, *quickstart.leaves, *common, *runs, *(f"{name}.yaml" for name in runs)]
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the output {folder} is a file; give the name of a folder with -o")
    check_writable(folder / MARKER)
    marker = folder / MARKER
    remedy = "give another folder with -o"
    made = read_object(marker, _Marker, remedy) if marker.exists() else {}
    before = made.get("names", names) if marker.exists() else []
    if folder.exists() and not marker.exists() and any(folder.iterdir()) and not overwrite:
        raise InputError(
            f"the folder {folder} exists and was not made by the quickstart; give another with -o, or use --overwrite "
            "to write into it"
        )
    foreign = next((name for name in names if os.path.lexists(folder / name) and name not in before), None)
    if foreign is not None:
        raise InputError(
            f"the folder {folder} holds {foreign}, which was not made by the quickstart; give another with -o, or move "
            "it elsewhere"
        )
    for path in [folder / name for name in before]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    record = {"version": __version__, "steps": quickstart.steps, "seed": quickstart.seed}
    record |= {"modality": quickstart.modality, "model": quickstart.start()}
    write_text(marker, json.dumps({**record, "names": names}) + "\n")


class _Steps:
    """Numbers the steps, and prints what each does, the command for it, and how long it took."""

    def __init__(self, console: Console, number: int):
        self._console, self._number, self._done = console, number, 0

    @contextmanager
    def __call__(self, title: str, command: str = "") -> Iterator[None]:
        """Announce a step, and print how long it took; a step without a title is silent."""
        if not title:
            yield
            return
        self._done += 1
        self._console.print()
        self._console.rule(f"[bold]{self._done}/{self._number}[/] {title}", align="left", style="dim")
        if command:
            self._console.print(f"$ {command}", style="cyan", highlight=False, markup=False, soft_wrap=True)
        start = time.monotonic()
        yield
        self._console.print(f"{time.monotonic() - start:.0f} s", style="dim", highlight=False)


def _pretrain_all(
    quickstart: Quickstart, stages: Sequence[Stage], num_seeds: int, step: _Steps, *, progress: bool
) -> _Logs | None:
    """Run every stage, with the settings of each policy written beside its runs; None if it was interrupted."""
    logs: _Logs = {}
    for stage in stages:
        with step(stage.title, stage.command):
            for name, label in stage.runs.items():
                written = yaml.safe_dump(to_mapping(quickstart.config(name)), sort_keys=False)
                write_text(quickstart.output / f"{name}.yaml", written)
                for seed in range(num_seeds):
                    outcome = pretrain(quickstart.config(name, seed), progress=progress)
                    if outcome.interrupted:
                        return None
                    logs.setdefault(label, []).append(read_log(outcome.folder / "log.jsonl"))
    return logs


def _preview(quickstart: Quickstart, trained: Path | None = None) -> Preview:
    """Return what the policies hide; given a trained model, also how it fills in what its own masks hide."""
    modality, config = modality_named(quickstart.modality), quickstart.config("difference")
    maskings = {
        label: modality.masking.resolve(quickstart.config(policy).masking)
        for policy, label in quickstart.policies.items()
    }
    data, count, _ = quickstart.shown
    source = modality.source(Asked([str(quickstart.output / data)], config, maskings, count, checkpoint=trained))
    return source.preview({label: source.look(masking, None) for label, masking in maskings.items()})


def _mean_losses(logs: _Logs) -> dict[str, list[HeldOutLoss]]:
    """Return the means over seeds, by the side whose masked positions they are about.

    All runs start from one model, and the very first has evaluated it.
    """
    before, *_ = next(iter(logs.values()))
    seeds = [
        {name: [*before[:1], *log] for name, log in zip(logs, each, strict=True)}
        for each in zip(*logs.values(), strict=True)
    ]
    return {side: mean_of_seeds([read_losses(each, side) for each in seeds]) for side in masked_sides(before)}


def _words(quickstart: Quickstart, side: str) -> Words:
    """Return what things are called on a side, which has the name of a modality, or in all."""
    return modality_named(side or quickstart.modality).words


def _evaluate_all(quickstart: Quickstart, folder: str, *, progress: bool) -> Comparison:
    """Evaluate the model that was not continued, and those of each policy and seed, and compare them."""
    folders = {name: str(quickstart.output / "evaluation" / folder / name) for name in ("none", *quickstart.policies)}
    wanted = [(quickstart.start(), BEFORE, folders["none"], range(quickstart.seeds))]
    for policy, label in quickstart.policies.items():
        for seed in range(quickstart.seeds):
            wanted.append((quickstart.config(policy, seed).output, label, folders[policy], range(seed, seed + 1)))
    shared = quickstart.evaluations()[folder]
    for model, name, output, seeds in wanted:
        settings = replace(shared, model=model, name=name, output=output, seeds=len(seeds), first_seed=seeds[0])
        evaluate(settings, progress=progress)
    results = read_results(list(folders.values()))
    metric = None if shared.method == RETRIEVAL else shared.metric
    return compare(results, CompareSettings(metric=metric, all_pairs=True))


def _page(
    quickstart: Quickstart,
    facts: Sequence[tuple[str, str]],
    preview: Preview,
    logs: _Logs,
    losses: Mapping[str, Sequence[HeldOutLoss]],
    scores: Sequence[Comparison],
) -> str:
    """Return the page: curves of the first seed, and losses that are means over the seeds."""
    said, words = quickstart.sentences(), modality_named(quickstart.modality).words
    comparisons = [ComparisonReport(each) for each in scores]
    tables = [loss_section(each, said.loss_limit, words=_words(quickstart, side)) for side, each in losses.items()]
    seeds = ", ".join(str(quickstart.seed + seed) for seed in range(quickstart.seeds))
    body = macros("quickstart.html").body(
        said,
        [*facts, ("seeds", seeds)],
        [(each.title, each.finding, each.sections(f"{place or ''}")) for place, each in enumerate(comparisons)],
        Markup("\n").join(tables),
        curve_section({label: seeds[0] for label, seeds in logs.items()}, words),
        preview.sections(said.masks),
        list(quickstart.commands().values()),
    )
    return page(said.title, [body])
