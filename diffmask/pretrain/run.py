"""One run of continued pretraining: claim the folder, read the data, train, keep what is needed to trust the result.

A run's folder holds config.yaml, log.jsonl, run.json, tensorboard/, checkpoint-N/, snapshots/ where they are asked for,
and, at the end, model/, as save_pretrained writes it, and classifier/ where a task was learned too.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments

from diffmask.assemble.modality import modality_of, resolve
from diffmask.assemble.training import build_arguments
from diffmask.config import to_mapping
from diffmask.core.errors import InputError, worker_errors
from diffmask.core.processes import rank_errors, read_ranks
from diffmask.files.folders import draft
from diffmask.pretrain.head import check_head, prepare_head
from diffmask.pretrain.subject import Subject, loggers, make_trainer
from diffmask.text.model.load import resolve_model
from diffmask.text.score.position_scores import hash_model
from diffmask.train.callbacks import EvaluateAtEnd, Snapshots, StopOnInterrupt
from diffmask.train.folder import RunFolder, last_checkpoint
from diffmask.train.record import LINEAGE, Lineage, write_card
from diffmask.train.shared_memory import check_shared_memory
from diffmask.train.trainer import MaskedTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOutcome:
    """What became of a run.

    Attributes:
        folder: The run's folder.
        signal: What stopped it before its end, SIGINT (Ctrl-C) or SIGTERM, with a checkpoint to go on from; 0 if none.
        metrics: The last evaluation; empty without held-out data.
        failures: What of the data could not be read, each with the reason.
        beside: What else was saved: a name, and its folder.
    """

    folder: Path
    signal: int
    metrics: dict[str, float]
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
    beside: Mapping[str, Path] = field(default_factory=dict[str, Path])

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return self.signal != 0

    @property
    def model(self) -> Path:
        """Folder of the resulting model."""
        return self.folder / "model"


def pretrain(config: Any, *, resume: bool = False, overwrite: bool = False, progress: bool = True) -> RunOutcome:
    """Continue a model's pretraining as a config says.

    Args:
        config: The run: a `TextConfig`, a `VideoConfig`, or the settings of another modality.
        resume: Go on from the last whole checkpoint of an interrupted run, or start if there is none.
        overwrite: Delete what is in the run's folder.
        progress: Show progress bars.

    Raises:
        InputError: If something the config names cannot be used, the folder exists, or the loss becomes NaN.
    """
    run = RunFolder(Path(config.output), to_mapping(config))
    with run.held(is_main=read_ranks().rank == 0, resume=resume, overwrite=overwrite), rank_errors():
        return _pretrain(config, run, resume=resume, overwrite=overwrite, progress=progress)


def _pretrain(config: Any, run: RunFolder, *, resume: bool, overwrite: bool, progress: bool) -> RunOutcome:
    """Train in a folder that is held."""
    folder = Path(config.output)
    subject = modality_of(config).subject(config, resolve(config))
    check_head(config, subject)
    arguments = _arguments(config, streams=subject.streams, progress=progress)
    with arguments.main_process_first(local=False):
        rows = subject.read(progress=progress)
        inputs = {"model": hash_model(subject.model, without=subject.fresh)} | rows.inputs
        inputs["world_size"] = arguments.world_size
        if resume and folder.exists():
            run.check_inputs(inputs)
        if arguments.process_index == 0:
            run.claim(inputs, overwrite=overwrite)
    found = last_checkpoint(folder) if resume and arguments.process_index == 0 else None
    checkpoint = broadcast_object_list([found])[0]
    told = rows.describe_held_out(config.data.eval, config.data.eval_share)
    if arguments.process_index == 0:
        logger.log(logging.INFO if rows.num_held_out > 1 else logging.WARNING, "%s", told)
    held_out = {"number": rows.num_held_out, "of": rows.what, "told": told}
    if rows.evaluation is None:
        arguments.set_evaluate(strategy="no")
    arguments.eval_on_start &= rows.evaluation is not None and checkpoint is None
    if not subject.streams:
        pad, training = subject.masking.pad, config.training
        second = None if rows.evaluation is None else (rows.evaluation, training.batch_size)
        check_shared_memory(rows.training, pad, training.batch_size, training.num_workers, evaluation=second)
    with run.filled():
        prepare_head(config, subject, rows, folder, progress=progress)

        stop = StopOnInterrupt()
        callbacks = [
            stop,
            *([EvaluateAtEnd()] if rows.evaluation is not None else []),
            *loggers(folder, arguments, held_out),
        ]
        trainer = make_trainer(
            subject.model,
            arguments,
            subject.masking,
            rows,
            callbacks,
            objective=subject.objective,
            processing=subject.processing,
        )
        save = partial(_save, trainer, subject, to_mapping(config), inputs)
        trainer.add_callback(Snapshots(config.training.snapshots, partial(_keep, trainer, folder, save)))
        _train(trainer, stop, config.training.steps, checkpoint)
        if stop.number:
            return RunOutcome(folder, stop.number, {}, subject.failures())
        metrics = _last_evaluation(trainer)
        beside = subject.finish(trainer, folder)
        save(folder / "model", metrics)
        return RunOutcome(folder, 0, metrics, subject.failures(), beside)


def _train(trainer: MaskedTrainer, stop: StopOnInterrupt, steps: int | None, checkpoint: Path | None) -> None:
    """Train; where no step is asked for, a head has been trained, and is evaluated."""
    if steps == 0:
        if trainer.eval_dataset is not None:
            trainer.evaluate()
        return
    try:
        with worker_errors():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    finally:
        stop.release()


def _arguments(config: Any, *, streams: bool, progress: bool) -> TrainingArguments:
    evaluates = bool(config.data.eval) or not streams
    arguments = build_arguments(config.training, config.output, evaluates=evaluates, progress=progress)
    if streams and arguments.world_size > 1:
        raise InputError(
            "data.streaming=true runs in one process; leave it out, and the text is tokenised once for all ranks"
        )
    return arguments


def _last_evaluation(trainer: MaskedTrainer) -> dict[str, float]:
    entry = next((entry for entry in reversed(trainer.state.log_history) if "eval_loss" in entry), {})
    return {name: value for name, value in entry.items() if name.startswith(("eval_loss", "eval_masked", "eval_task"))}


def _keep(trainer: MaskedTrainer, folder: Path, save: Callable[[Path, dict[str, float]], None]) -> None:
    """Save the model as it is after this step."""
    path = folder / "snapshots" / f"step-{trainer.state.global_step}"
    if trainer.is_world_process_zero():
        path.parent.mkdir(exist_ok=True)
    save(path, {})


def _save(
    trainer: MaskedTrainer,
    subject: Subject,
    settings: dict[str, Any],
    inputs: dict[str, Any],
    path: Path,
    metrics: dict[str, float],
) -> None:
    """Write the model, under its name only once it is whole."""
    start = resolve_model(subject.name)
    lineage = Lineage.read(start).longer(start, trainer.state.global_step)
    with draft(path, "continue with --resume") as new:
        # all ranks save into the draft of the first, which alone puts it in its place
        trainer.save_model(str(broadcast_object_list([str(new)])[0]))
        if trainer.is_world_process_zero():
            front = {**subject.describe(), LINEAGE: lineage.to_json()}
            write_card(new / "README.md", front, settings, inputs, metrics)
            (new / "training_args.bin").unlink(missing_ok=True)  # a pickle, of no use to whoever loads the model
