"""What an evaluation must know of a modality; everything else is the same for all."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

from diffmask.config.evaluation import EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.tasks.task import Task

PAIRS = "video and text"
"""What models of clips with texts are models of, for messages."""


@dataclass(frozen=True)
class Predicted:
    """What a trained model predicts.

    Attributes:
        dev: Labels of the dev split, as `Split.labels`.
        test: Labels of the test split.
        chosen: What the dev split, or cross-validation, has chosen.
        fresh: Names of the parameters that the checkpoint lacked.
    """

    dev: list[Any]
    test: list[Any]
    chosen: dict[str, Any]
    fresh: tuple[str, ...] = ()


Predict = Callable[[list[int], int], Predicted]
"""From a choice of training examples and a seed to predictions."""


class ModalityMethods(ABC):
    """The methods of one modality: how its tasks are read, and how its models predict."""

    name: ClassVar[str]
    """What its models are models of, for messages: text, video."""
    methods: ClassVar[tuple[str, ...]]
    """Names of the methods."""
    read_by: ClassVar[Mapping[str, str]]
    """The one method that reads a setting or a group of settings, such as `probe.`; those not named, all read."""
    unread: ClassVar[Mapping[str, str]]
    """Settings and groups that no method reads, each with what to write instead, or nothing."""
    untrained: ClassVar[tuple[str, ...]] = ()
    """Methods that train nothing, and read the test alone."""
    without_effect: ClassVar[tuple[str, ...]] = ()
    """Settings on which the outcome does not depend, so that seeds evaluated with others go together."""

    def of_task(self, settings: EvaluateSettings) -> "ModalityMethods":
        """Return the methods for the task of an evaluation, where a modality has several kinds of task."""
        return self

    @abstractmethod
    def read_task(self, settings: EvaluateSettings, *, progress: bool) -> Task:
        """Read the task.

        Raises:
            InputError: If it cannot be used.
        """

    @abstractmethod
    def predictor(
        self, folder: str, task: Task, settings: EvaluateSettings, *, output: Path, progress: bool
    ) -> Predict:
        """Return what predicts; features that serve all seeds are computed here.

        Args:
            folder: Folder of the model, or its name on the hub.
            task: What `read_task` has read.
            settings: How.
            output: Folder of the results, for drafts.
            progress: Show progress bars.

        Raises:
            InputError: If the model cannot be used, or an example cannot be read.
        """

    def check(self, settings: EvaluateSettings, config: Any) -> None:
        """Refuse a method that there is not, and settings that would have no effect.

        Args:
            settings: The evaluation.
            config: Config of the model.

        Raises:
            InputError: For the first of them.
        """
        model = f"{config.model_type}, a model of {self.name}"
        if settings.method not in self.methods:
            known = ", ".join(self.methods)
            raise InputError(f"{model}, is not evaluated by the method {settings.method}; choose from: {known}")
        for name, value in _changed(settings, EvaluateSettings(settings.model, settings.task)):
            if settings.method in self.untrained and name in ("shares", "metric"):
                raise InputError(
                    f"{name} has no effect with the method {settings.method}, which trains nothing; leave it out"
                )
            given = f"{name}={list(value) if isinstance(value, tuple) else value}"
            group = next((group for group in self.unread if name.startswith(group)), None)
            if group is not None:
                instead = self.unread[group]
                remedy = f"write {instead}{name.removeprefix(group)}" if instead else "leave it out"
                raise InputError(f"{given} has no effect with {model}; {remedy}")
            reader = next((method for group, method in self.read_by.items() if name.startswith(group)), settings.method)
            if reader != settings.method:
                raise InputError(
                    f"{given} has no effect with the method {settings.method}; it is for the method {reader}, so leave "
                    "it out or choose that method"
                )

    def variant(self, settings: EvaluateSettings) -> str:
        """Return what tells results of one model, task and method apart, for their names; empty where nothing does."""
        return ""

    def deciding(self, settings: Mapping[str, Any], method: str) -> dict[str, Any]:
        """Return the settings on which the outcome depends, of those that a method reads."""
        others = {group for group, reader in self.read_by.items() if reader != method}
        return _without(settings, {*self.unread, *self.without_effect, *others})


def _changed(settings: Any, usual: Any, inside: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each setting that is not the default."""
    for field in fields(settings):
        own, default = getattr(settings, field.name), getattr(usual, field.name)
        if is_dataclass(own):
            yield from _changed(own, default, f"{inside}{field.name}.")
        elif own != default:
            yield inside + field.name, own


def _without(settings: Mapping[str, Any], left_out: set[str], inside: str = "") -> dict[str, Any]:
    """Return nested settings without some of them, by whole name; the name of a group ends with a dot."""
    kept = {}
    for name, value in settings.items():
        is_group = isinstance(value, Mapping)
        whole = f"{inside}{name}." if is_group else inside + name
        if whole not in left_out:
            kept[name] = _without(value, left_out, whole) if is_group else value
    return kept
