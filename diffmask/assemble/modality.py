"""What differs between text, video and whatever comes next: one object for each, and the table of them.

Commands, training, evaluation and reports exist once and ask the object. To add a modality, write a `Modality` and give
it a line in `MODALITIES`.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, get_type_hints

from diffmask.config.limits import check_limits, choose
from diffmask.config.read import from_mapping, overridden, read_mapping
from diffmask.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from diffmask.assemble.masking import ResolvedMasking


@dataclass(frozen=True)
class Words:
    """What messages, pages and figures call things, in the plural.

    Attributes:
        samples: What is trained on.
        wholes: What is masked, as people count it.
        parts: What is masked, as the encoder sees it.
        ratio_note: A sentence: why a mask ratio is not met exactly.
        anchor_lead: A sentence or two: what anchors are.
    """

    samples: str
    wholes: str
    parts: str
    ratio_note: str
    anchor_lead: str


@dataclass(frozen=True)
class RowSizes:
    """How much a run reads, as far as it is known before it starts.

    Attributes:
        lengths: Positions that may be masked in each row, or the most there can be.
        num_rows: Rows of an epoch; None where they were not counted.
        is_bound: Whether `lengths` is only the most there can be.
        repeats: Rows that each of these gives.
    """

    lengths: "np.ndarray"
    num_rows: int | None = None
    is_bound: bool = False
    repeats: int = 1


class Modality(ABC):
    """One kind of data: its settings, its masking, what is trained on it, and how it is looked at.

    Attributes:
        name: As `modality` in a config.
        config: Class of the settings of a run; it has the groups `data`, `masking`, `head` and `training`.
        words: What things are called.
        data: What files of it hold, for messages: texts, clips.
        options: By command, the options that it has and not all others.
        model_types: The `model_type` of each model of transformers that is of this modality and of no other.
    """

    name: ClassVar[str]
    config: ClassVar[type]
    words: ClassVar[Words]
    data: ClassVar[str]
    options: ClassVar[Mapping[str, tuple[str, ...]]]
    model_types: ClassVar[tuple[str, ...]]

    @abstractmethod
    def holds(self, sources: Sequence[str], expected: Callable[[], str | None]) -> bool:
        """Tell whether files, folders or globs are of this modality.

        Args:
            sources: What the user named.
            expected: Asked where they may be of several: the name of the modality that is meant, or None.
        """

    def anchors(self) -> Any:
        """Return what finds the anchors of a domain, an `AnchorFinder`.

        Raises:
            InputError: If there is none for this modality.
        """
        raise InputError(f"there is no way yet to find anchors in {self.data}; choose a policy that needs none")

    @property
    @abstractmethod
    def evaluation(self) -> Any:
        """How its models are evaluated, an `evaluate.modality.ModalityMethods`."""

    @property
    @abstractmethod
    def masking(self) -> "type[ResolvedMasking]":
        """The class of resolved maskings, which has the table of policies."""

    @abstractmethod
    def subject(self, config: Any, masking: Any) -> Any:
        """Return the `pretrain.subject.Subject` of a run: its model, its data, and how they are masked.

        Args:
            config: The run.
            masking: Its resolved masking.
        """

    def row_sizes(self, config: Any, masking: Any, *, read_data: bool) -> RowSizes:
        """Return how long the rows of a run are.

        Args:
            config: The run.
            masking: Its resolved masking.
            read_data: Read and count its data, as the run does; otherwise nothing is read.

        Raises:
            InputError: If that is not known before a run of this modality.
        """
        raise InputError(f"how long a run on {self.data} is, is not known before it starts; give training.steps")

    @property
    @abstractmethod
    def source(self) -> Any:
        """The class of what `diffmask preview` shows, a `report.preview.Source`."""

    def masked_in(self, folder: Any, config: Any, inputs: Any) -> Any:
        """Return what a run masked, for its page, a `report.run.read.Masked`; None if the page has nothing to add.

        Args:
            folder: The run, a `report.run.read.Folder`.
            config: Its settings; None where they are those of another version.
            inputs: What it recorded of its data.
        """
        return None

    def plain(self, data: Sequence[str], model: str) -> Any:
        """Return settings of a run, all of them defaults but the data and the model."""
        return self.config(model=model, output="", data=get_type_hints(self.config)["data"](tuple(data)))


class AnchorFinder(Protocol):
    """What `diffmask anchors` asks of a modality; options are those of the command that the user gave, by name.

    Attributes:
        names: Files of a folder of anchors.
        fixed: Options that have no effect where the anchors are given.
    """

    names: tuple[str, ...]
    fixed: tuple[str, ...]

    def check(self, given: Mapping[str, Any]) -> None:
        """Refuse, before the work, options that cannot be used."""
        ...

    def find(self, given: Mapping[str, Any], command: str) -> Any:
        """Return the anchors; the command is recorded with them."""
        ...

    def save(self, found: Any, folder: str, *, overwrite: bool) -> None:
        """Write them."""
        ...

    def summary(self, found: Any) -> list[str]:
        """Return lines that say what was found."""
        ...

    def next_steps(self, given: Mapping[str, Any], folder: str) -> list[str]:
        """Return lines that say what to type next."""
        ...


MODALITIES: dict[str, Modality | str] = {
    "text": "diffmask.modalities.text",
    "video": "diffmask.modalities.video",
    "video-text": "diffmask.modalities.video_text",
}
"""By name: the object, or the module whose `MODALITY` it is, so that a run on text does not load what video needs."""


def modality_named(name: Any) -> Modality:
    """Return a modality by its name.

    Raises:
        InputError: If there is none of this name.
    """
    if not isinstance(name, str):
        raise InputError(f"unknown modality {name!r}; choose from: {', '.join(MODALITIES)}")
    found = choose(MODALITIES, name, "modality")
    return importlib.import_module(found).MODALITY if isinstance(found, str) else found


def modality_of(config: Any) -> Modality:
    """Return the modality of a run's settings."""
    return modality_named(config.modality)


def config_of_model(name: str) -> Any:
    """Return the config of a model of any modality.

    Raises:
        InputError: If there is no such model.
    """
    from diffmask.text.model.load import load_config

    for each in MODALITIES:
        modality_named(each)  # makes the kinds of models that are its own known to transformers
    return load_config(name)


def modality_of_model(model_type: str) -> Modality:
    """Return the modality that a `model_type` of transformers belongs to; text for one that no other claims."""
    every = map(modality_named, MODALITIES)
    return next((each for each in every if model_type in each.model_types), modality_named("text"))


def read_config(path: Path, overrides: Sequence[str] = ()) -> Any:
    """Read a run's settings from a YAML file and apply `key.key=value` overrides; values are YAML too.

    `modality` says what kind of data the run reads; without it they are text.

    Raises:
        InputError: For a file that is no YAML mapping, an unknown key (the nearest known one is named), a value of the
            wrong kind, or a required key that is missing.
    """
    given = overridden(read_mapping(path), overrides)
    _let_the_command_line_win(given, overrides)
    kind = modality_named(given.get("modality", "text")).config
    if not any(each.name == "modality" for each in fields(kind)):
        given.pop("modality", None)
    return from_mapping(kind, given)


def _let_the_command_line_win(given: dict[str, Any], overrides: Sequence[str]) -> None:
    """Drop the length of a training that a file gives, where the command line gives it in the other way."""
    named = {name for name, _, value in (each.partition("=") for each in overrides) if value not in ("", "null", "~")}
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if f"training.{one}" in named and f"training.{other}" not in named:
            given["training"].pop(other, None)


def resolve(config: Any) -> "ResolvedMasking":
    """Check the settings of a run, and return what its masking comes to: looked up once, and handed on.

    Raises:
        InputError: If a setting cannot be used, or cannot take effect.
    """
    from diffmask.assemble.training import check_training

    check_limits(config)
    check_training(config.training)
    return modality_of(config).masking.resolve(config.masking)
