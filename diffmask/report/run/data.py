"""What the page of a run shows, gathered elsewhere, and what a modality has to tell for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from markupsafe import Markup

from diffmask.assemble.modality import Words
from diffmask.core.errors import InputError
from diffmask.core.schedule import Schedule
from diffmask.evaluate.results import Result
from diffmask.report.preview import Look, Preview
from diffmask.train.log import Log

_POINTS = 20
"""Parts of a training, at whose ends it is looked whether a schedule changes."""


class Setting(NamedTuple):
    """A setting of a run; `default` is None where one must be given."""

    name: str
    value: str
    default: str | None
    meaning: str


class Section(NamedTuple):
    """A section of a page: what links to it name, its title, and its content as HTML that templates made."""

    anchor: str
    title: str
    content: Markup


class Folder:
    """The folder of a run, read as far as it goes: what is missing is noted, and stops nothing else.

    Attributes:
        path: The folder.
        missing: What the page cannot show, one sentence each.
        log: Entries of its log; empty before the first of them.
        num_steps: Steps of the whole run.
    """

    def __init__(self, path: Path):
        self.path = path
        self.missing: list[str] = []
        self.log: Log = []
        self.num_steps = 1

    @property
    def last_step(self) -> int:
        """The last step that was logged."""
        return max((int(entry["step"]) for entry in self.log), default=0)

    def attempt(self, what: str, read: Callable[..., Any], *given: Any) -> Any:
        """Return what can be read; note in one sentence why it cannot be shown, and return None."""
        try:
            return read(*given)
        except (InputError, OSError) as error:
            self.missing.append(f"{what}: {' '.join(str(error).split())}.")
            return None


class Masked(Protocol):
    """What only its modality can tell of a run: one class for text, one for clips.

    It is made of the run's folder, its settings (None where they are those of another version) and its inputs.json.
    """

    def __init__(self, folder: Folder, config: Any, inputs: Mapping[str, Any]): ...

    @property
    def anchors(self) -> Sequence[tuple[str, float]]:
        """The domain's anchors with how many times more frequent they are than elsewhere, 0 where it is not known."""
        ...

    def preview(self) -> tuple[Preview, str] | None:
        """Return what was masked at several steps, and which samples that is shown on; None where it is not known."""
        ...

    def sections(self) -> Sequence[Section]:
        """Return what else the page says."""
        ...


@dataclass(frozen=True)
class RunData:
    """A run.

    Attributes:
        name: Of its folder.
        policy: Name of its masking policy.
        model: The model that was continued.
        log: Entries of its log; empty before the first of them.
        num_steps: Steps of the whole run.
        is_complete: Whether it has written its model.
        record: Its run.json; empty for a run of an older version.
        inputs: Its inputs.json: data and anchors, with hashes.
        settings: All of them.
        schedules: Of ratio and strength, by the key that the log has for them; empty where they are not known.
        words: What the page calls things.
        anchors: The domain's anchors with their TF-ICF, 0 where it is not known; empty for a run without.
        preview: What was masked at several steps, where samples and masker are still there.
        note: Which samples that is shown on.
        sections: What else its modality tells.
        evaluations: All that were made of it.
        missing: What the page cannot show, one sentence each.
    """

    name: str
    policy: str
    model: str
    log: Log
    num_steps: int
    is_complete: bool
    record: Mapping[str, Any]
    inputs: Mapping[str, Any]
    settings: Sequence[Setting]
    words: Words
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    anchors: Sequence[tuple[str, float]] = ()
    preview: Preview | None = None
    note: str = ""
    sections: Sequence[Section] = ()
    evaluations: Sequence[Result] = ()
    missing: Sequence[str] = ()

    @property
    def last_step(self) -> int:
        """The last step that was logged."""
        return max((int(entry["step"]) for entry in self.log), default=0)

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """Each start of the run."""
        return list(self.record.get("sessions", []))

    @property
    def seconds(self) -> float:
        """Time of all sessions."""
        return sum(session["seconds"] for session in self.sessions)


_L = TypeVar("_L", bound=Look)


def looks_of_run(
    whole: _L,
    folder: Folder,
    at: Callable[[int], _L],
    beside: Callable[[], dict[str, _L]],
    *,
    digits: int,
    learns: bool = False,
) -> dict[str, _L]:
    """Return the masker of a run at its first step, in the middle and at its last one, each with its name.

    Args:
        whole: The masker over the whole run.
        folder: The run.
        at: Returns the masker as it was at a step.
        beside: Returns what is shown of a masker that never changes: it, beside random masking.
        digits: Of the ratio in percent.
        learns: Whether what the policy has learned is known at each step.
    """
    masker, points = whole.masker, [point / _POINTS for point in range(_POINTS + 1)]
    schedules = {"ratio": masker.ratio, "strength": masker.strength, "guided share": masker.guided_share}
    changes = {name: len(set(map(each, points))) > 1 for name, each in schedules.items()}
    if not learns and not any(changes.values()):
        return beside()
    looks = {}
    for step in dict.fromkeys([0, folder.last_step // 2, max(0, min(folder.last_step, folder.num_steps) - 1)]):
        look = at(step)
        parts = [f"step {step:,}: ratio {100 * look.masker.ratio(0.0):.{digits}f}\u00a0%"]
        for name, schedule in {"strength": look.masker.strength, "guided share": look.masker.guided_share}.items():
            parts += [f"{name} {100 * schedule(0.0):.0f}\u00a0%"] if changes[name] else []
        looks[", ".join(parts)] = look
    return looks
