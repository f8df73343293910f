"""One run of continued pretraining: claim the folder, read the text, train, keep what is needed to trust the result.

A run's folder holds config.yaml, log.jsonl, tensorboard/, checkpoint-N/ and, at the end, model/, as save_pretrained
writes it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch.utils.tensorboard import SummaryWriter
from transformers import PreTrainedTokenizerBase, PrinterCallback, ProgressCallback, TrainerCallback, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

from diffmask.build import Values, build_annotators, build_arguments, build_masking, build_scorers, model_options
from diffmask.config import PretrainConfig, TrainingConfig, to_mapping
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.policies.uniform import Uniform
from diffmask.pretrain.rows import read_anchors, read_rows, row_lengths
from diffmask.text.anchors import AnchorSet
from diffmask.text.corpus import describe_sources
from diffmask.text.load import LoadedModel, load_masked_lm
from diffmask.train.callbacks import Bar, EvaluateAtEnd, JsonLog, StopOnInterrupt
from diffmask.train.card import write_card
from diffmask.train.checkpoints import last_checkpoint, writing
from diffmask.train.folder import check_folder, check_inputs, claim_folder
from diffmask.train.masking import Masking
from diffmask.train.trainer import MaskedTrainer

if TYPE_CHECKING:
    import datasets

HEAD_FILE = "head.safetensors"


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
    anchors = read_anchors(config, loaded.tokenizer)
    masking = build_masking(config, loaded.tokenizer, anchors)
    arguments = build_arguments(
        config.training, str(folder), evaluates=bool(config.data.eval) or not config.data.streaming, progress=progress
    )
    if config.data.streaming and arguments.world_size > 1:
        raise InputError(
            "data.streaming=true runs in one process; leave it out, and the text is tokenised once for all ranks"
        )
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
    _prepare_head(config, loaded, masking, training, folder, progress=progress)

    stop = StopOnInterrupt()
    callbacks = [stop, *([EvaluateAtEnd()] if evaluation is not None else []), *_loggers(folder, arguments)]
    trainer = _trainer(config, loaded, arguments, masking, (training, evaluation), callbacks)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if stop.interrupted:
        return Outcome(folder, True, {})
    metrics = _last_evaluation(trainer)
    _save(trainer, config, loaded.tokenizer, inputs, metrics)
    return Outcome(folder, False, metrics)


def _last_evaluation(trainer: MaskedTrainer) -> dict[str, float]:
    entry = next((entry for entry in reversed(trainer.state.log_history) if "eval_loss" in entry), {})
    return {name: value for name, value in entry.items() if name.startswith(("eval_loss", "eval_masked"))}


def _load(config: PretrainConfig) -> LoadedModel:
    """Load the model; a head that starts at random starts the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        return load_masked_lm(config.model, **model_options(config.training))


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
    if keys:
        record["values of units"] = keys
    if anchors is not None:
        record["anchors"] = anchors.metadata | {"anchors": anchors.anchors}
    return record


def _prepare_head(
    config: PretrainConfig,
    loaded: LoadedModel,
    masking: Masking,
    rows: "datasets.Dataset | datasets.IterableDataset",
    folder: Path,
    *,
    progress: bool,
) -> None:
    """Train a head that the checkpoint lacks, with the encoder frozen and random masks, the same for every policy."""
    if not loaded.fresh or config.head.steps == 0:
        return
    trained = folder / HEAD_FILE
    head = {name: parameter for name, parameter in loaded.model.named_parameters() if name in set(loaded.fresh)}
    if not trained.exists():
        for parameter in loaded.model.parameters():
            parameter.requires_grad_(False)
        for parameter in head.values():
            parameter.requires_grad_(True)
        settings = TrainingConfig(
            steps=config.head.steps,
            learning_rate=config.head.learning_rate,
            batch_size=config.training.batch_size,
            accumulation=config.training.accumulation,
            precision=config.training.precision,
            seed=config.training.seed,
            device=config.training.device,
            bucketed=config.training.bucketed,
            log_every=config.training.log_every,
            eval_every=0,
            save_every=0,
        )
        plain = masking.evaluation_adapter or masking.adapter
        random = Masking(plain, Masker(Uniform(), seed=config.masking.seed), masking.evaluation)
        stage = folder / "head"
        arguments = build_arguments(settings, str(stage), evaluates=False, progress=progress)
        _trainer(config, loaded, arguments, random, (rows, None), _loggers(stage, arguments)).train()
        for parameter in loaded.model.parameters():
            parameter.requires_grad_(True)
        if arguments.process_index == 0:
            draft = trained.with_suffix(".tmp")
            with writing(trained):
                save_file({name: parameter.detach().contiguous() for name, parameter in head.items()}, draft)
            os.replace(draft, trained)
        return
    with torch.no_grad():
        for name, value in load_file(trained).items():
            head[name].copy_(value)


def _trainer(
    config: PretrainConfig,
    loaded: LoadedModel,
    arguments: TrainingArguments,
    masking: Masking,
    rows: tuple["datasets.Dataset | datasets.IterableDataset", "datasets.Dataset | None"],
    callbacks: list[TrainerCallback],
) -> MaskedTrainer:
    training, evaluation = rows
    lengths = None
    if not config.data.streaming:
        known = cast("datasets.Dataset", training)
        # rows of one length keep the order of the shuffle
        lengths = row_lengths(known) if config.training.bucketed else [0] * len(known)
    trainer = MaskedTrainer(loaded.model, arguments, masking, training, evaluation, lengths, callbacks)
    for shown in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(shown)
    if not arguments.disable_tqdm:
        trainer.add_callback(Bar)
    return trainer


def _loggers(folder: Path, arguments: TrainingArguments) -> list[TrainerCallback]:
    if arguments.process_index != 0:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    return [JsonLog(folder / "log.jsonl"), TensorBoardCallback(SummaryWriter(str(folder / "tensorboard")))]


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
