"""What the page of a run shows, read from its folder, and what a modality adds to it.

What is missing is noted, and the rest is shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from markupsafe import Markup

from diffmask.assemble.modality import Words, modality_named, modality_of, read_config
from diffmask.config import default_mapping, explain_settings, to_mapping
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.schedule import Schedule
from diffmask.evaluate.results import Result
from diffmask.report.preview import Look, Preview
from diffmask.train.folder import INPUTS_FILE, SETTINGS_FILE, read_inputs, read_settings
from diffmask.train.log import Log, num_steps, read_log
from diffmask.train.record import RECORD_FILE, read_record

_POINTS = 20
"""Parts of a training; a schedule changes if its values at their ends differ."""

_RATIO = "ratio"

_L = TypeVar("_L", bound=Look)


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
    """The folder of a run, read as far as it goes: what is missing is noted.

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

    def looks(
        self,
        whole: _L,
        at: Callable[[int], _L],
        beside: Callable[[], dict[str, _L]],
        *,
        digits: int,
        learns: bool = False,
        maskers: Callable[[_L], Mapping[str, Masker]] = lambda look: {"": look.masker},
    ) -> dict[str, _L]:
        """Return the masker of a run at its first step, in the middle and at its last one, each with its name.

        Args:
            whole: The masker over the whole run.
            at: Returns the masker as it was at a step.
            beside: Returns what is shown if the masker never changes: random masking and the masker.
            digits: Decimals of the ratio in percent.
            learns: Whether what the policy has learned is known at each step.
            maskers: Returns the maskers of a look by what they mask; the name of the only one is "".
        """
        points = [point / _POINTS for point in range(_POINTS + 1)]
        changes = {name: len(set(map(each, points))) > 1 for name, each in _schedules_of(maskers(whole)).items()}
        if not learns and not any(changes.values()):
            return beside()
        looks = {}
        for step in dict.fromkeys([0, self.last_step // 2, max(0, min(self.last_step, self.num_steps) - 1)]):
            look = at(step)
            parts = []
            for name, schedule in _schedules_of(maskers(look)).items():
                is_ratio = name.startswith(_RATIO)
                shown = f"{name} {100 * schedule(0.0):.{digits if is_ratio else 0}f}\u00a0%"
                parts += [shown] if is_ratio or changes[name] else []
            looks[f"step {step:,}: {', '.join(parts)}"] = look
        return looks


def _schedules_of(maskers: Mapping[str, Masker]) -> dict[str, Schedule]:
    """Return the schedules of maskers by their names."""
    found: dict[str, Schedule] = {}
    for side, masker in maskers.items():
        own = {_RATIO: masker.ratio, "strength": masker.strength, "guided share": masker.guided_share}
        found |= {f"{name} of {side}" if side else name: schedule for name, schedule in own.items()}
    return found


class Masked(Protocol):
    """What only its modality can tell about a run: one class for text, one for clips.

    It is made from the run's folder, its settings (None if they are those of another version) and its inputs.json.
    """

    def __init__(self, folder: Folder, config: Any, inputs: Mapping[str, Any]): ...

    @property
    def anchors(self) -> Sequence[tuple[str, float]]:
        """The domain's anchors with how many times more frequent they are than elsewhere, 0 where it is not known."""
        ...

    def preview(self) -> tuple[Preview, str] | None:
        """Return what was masked at several steps, and a sentence on the samples; None if it is not known."""
        ...

    def sections(self) -> Sequence[Section]:
        """Return further sections of the page."""
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
        note: A sentence on which samples those are.
        sections: Further sections, from its modality.
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


def read_run(path: Path) -> RunData:
    """Return what a run's folder holds, and what is missing from it."""
    folder = Folder(path)
    raw = folder.attempt("Settings", read_settings, path) or {}
    config = folder.attempt("Schedules and heat maps", read_config, path / SETTINGS_FILE)
    record = folder.attempt("Machine, versions and time", _record, folder) or {}
    inputs = folder.attempt("Data and anchors", _inputs, path) or {}
    folder.log = folder.attempt("Losses, schedules and throughput", _log, path) or []
    training = _group(raw, "training")
    folder.num_steps = num_steps(record.get("num_steps") or training.get("steps"), training.get("epochs"), folder.log)
    is_complete = (path / "model").is_dir()
    if not is_complete:
        folder.missing.append(
            f"The model: the run stands at step {folder.last_step:,} of {folder.num_steps:,}; "
            "`diffmask pretrain` with --resume continues it."
        )
    modality = folder.attempt("Modality", modality_named, raw.get("modality", "text")) or modality_named("text")
    masked: Masked | None = modality.masked_in(folder, config, inputs)
    preview, note = (masked.preview() if masked else None) or (None, "")
    return RunData(
        name=path.resolve().name,
        words=modality.words,
        anchors=masked.anchors if masked else (),
        preview=preview,
        note=note,
        sections=masked.sections() if masked else (),
        policy=str(_group(raw, "masking").get("policy", "difference")) if config is None else config.masking.policy,
        model=str(raw.get("model", "a model")),
        log=folder.log,
        num_steps=folder.num_steps,
        is_complete=is_complete,
        record=record,
        inputs=inputs,
        settings=_list_settings(raw, config, modality.config),
        schedules=(None if config is None else folder.attempt("Schedules", _schedules, config)) or {},
        evaluations=_evaluations(folder),
        missing=folder.missing,
    )


def _evaluations(folder: Folder) -> list[Result]:
    paths = sorted((folder.path / "evaluation").glob("*/"))
    if not paths:
        folder.missing.append("Evaluation: none was made; `diffmask evaluate RUN --task TASK` makes one.")
    found = (folder.attempt("Evaluation", Result.read, path) for path in paths)
    return [each for each in found if each is not None]


def _record(folder: Folder) -> dict[str, Any]:
    path = folder.path / RECORD_FILE
    if not path.exists():
        raise InputError(f"not recorded, as in runs of older versions of diffmask (no {RECORD_FILE})")
    record = read_record(path)
    first = record["sessions"][0]["first_step"] if record["sessions"] else 0
    if first:
        folder.missing.append(f"Time: what the run took up to step {first:,} was not recorded.")
    return record


def _log(folder: Path) -> Log:
    path = folder / "log.jsonl"
    entries = read_log(path) if path.is_file() else []
    if not any("loss" in entry or "eval_loss" in entry for entry in entries):
        raise InputError("the run has logged nothing yet")
    return entries


def _inputs(folder: Path) -> dict[str, Any]:
    if not (folder / INPUTS_FILE).exists():
        raise InputError(f"not recorded (no {INPUTS_FILE})")
    return read_inputs(folder)


def _group(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a group of settings; nothing if it is not a group."""
    group = raw.get(name)
    return group if isinstance(group, Mapping) else {}


def _schedules(config: Any) -> dict[str, Callable[[float], float]]:
    return dict(modality_of(config).masking(config.masking).planned)


def _list_settings(raw: Mapping[str, Any], config: Any, kind: type) -> list[Setting]:
    """Return every setting of a run with its default and its meaning.

    Args:
        raw: The settings as the run's file has them.
        config: The same, read; None for those of another version, which are listed as written.
        kind: Class of the settings of a run of its modality.
    """
    defaults, meanings = _flat(default_mapping(kind)), explain_settings(kind)
    return [
        Setting(name, value, defaults.get(name), meanings.get(name, ""))
        for name, value in _flat(raw if config is None else to_mapping(config)).items()
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
