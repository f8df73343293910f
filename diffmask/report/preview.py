"""What previews of text and of clips have in common, and what each modality hands in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from markupsafe import Markup
from rich.console import Console

from diffmask.assemble.modality import read_config
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.train.checkpoint import STATE_FILE, read_policy, read_state
from diffmask.train.folder import SETTINGS_FILE

TITLE = "What training will hide"
"""Of the page of a preview."""


class Look(Protocol):
    """How a policy looks at samples."""

    @property
    def masker(self) -> Masker:
        """What is hidden."""
        ...


class Preview(Protocol):
    """What several maskers hide of the same samples, ready to be shown."""

    @property
    def domain_share(self) -> float | None:
        """Share of the samples that is of the domain; None where that is not known."""
        ...

    def sections(self, title: str = "Samples", notes: Sequence[str] = ()) -> Markup:
        """Return sections of a page; the title and the notes go to the one that shows the samples."""
        ...

    def run_part(self, note: str) -> Markup:
        """Return what the page of a run says of its masks; the note says which samples are shown."""
        ...

    def print(self, console: Console, num_samples: int | None = None) -> None:
        """Print it with the first `num_samples` samples; None prints all."""
        ...

    def write(self, path: Path, made_from: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> None:
        """Write it to a file.

        Args:
            path: File to write.
            made_from: What it was made from, as pairs of name and value.
            notes: Further notes, one sentence each.
        """
        ...


@dataclass(frozen=True)
class Asked:
    """What a preview is to show.

    Attributes:
        data: Files, folders or globs.
        config: The run's settings, or plain ones.
        maskings: The resolved masking of each policy that is shown, by name.
        count: How many samples.
        column: Column of the text; None finds it by its name.
        model: Used instead of the config's model.
        checkpoint: Checkpoint of a run, which is shown as it was then.
    """

    data: Sequence[str]
    config: Any
    maskings: Mapping[str, Any]
    count: int
    column: str | None = None
    model: str | None = None
    checkpoint: Path | None = None


class Source(Protocol):
    """Samples to preview, and how policies look at them: a class for each modality.

    Attributes:
        count: How many samples it shows if nothing else is asked for.
        remedy: What to give if its data come with a config of another modality.
        facts: What a preview was made from, by name; None where there is none.
        notes: Further notes, one sentence each.
    """

    count: ClassVar[int]
    remedy: ClassVar[str]
    facts: dict[str, str | None]
    notes: list[str]

    def __init__(self, asked: Asked): ...

    @staticmethod
    def check_output(path: Path, *, overwrite: bool) -> None:
        """Refuse an output that cannot be written, before the work is done."""
        ...

    @staticmethod
    def baseline(masking: Any) -> str:
        """Return the random masking that the settings of a masking are shown beside."""
        ...

    def look(self, masking: Any, progress: float | None) -> Look:
        """Return how a resolved masking looks at the samples, at a share of the training or over all of it."""
        ...

    def preview(self, looks: Mapping[str, Any]) -> Preview:
        """Return what the policies hide of the samples."""
        ...


def hold(masker: Masker, progress: float | None) -> Masker:
    """Return a masker whose schedules keep their values at a share of the training; None leaves it as it is.

    Raises:
        InputError: If the share is outside [0, 1].
    """
    if progress is None:
        return masker
    if not 0.0 <= progress <= 1.0:
        raise InputError(f"the progress {progress:g} is outside [0, 1]; 0.5 is the middle of the training")
    held = {name: getattr(masker, name).held(progress) for name in ("ratio", "strength", "guided_share")}
    return replace(masker, **held)


def read_checkpoint(folder: Path) -> tuple[Any, float, dict[str, Any]]:
    """Return the settings of a run, how far it was at a checkpoint, and what its policy had learned by then.

    Raises:
        InputError: If the folder is no checkpoint of a run.
    """
    state, settings = folder / STATE_FILE, folder.parent / SETTINGS_FILE
    if not (state.exists() and settings.exists()):
        raise InputError(f"{folder} is no checkpoint of a run; give a folder such as runs/chemistry/checkpoint-500")
    trained = read_state(folder)
    progress = trained["global_step"] / max(trained["max_steps"], 1)
    return read_config(settings), progress, read_policy(folder)


def printable(text: str) -> str:
    """Return text without characters that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)
