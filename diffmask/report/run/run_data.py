"""What a page of a run shows: plain data, gathered elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from diffmask.core.schedule import Schedule
from diffmask.report.clips.preview import ClipPreview
from diffmask.report.evaluations import Evaluation
from diffmask.report.html.curves import Log
from diffmask.report.nouns import WORDS, Nouns
from diffmask.report.preview.preview import Preview


class Setting(NamedTuple):
    """A setting of a run; `default` is None where one must be given."""

    name: str
    value: str
    default: str | None
    meaning: str


class ClassLosses(NamedTuple):
    """What loss-weighted masking knew of its classes at some steps.

    losses, weights: for each step, one number a class.
    """

    names: Sequence[str]
    steps: Sequence[int]
    losses: Sequence[Sequence[float]]
    weights: Sequence[Sequence[float]]


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
        anchors: The domain's words with their TF-ICF, 0 where it is not known; empty for a run without.
        threshold: Least TF-ICF of the domain's own words.
        preview: What was masked at several steps, where text and masker are still there.
        clips: The same of a run on video.
        data_note: Which text, or clips, that is.
        failures: Clips that could not be read, each with the reason.
        nouns: What is masked.
        classes: Of loss-weighted masking.
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
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    anchors: Sequence[tuple[str, float]] = ()
    threshold: float = 10.0
    preview: Preview | None = None
    clips: ClipPreview | None = None
    data_note: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)
    nouns: Nouns = WORDS
    classes: ClassLosses | None = None
    evaluations: Sequence[Evaluation] = ()
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
