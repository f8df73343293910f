"""The folder of a run: held by one process, never overwritten unasked, never resumed with what changes the result."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from diffmask.config.read import flat, read_mapping
from diffmask.core.errors import InputError
from diffmask.files.folders import FullDiskError, write_text, writing
from diffmask.files.json_object import read_object
from diffmask.files.lock import LOCK_FILE, locked
from diffmask.files.own_files import clear, first_foreign, is_draft, remove_drafts
from diffmask.train.checkpoint import checkpoints_of, damage
from diffmask.train.log import LOG_FILE, read_log
from diffmask.train.record import RECORD_FILE, read_record

SETTINGS_FILE = "config.yaml"
INPUTS_FILE = "inputs.json"
_MODEL_FILES = (
    *("config.json", "generation_config.json", "model.safetensors", "model-*-of-*.safetensors", "README.md"),
    *("model.safetensors.index.json", "adapter_model.safetensors", "adapter_config.json", "training_args.bin"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model", "bpe.codes"),
    *("tokenizer.model", "dict.txt", "entity_vocab.json", "emoji.json", "bpe_vocab.json"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
)
_CHECKPOINT_FILES = (
    *_MODEL_FILES,
    *("manifest.json", "policy.safetensors", "trainer_state.json", "optimizer.pt", "scheduler.pt", "scaler.pt"),
    *("rng_state.pth", "rng_state_#.pth"),
)
_STAGE_FILES = (RECORD_FILE, LOG_FILE, "tensorboard/events.out.tfevents.*")
RUN_FILES = (
    *(SETTINGS_FILE, INPUTS_FILE, LOCK_FILE, "failures.jsonl", "head.safetensors", "report.html"),
    *_STAGE_FILES,
    *(f"head/{name}" for name in _STAGE_FILES),
    *(f"{folder}/{name}" for folder in ("model", "classifier") for name in _MODEL_FILES),
    *(f"snapshots/step-#/{name}" for name in _MODEL_FILES),
    *(f"checkpoint-#/{name}" for name in _CHECKPOINT_FILES),
    "evaluation/*/seed-#.json",
    *(f"evaluation/*/.draft-seed-#/#/checkpoint-#/{name}" for name in _CHECKPOINT_FILES),
)
"""What the commands write into the folder of a run; one that holds anything else is never deleted."""
FREE = frozenset(
    {
        *("output", "data.cache", "data.num_processes"),
        *("training.keep", "training.log_every", "training.save_every"),
        *("training.num_workers", "training.device"),
    }
)
"""Settings that do not decide what comes out of a run, so that it may be resumed with others.

`training.eval_every` is none of them: an evaluation draws from the random numbers that dropout uses.
"""
BY_CONTENT = {
    "model": ("model",),
    "data.train": ("data", "clips"),
    "data.eval": ("held_out",),
    "task.train": ("task",),
    "task.eval": ("task",),
    "head.weights": ("head",),
    "target.embedder": ("features",),
    "masking.anchors": ("anchors",),
    "masking.boxes": ("boxes",),
    **dict.fromkeys((f"masking.{name}" for name in ("classes", "spans", "ngrams", "scorer")), ("values of units",)),
    "masking.teacher": ("values of units", "scores"),
}
"""Settings that name files: what a run records of their content is compared, so that they may be moved."""
_RECORDED_LATER = ("model", "scores", "content")
"""What runs of earlier versions did not record."""
_RESUMED = "# resumed "

logger = logging.getLogger(__name__)


class RunFolder:
    """The folder of a run that is about to start.

    Args:
        path: The folder.
        settings: All settings of the run.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        self._path, self._settings = path, settings

    @contextmanager
    def held(self, *, is_main: bool, resume: bool, overwrite: bool) -> Iterator[None]:
        """Keep other processes out of the folder, if it may be used; see `check`.

        Args:
            is_main: Whether this process is the first of the run's; the others share its lock.
            resume: Continue the run in the folder.
            overwrite: Delete the run in the folder.

        Raises:
            InputError: If the folder may not be used, cannot be written, or another process works there.
        """
        self.check(resume=resume, overwrite=overwrite)
        with ExitStack() as stack:
            if is_main:
                try:
                    stack.enter_context(locked(self._path, "set output=... to another folder"))
                except OSError as error:
                    raise InputError(
                        f"the folder {self._path} cannot be written ({error.strerror}); set output=... to another"
                    ) from error
                self.check(resume=resume, overwrite=overwrite)  # another process may have ended in between
            yield

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse a folder that exists, unless its run may be resumed with these settings, or be overwritten.

        Args:
            resume: Continue the run in the folder.
            overwrite: Delete the run in the folder.

        Raises:
            InputError: If the folder may not be used.
        """
        folder = self._path
        if resume and overwrite:
            raise InputError("--resume and --overwrite exclude each other; give one of them")
        if not folder.exists() or (folder.is_dir() and {path.name for path in folder.iterdir()} <= {LOCK_FILE}):
            return
        if overwrite:
            _check_overwrite(folder, self._settings)
        elif resume:
            self._check_resume()
        else:
            raise InputError(
                f"the output folder {folder} exists; use --resume to continue that run, --overwrite to delete it, "
                "or set output=... to another folder"
            )

    def _check_resume(self) -> None:
        folder = self._path
        if not (folder / SETTINGS_FILE).exists():
            if _is_unclaimed(folder):
                return
            raise InputError(
                f"{folder} holds no run to resume (no {SETTINGS_FILE}); set output=... to the folder of a run"
            )
        before, inputs = flat(read_settings(folder)), read_inputs(folder)
        for name, value in flat(self._settings).items():
            is_known = any(each in inputs for each in BY_CONTENT.get(name, ())) and before.get(name) and value
            if before.get(name) != value and name not in FREE and not is_known:
                raise InputError(
                    f"the run in {folder} was started with {name}={before.get(name)}, not {value}; resume it with the "
                    "same settings, or set output=... to start another"
                )
        if (folder / "model").exists():
            raise InputError(
                f"the run in {folder} is complete, with its model in {folder / 'model'}; nothing is left to do"
            )
        if (folder / RECORD_FILE).exists():
            read_record(folder / RECORD_FILE)
        if (folder / LOG_FILE).exists():
            read_log(folder / LOG_FILE)

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Refuse to resume a run that read other data or anchors, or ran on another number of ranks.

        Args:
            inputs: Hashes and facts of everything that the run reads.

        Raises:
            InputError: If one of them changed since the run was started.
        """
        before = read_inputs(self._path)
        now = json.loads(json.dumps(inputs))
        changed = [
            name
            for name in now | before
            if not (name in _RECORDED_LATER and name not in before) and not _same(before.get(name), now.get(name))
        ]
        if before and changed:
            raise InputError(
                f"the run in {self._path} cannot be resumed, because its {changed[0]} changed since it was started; "
                "set output=... to start another"
            )

    def claim(self, inputs: Mapping[str, Any], *, overwrite: bool) -> None:
        """Make the folder, and write its settings and inputs; called once nothing can be refused any more."""
        if overwrite and self._path.exists():
            clear(self._path, RUN_FILES)
        self._path.mkdir(parents=True, exist_ok=True)
        remove_drafts(self._path, RUN_FILES)
        texts = {
            INPUTS_FILE: json.dumps(inputs, indent=2),
            SETTINGS_FILE: self._history() + yaml.safe_dump(dict(self._settings), sort_keys=False),
        }
        for name, text in texts.items():
            write_text(self._path / name, text)

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Where the disk gets full while the run writes its folder, say from which checkpoint it can continue.

        Raises:
            FullDiskError: With the checkpoint.
        """
        run = Path(os.path.abspath(self._path))
        try:
            with writing(run, "continue with --resume"):
                yield
        except FullDiskError as error:
            if not error.path.absolute().is_relative_to(run):
                raise
            raise FullDiskError(error.path, error.reason, "continue with --resume", tell_last(run)) from error

    def _history(self) -> str:
        """Return comments for the settings: which of them a resumption changed, and what they were before."""
        path = self._path / SETTINGS_FILE
        if not path.exists():
            return ""
        told = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith(_RESUMED)]
        before = flat(read_settings(self._path))
        changed = [
            f"{name}={json.dumps(value)} (before: {json.dumps(before.get(name))})"
            for name, value in flat(self._settings).items()
            if before.get(name) != value
        ]
        if changed:
            told.append(f"{_RESUMED}{datetime.now(UTC).isoformat(timespec='seconds')} with {', '.join(changed)}")
        return "".join(f"{line}\n" for line in told)


def _same(before: Any, now: Any) -> bool:
    """Tell whether two records say the same but for where files lie."""
    if isinstance(before, dict) and isinstance(now, dict):
        if "content" in before and "content" in now:
            return before["content"] == now["content"]
        names = (before.keys() | now.keys()) - {"path", "content"}
        return all(_same(before.get(name), now.get(name)) for name in names)
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(_same, before, now))
    return before == now


def read_settings(run: Path) -> dict[str, Any]:
    """Return the settings that a run was started with, as its file has them.

    Raises:
        InputError: If the file is damaged.
    """
    path = run / SETTINGS_FILE
    try:
        return read_mapping(path)
    except (InputError, RecursionError) as error:
        reason = str(error).removeprefix(f"{path} ").partition(";")[0]
        raise InputError(
            f"{path} is damaged (it {reason}); write the config that the run was started with there, with all of its "
            "settings, or use --overwrite to start again"
        ) from error


def read_inputs(run: Path) -> dict[str, Any]:
    """Return what a run noted of all that it reads; nothing where it noted nothing.

    Raises:
        InputError: If the file is damaged.
    """
    path = run / INPUTS_FILE
    if not path.exists():
        return {}
    return read_object(path, {}, "delete it to resume without the check that the data are the same")


def _is_unclaimed(folder: Path) -> bool:
    """Tell whether a run ended while it made its folder, before its settings were written."""
    return folder.is_dir() and all(
        path.name in (INPUTS_FILE, LOCK_FILE) or is_draft(path, RUN_FILES) for path in folder.iterdir()
    )


def _check_overwrite(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to delete a folder that holds anything but a run, or something which the new run reads."""
    remedy = "so it is not deleted; set output=... to another folder"
    if folder.is_symlink():
        raise InputError(f"{folder} is a link to {folder.resolve()}, {remedy}, or to that one")
    if not folder.is_dir() or not (folder / SETTINGS_FILE).is_file():
        raise InputError(f"{folder} is no run (no {SETTINGS_FILE}), {remedy}")
    foreign = first_foreign(folder, RUN_FILES)
    if foreign is None and {path.name for path in folder.iterdir()} <= {SETTINGS_FILE, LOCK_FILE}:
        raise InputError(f"{folder} is no run (it holds {SETTINGS_FILE} alone), {remedy}")
    if foreign is not None:
        raise InputError(f"{folder} holds {foreign.relative_to(folder)}, which no run writes, {remedy}")
    data = settings["data"]
    # in settings such as `spacy:FOLDER` the path follows a colon
    values = (*settings["masking"].values(), *settings.get("target", {}).values())
    named = [value.rsplit(":", 1)[-1] for value in values if isinstance(value, str)]
    task = settings.get("task") or {"train": [], "eval": []}
    corpora = (*data["train"], *data["eval"], *task["train"], *task["eval"])
    read = (settings["model"], settings["head"]["weights"], data["cache"], *corpora, *named)
    for name in read:
        if name and Path(name).exists() and Path(name).resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"{name} lies in {folder}, which --overwrite would delete; set output=... to another folder"
            )


def last_checkpoint(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, None if there is none; damaged ones are named in a warning."""
    damaged = []
    for checkpoint in reversed(checkpoints_of(run)):
        reason = damage(checkpoint)
        if reason is None:
            break
        damaged.append((checkpoint, reason))
    else:
        checkpoint = None
    for each, reason in damaged:
        where = f"from {checkpoint}" if checkpoint else "from the beginning"
        logger.warning("the checkpoint %s is damaged: %s; the run continues %s", each, reason, where)
    return checkpoint


def tell_last(run: Path) -> str:
    """Say from which checkpoint a run that has failed can continue."""
    whole = next((each for each in reversed(checkpoints_of(run)) if damage(each) is None), None)
    return f"the last good checkpoint is {whole}" if whole else "no checkpoint was written yet"
