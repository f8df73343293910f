"""One run of continued pretraining: claim the folder, read the text, train, keep what is needed to trust the result.

A run's folder holds config.yaml, log.jsonl, run.json, tensorboard/, checkpoint-N/ and, at the end, model/, as
save_pretrained writes it, and classifier/ where a task was learned too.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedTokenizerBase, TrainingArguments

from diffmask.build import Values, build_annotators, build_arguments, build_masking, build_scorers
from diffmask.config import PretrainConfig, to_mapping
from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.files.writing import writing
from diffmask.pretrain.head import check_head, prepare_head
from diffmask.pretrain.rows import read_anchors, read_rows
from diffmask.pretrain.task import CLASSIFIER, build_task, save_classifier
from diffmask.pretrain.trainers import loggers, make_trainer
from diffmask.text.anchors import AnchorSet
from diffmask.text.corpus import describe_sources
from diffmask.text.load import LoadedModel, fast_attention, load_masked_lm
from diffmask.train.callbacks import EvaluateAtEnd, StopOnInterrupt
from diffmask.train.card import write_card
from diffmask.train.checkpoints import last_checkpoint
from diffmask.train.folder import check_folder, check_inputs, claim_folder
from diffmask.train.trainer import MaskedTrainer

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        folder: The run's folder.
        interrupted: Whether it stopped at Ctrl-C, with a checkpoint to go on from.
        metrics: The last evaluation; empty without held-out text.
    """

    folder: Path
    interrupted: bool
    metrics: dict[str, float]

    @property
    def model(self) -> Path:
        """Folder of the resulting model."""
        return self.folder / "model"

    @property
    def classifier(self) -> Path:
        """Folder of the resulting classifier, where a task was learned too."""
        return self.folder / CLASSIFIER


def pretrain(
    config: PretrainConfig, *, resume: bool = False, overwrite: bool = False, progress: bool = True
) -> Outcome:
    """Continue a model's pretraining as a config says.

    Args:
        config: The run.
        resume: Go on from the last whole checkpoint of an interrupted run, or start if there is none.
        overwrite: Delete what stands in the run's folder.
        progress: Show progress bars.

    Raises:
        InputError: If something the config names cannot be used, the folder exists, or the loss becomes NaN.
    """
    folder = Path(config.output)
    settings = to_mapping(config)
    check_folder(folder, settings, resume=resume, overwrite=overwrite)
    loaded = _load(config)
    check_head(config, loaded)
    task = build_task(config, loaded)
    anchors = read_anchors(config, loaded.tokenizer)
    masking = build_masking(config, loaded.tokenizer, anchors)
    arguments = _arguments(config, progress=progress)
    with arguments.main_process_first(local=False):
        training, evaluation, keys = _rows(config, loaded.tokenizer, anchors, progress=progress)
        inputs = _record(config, anchors, keys) | {"world_size": arguments.world_size}
        if resume and folder.exists():
            check_inputs(folder, inputs)
        if arguments.process_index == 0:
            claim_folder(folder, settings, inputs, overwrite=overwrite)
    checkpoint = last_checkpoint(folder) if resume else None
    if evaluation is None:
        arguments.set_evaluate(strategy="no")
    arguments.eval_on_start &= evaluation is not None and checkpoint is None
    prepare_head(config, loaded, masking, training, folder, progress=progress)

    stop = StopOnInterrupt()
    callbacks = [stop, *([EvaluateAtEnd()] if evaluation is not None else []), *loggers(folder, arguments)]
    trainer = make_trainer(config, loaded.model, arguments, masking, (training, evaluation), callbacks, objective=task)
    _train(trainer, stop, config.training.steps, checkpoint)
    if stop.interrupted:
        return Outcome(folder, True, {})
    metrics = _last_evaluation(trainer)
    if task is not None:
        save_classifier(trainer, task, loaded, folder)
    _save(trainer, config, loaded.tokenizer, inputs, metrics)
    return Outcome(folder, False, metrics)


def _train(trainer: MaskedTrainer, stop: StopOnInterrupt, steps: int | None, checkpoint: Path | None) -> None:
    """Train; where no step is asked for, a head has been trained, and is evaluated."""
    if steps == 0:
        if trainer.eval_dataset is not None:
            trainer.evaluate()
        return
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    finally:
        stop.release()


def _arguments(config: PretrainConfig, *, progress: bool) -> TrainingArguments:
    evaluates = bool(config.data.eval) or not config.data.streaming
    arguments = build_arguments(config.training, config.output, evaluates=evaluates, progress=progress)
    if config.data.streaming and arguments.world_size > 1:
        raise InputError(
            "data.streaming=true runs in one process; leave it out, and the text is tokenised once for all ranks"
        )
    return arguments


def _last_evaluation(trainer: MaskedTrainer) -> dict[str, float]:
    entry = next((entry for entry in reversed(trainer.state.log_history) if "eval_loss" in entry), {})
    return {name: value for name, value in entry.items() if name.startswith(("eval_loss", "eval_masked", "eval_task"))}


def _load(config: PretrainConfig) -> LoadedModel:
    """Load the model; a head that starts at random starts the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        device = resolve_device(config.training.device or "auto")
        return load_masked_lm(config.model, **fast_attention(device, config.training.precision))


def _rows(
    config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, anchors: AnchorSet | None, *, progress: bool
) -> "tuple[datasets.Dataset | datasets.IterableDataset, datasets.Dataset | None, list[str]]":
    """Return the rows, and what the values of their units depend on; a model that scored them is let go."""
    scorers = build_scorers(config.masking, tokenizer, config.training.device or "auto")
    values = Values(build_annotators(config.masking, anchors), scorers)
    return *read_rows(config, tokenizer, anchors, values, progress=progress), values.keys


def _record(config: PretrainConfig, anchors: AnchorSet | None, keys: list[str]) -> dict[str, Any]:
    """Return what the model card says of the files that were read."""
    record: dict[str, Any] = {"data": describe_sources(config.data.train)}
    if config.data.eval:
        record["held_out"] = describe_sources(config.data.eval)
    if config.task is not None:
        record["task"] = describe_sources([*config.task.train, *config.task.eval])
    if config.head.weights is not None:
        record["head"] = hashlib.sha256(Path(config.head.weights).read_bytes()).hexdigest()
    if keys:
        record["values of units"] = keys
    if anchors is not None:
        record["anchors"] = anchors.metadata | {"anchors": anchors.anchors}
    return record


def _save(
    trainer: MaskedTrainer,
    config: PretrainConfig,
    tokenizer: PreTrainedTokenizerBase,
    inputs: dict[str, Any],
    metrics: dict[str, float],
) -> None:
    """Write the model beside the checkpoints, under its name only once it is whole."""
    folder = Path(config.output)
    draft = folder / "model.tmp"
    with writing(draft):
        trainer.save_model(str(draft))
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(draft)
        write_card(draft / "README.md", to_mapping(config), inputs, metrics)
        (draft / "training_args.bin").unlink(missing_ok=True)  # a pickle, and of no use to who loads the model
        os.replace(draft, folder / "model")
