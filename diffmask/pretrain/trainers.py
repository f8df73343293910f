"""The trainer of a stage of a run, and what it writes its log to."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from transformers import PreTrainedModel, PrinterCallback, ProgressCallback, TrainerCallback, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

from diffmask.pretrain.subject import Rows
from diffmask.train.callbacks import Bar, JsonLog
from diffmask.train.masking import Masking
from diffmask.train.objective import Objective
from diffmask.train.record import RECORD_FILE, RunRecord
from diffmask.train.trainer import MaskedTrainer


def make_trainer(
    model: PreTrainedModel,
    arguments: TrainingArguments,
    masking: Masking,
    rows: Rows,
    callbacks: list[TrainerCallback],
    *,
    objective: Objective | None = None,
) -> MaskedTrainer:
    """Return the trainer of a stage, with the progress bar of this project in the place of the Trainer's."""
    trainer = MaskedTrainer(
        model, arguments, masking, rows.training, rows.evaluation, rows.order, callbacks, objective=objective
    )
    for shown in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(shown)
    if not arguments.disable_tqdm:
        trainer.add_callback(Bar)
    return trainer


def loggers(folder: Path, arguments: TrainingArguments) -> list[TrainerCallback]:
    """Return what writes the log of a stage; of several ranks, the first writes it."""
    if arguments.process_index != 0:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    record, log = RunRecord(folder / RECORD_FILE), JsonLog(folder / "log.jsonl")
    return [record, log, TensorBoardCallback(SummaryWriter(str(folder / "tensorboard")))]
