"""What a page of a run shows: plain data, gathered elsewhere.

The settings of a run, as its page lists them: read again, also where they are those of another version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from diffmask.config import DataConfig, PretrainConfig, VideoConfig, VideoDataConfig, explain_settings, to_mapping
from diffmask.core.errors import InputError
from diffmask.core.schedule import Schedule
from diffmask.evaluate.results import Result
from diffmask.report.clips.preview import ClipPreview
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


VIDEO = "video"


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return the mapping that a file of settings holds.

    Raises:
        InputError: If it holds none.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(given, dict):
        raise InputError(f"{path} holds no settings")
    return given


def group(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a group of settings as it stands; nothing where it is none."""
    group = raw.get(name)
    return group if isinstance(group, Mapping) else {}


def is_video(raw: Mapping[str, Any]) -> bool:
    """Tell whether settings are those of a run on video."""
    return raw.get("modality") == VIDEO


def list_settings(raw: Mapping[str, Any], config: PretrainConfig | VideoConfig | None) -> list[Setting]:
    """Return every setting with its default and its meaning; those of another version as they stand."""
    given = raw if config is None else to_mapping(config)
    plain = VideoConfig("", "", VideoDataConfig(())) if is_video(given) else PretrainConfig("", "", DataConfig(()))
    defaults = _flat(to_mapping(plain))
    required, meanings = ("model", "output", "data.train"), explain_settings(type(plain))
    return [
        Setting(name, value, None if name in required else defaults.get(name), meanings.get(name, ""))
        for name, value in _flat(given).items()
    ]


def _flat(mapping: Mapping[str, Any], where: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in mapping.items():
        if isinstance(value, Mapping) and "schedule" not in value:
            flat |= _flat(value, f"{where}{name}.")
        else:
            flat[where + str(name)] = _text(value)
    return flat


def _text(value: Any) -> str:
    """Return a setting as it would be written."""
    if isinstance(value, Mapping):
        given = {name: each for name, each in value.items() if each not in (None, [], ())}
        if given.keys() == {"schedule"}:
            return str(given["schedule"])
        if given.get("schedule") == "constant" and given.keys() == {"schedule", "start"}:
            return f"{given['start']:g}"
        return ", ".join(f"{name} {_text(each)}" for name, each in given.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
