"""Read the folder of a run for its page, as far as it goes: what is missing is said, and stops nothing else."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from diffmask.assemble import RATIO_FLOOR, build_schedule
from diffmask.assemble.values import class_names
from diffmask.config import ConfigError, PretrainConfig, VideoConfig, read_config
from diffmask.core.errors import InputError
from diffmask.report.evaluations import Evaluation, read_evaluation
from diffmask.report.figures.run_logs import CLASS_LOSS
from diffmask.report.html.curves import Log, read_log
from diffmask.report.nouns import PATCHES
from diffmask.report.run.masked_text import Course, class_losses, preview_run
from diffmask.report.run.run_data import ClassLosses, RunData
from diffmask.report.run.settings import group, is_video, list_settings, read_settings_file
from diffmask.text.anchors.find import AnchorSet, load_anchors
from diffmask.text.corpus.documents import describe_sources
from diffmask.text.model.load import load_tokenizer
from diffmask.train.folder import INPUTS_FILE, SETTINGS_FILE
from diffmask.train.record import RECORD_FILE

MOST_STEPS = 8
"""Steps at which the weights of classes are shown."""


def read_run(folder: Path) -> RunData:
    """Return what a run's folder holds, and what of it cannot be shown."""
    return _Reader(folder).read()


class _Reader:
    """Reads one run, and gathers what is missing."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.missing: list[str] = []

    def attempt(self, what: str, read: Callable[..., Any], *given: Any) -> Any:
        """Return what can be read; note in one sentence why it cannot be shown, and return None."""
        try:
            return read(*given)
        except (InputError, ConfigError, OSError) as error:
            self.missing.append(f"{what}: {' '.join(str(error).split())}.")
            return None

    def read(self) -> RunData:
        raw = self.attempt("Settings", read_settings_file, self.folder / SETTINGS_FILE) or {}
        config = self.attempt("Schedules and heat maps", read_config, self.folder / SETTINGS_FILE)
        record = self.attempt("Machine, versions and time", self.record) or {}
        inputs = self.attempt("Data and anchors", _read_json, self.folder / INPUTS_FILE) or {}
        log = self.attempt("Losses, schedules and throughput", self.log) or []
        course = Course(log, max((entry["step"] for entry in log), default=0), _num_steps(raw, record, log))
        is_complete = (self.folder / "model").is_dir()
        if not is_complete:
            self.missing.append(
                f"The model: the run stands at step {course.last_step:,} of {course.num_steps:,}; "
                "`diffmask pretrain` with --resume goes on."
            )
        own: dict[str, Any] = (
            {"nouns": PATCHES} | (self.clips(config, inputs, course) if isinstance(config, VideoConfig) else {})
            if is_video(raw)
            else self.text(config if isinstance(config, PretrainConfig) else None, inputs, course)
        )
        return RunData(
            name=self.folder.resolve().name,
            **own,
            policy=str(group(raw, "masking").get("policy", "difference")),
            model=str(raw.get("model", "a model")),
            log=log,
            num_steps=course.num_steps,
            is_complete=is_complete,
            record=record,
            inputs=inputs,
            settings=list_settings(raw, config),
            schedules=(None if config is None else self.attempt("Schedules", _schedules, config)) or {},
            evaluations=self.evaluations(),
            missing=self.missing,
        )

    def text(self, config: PretrainConfig | None, inputs: Mapping[str, Any], course: Course) -> dict[str, Any]:
        """Return what a page says of a run on text only."""
        recorded = [(name, 0.0) for name in inputs.get("anchors", {}).get("anchors", [])]
        if config is None:
            return {"anchors": recorded}
        anchors = self.anchors(config, inputs)
        shown = self.preview(config, inputs, anchors, course)
        known = [(name, times) for name, times, *_ in anchors.rows()] if anchors is not None else []
        return {
            "anchors": known or recorded,
            "threshold": config.masking.domain_threshold,
            "preview": None if shown is None else shown[0],
            "data_note": "" if shown is None else shown[1],
            "classes": self.attempt("Classes of words", _classes, config, anchors, course.log),
        }

    def clips(self, config: VideoConfig, inputs: Mapping[str, Any], course: Course) -> dict[str, Any]:
        """Return what a page says of a run on video only."""
        from diffmask.report.run.read_video import VideoReader

        return VideoReader(self.folder, config, self.attempt, self.missing).read(inputs, course)

    def evaluations(self) -> list[Evaluation]:
        folders = sorted((self.folder / "evaluation").glob("*/"))
        if not folders:
            self.missing.append("Evaluation: none was made; `diffmask evaluate RUN --task TASK` makes one.")
        found = (self.attempt("Evaluation", read_evaluation, path) for path in folders)
        return [each for each in found if each is not None]

    def record(self) -> dict[str, Any]:
        path = self.folder / RECORD_FILE
        if not path.exists():
            raise InputError(f"not recorded, as in runs of older versions of diffmask (no {RECORD_FILE})")
        record = _read_json(path)
        first = record["sessions"][0]["first_step"]
        if first:
            self.missing.append(f"Time: what the run took up to step {first:,} was not recorded.")
        return record

    def log(self) -> Log:
        path = self.folder / "log.jsonl"
        entries = read_log(path) if path.is_file() else []
        if not any("loss" in entry or "eval_loss" in entry for entry in entries):
            raise InputError("the run has logged nothing yet")
        return entries

    def anchors(self, config: PretrainConfig, inputs: Mapping[str, Any]) -> AnchorSet | None:
        """Return the anchors of the run, if they are still those that it used."""
        if config.masking.anchors is None:
            self.missing.append(
                "Anchors: the run was made without (masking.anchors), so that no word is known to be of the domain."
            )
            return None
        found = self.attempt("TF-ICF of the anchors", load_anchors, config.masking.anchors)
        used = inputs.get("anchors")
        if found is not None and used is not None and _plain(found.metadata | {"anchors": found.anchors}) != used:
            self.missing.append(f"TF-ICF of the anchors: {config.masking.anchors} was made again since the run.")
            return None
        return found

    def preview(self, config: PretrainConfig, inputs: Mapping[str, Any], anchors: AnchorSet | None, course: Course):
        """Return what was masked, if text, anchors and tokenizer are there."""
        if config.masking.anchors is not None and anchors is None:
            self.missing.append("Heat maps and bands: they need the anchors that the run used.")
            return None
        return self.attempt("Heat maps and bands", self._preview, config, inputs, anchors, course)

    def _preview(self, config: PretrainConfig, inputs: Mapping[str, Any], anchors: AnchorSet | None, course: Course):
        changed = "data" in inputs and describe_sources(config.data.train) != inputs["data"]
        preview = preview_run(config, self._tokenizer(config), anchors, course)
        if changed:
            self.missing.append(
                "The text that the run read: it changed since then; the sentences shown are of what stands there now."
            )
        return preview

    def _tokenizer(self, config: PretrainConfig):
        """Return the tokenizer of the run, which a finished one has kept."""
        kept = self.folder / "model"
        return load_tokenizer(str(kept) if kept.is_dir() else config.model)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"not recorded (no {path.name})")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error})") from error


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _schedules(config: PretrainConfig | VideoConfig) -> dict[str, Callable[[float], float]]:
    return {
        "mask_ratio": build_schedule(config.masking.ratio, "masking.ratio", RATIO_FLOOR),
        "strength": build_schedule(config.masking.strength, "masking.strength", 0.0),
    }


def _num_steps(raw: Mapping[str, Any], record: Mapping[str, Any], log: Log) -> int:
    """Return the steps of the whole run, as it recorded them, was told them, or came to by its epochs."""
    training = group(raw, "training")
    last = max(log, key=lambda entry: entry["step"], default={"step": 1})
    told = record.get("num_steps") or training.get("steps")
    if told:
        return int(told)
    if training.get("epochs") and last.get("epoch"):
        return max(1, round(last["step"] / last["epoch"] * training["epochs"]))
    return max(1, int(last["step"]))


def _classes(config: PretrainConfig, anchors: AnchorSet | None, log: Log) -> ClassLosses | None:
    """Return the losses and weights of classes, at steps spread over the log."""
    from diffmask.policies.loss_weighted import class_weights

    if not any(key.startswith(CLASS_LOSS) for entry in log for key in entry):
        return None
    names = class_names(config.masking, anchors)
    steps = sorted({int(entry["step"]) for entry in log if names and CLASS_LOSS + names[0] in entry})
    picked = [steps[round(place * (len(steps) - 1) / (MOST_STEPS - 1))] for place in range(MOST_STEPS)] if steps else []
    picked = list(dict.fromkeys(picked))
    entries = [entry for step in picked if (entry := class_losses(names, log, step)) is not None]
    losses = [[entry[CLASS_LOSS + name] for name in names] for entry in entries]
    weights = [class_weights(torch.tensor(each, dtype=torch.float64)).tolist() for each in losses]
    return ClassLosses(names, picked, losses, weights) if picked else None
