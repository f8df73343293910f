"""Read the folder of a run for its page, as far as it goes: what is missing is said, and stops nothing else.

Read what a page says of a run on video only: its anchors, its clips with masks and pictures, those that failed.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from diffmask.assemble.modality import read_config
from diffmask.assemble.schedules import RATIO_FLOOR, build_schedule
from diffmask.assemble.text import TextMasking, class_names
from diffmask.config import PretrainConfig, VideoConfig
from diffmask.core.errors import InputError
from diffmask.pretrain.video import FAILURES_FILE, read_split
from diffmask.report.clips.build_look import scores_needed
from diffmask.report.clips.preview import ClipPreview
from diffmask.report.evaluations import Evaluation, read_evaluation
from diffmask.report.figures.run_logs import CLASS_LOSS
from diffmask.report.html.curves import Log, read_log
from diffmask.report.nouns import PATCHES
from diffmask.report.run.data import ClassLosses, RunData, group, is_video, list_settings, read_settings_file
from diffmask.report.run.masked_clips import choose_clips, gather_clips, load_trained, preview_clips, run_looks
from diffmask.report.run.masked_text import Course, class_losses, preview_run
from diffmask.text.anchors.anchor_set import AnchorSet, load_anchors
from diffmask.text.corpus.documents import describe_sources
from diffmask.text.model.load import load_tokenizer
from diffmask.train.folder import INPUTS_FILE, SETTINGS_FILE, last_checkpoint
from diffmask.train.record import RECORD_FILE
from diffmask.video.anchors.anchor_set import VisualAnchors, load_visual_anchors
from diffmask.video.model.load import LoadedVideo, load_video_model
from diffmask.video.read.dataset import FailureLog

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
        except (InputError, OSError) as error:
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
        return _VideoReader(self.folder, config, self.attempt, self.missing).read(inputs, course)

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
    names = class_names(TextMasking(config.masking).annotators(anchors))
    steps = sorted({int(entry["step"]) for entry in log if names and CLASS_LOSS + names[0] in entry})
    picked = [steps[round(place * (len(steps) - 1) / (MOST_STEPS - 1))] for place in range(MOST_STEPS)] if steps else []
    picked = list(dict.fromkeys(picked))
    entries = [entry for step in picked if (entry := class_losses(names, log, step)) is not None]
    losses = [[entry[CLASS_LOSS + name] for name in names] for entry in entries]
    weights = [class_weights(torch.tensor(each, dtype=torch.float64)).tolist() for each in losses]
    return ClassLosses(names, picked, losses, weights) if picked else None


NUM_CLIPS = 4


class _VideoReader:
    """Reads a run on video, as far as it goes.

    Args:
        folder: Of the run.
        config: Its settings.
        attempt: Calls what may fail, with what it is for; notes why in one sentence, and returns None.
        missing: The sentences.
    """

    def __init__(self, folder: Path, config: VideoConfig, attempt: Callable[..., Any], missing: list[str]):
        self._folder, self._config, self._attempt, self._missing = folder, config, attempt, missing

    def read(self, inputs: Mapping[str, Any], course: Course) -> dict[str, Any]:
        """Return the fields of the page's data."""
        anchors = self._anchors(inputs)
        shown = self._attempt("Masks", self._preview, anchors, course)
        return {
            "anchors": [] if anchors is None else [(row[0], float(row[2] or 0.0)) for row in anchors.rows],
            "clips": None if shown is None else shown[0],
            "data_note": "" if shown is None else shown[1],
            "failures": self._attempt("Clips that failed", self._failures) or {},
        }

    def _anchors(self, inputs: Mapping[str, Any]) -> VisualAnchors | None:
        """Return the anchors of the run, if they are still those that it used."""
        folder = self._config.masking.anchors
        if folder is None:
            self._missing.append(
                "Anchors: the run was made without (masking.anchors), so that no patch is known to be of the domain."
            )
            return None
        found = self._attempt("Anchors", load_visual_anchors, folder)
        used = inputs.get("anchors", {}).get("key")
        if found is not None and used is not None and found.key != used:
            self._missing.append(f"Anchors: {folder} was made again since the run.")
            return None
        return found

    def _preview(self, anchors: VisualAnchors | None, course: Course) -> tuple[ClipPreview, str]:
        config = self._config
        if anchors is None and "difference" in scores_needed([config.masking]):
            raise InputError("they need the anchors that the run used")
        training, held_out = read_split(config, progress=False)
        note = "The clips were held out of the training." if held_out else "The clips are some that were trained on."
        loaded = self._attempt("What the model makes of hidden patches", self._model)
        grid = (loaded or self._before()).grid
        clips = choose_clips(held_out or training, NUM_CLIPS, [config.masking])
        gathered = gather_clips(clips, config, grid, anchors, maskings=[config.masking])
        for path, reason in gathered.failed.items():
            self._missing.append(f"The clip {path}: {reason}.")
        looks = run_looks(config, grid, self._folder, course.log, course.num_steps)
        return preview_clips(gathered, looks, loaded), note

    def _model(self) -> LoadedVideo:
        """Return the model that the run made, or the one of its last checkpoint."""
        made = self._folder / "model"
        found = made if made.is_dir() else last_checkpoint(self._folder)
        if found is None:
            raise InputError("the run has neither a model nor a checkpoint yet")
        return load_trained(found, self._config)

    def _before(self) -> LoadedVideo:
        data = self._config.data
        return load_video_model(self._config.model, num_frames=data.num_frames, image_size=data.image_size)

    def _failures(self) -> Mapping[str, str]:
        path = self._folder / FAILURES_FILE
        try:
            return FailureLog(path).read()
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error!r})") from error
