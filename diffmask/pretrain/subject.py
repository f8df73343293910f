"""What a run trains: a model, its data and how they are masked; one kind for each modality. And its trainer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PrinterCallback, ProgressCallback, TrainerCallback, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

from diffmask.train.buckets import RowOrder
from diffmask.train.callbacks import Bar, JsonLog
from diffmask.train.masking import Masks
from diffmask.train.objective import Objective
from diffmask.train.record import RECORD_FILE, RunRecord, hub_name
from diffmask.train.tensorboard import EventFile
from diffmask.train.trainer import MaskedTrainer


@dataclass(frozen=True)
class Rows:
    """The rows of a run.

    Attributes:
        training: A data set of rows for the adapter.
        evaluation: Rows that are held out, or None.
        order: The order of the training's rows; None for a stream.
        inputs: What they were made of, with hashes: what a resumed run must find again, and the card tells.
        what: What an entry of the held-out data is called, in the plural.
    """

    training: Any
    evaluation: Any
    order: RowOrder | None
    inputs: dict[str, Any]
    what: str = "rows"

    @property
    def num_held_out(self) -> int:
        """How many rows, or clips, are held out."""
        return 0 if self.evaluation is None else len(self.evaluation)

    def describe_held_out(self, given: Sequence[str], share: float) -> str:
        """Say in one sentence what was really held out.

        Args:
            given: Held-out data of their own.
            share: Of the data that is held out where there are none; 0 of a stream.
        """
        asked, number = "data.eval" if given else f"data.eval_share={share:g}", self.num_held_out
        if number > 1:
            return f"{asked} holds out {number:,} {self.what}"
        if number == 1:
            return f"{asked} holds out 1 of the {self.what}, whose loss says little of the others; hold out more"
        if not isinstance(self.training, Sized):
            return "nothing is held out of a stream, so nothing is evaluated; give data.eval to measure the loss"
        rest = "; raise it, or give data.eval" if share > 0 else ""
        return f"{asked} holds out none of the {self.what}, so nothing is evaluated{rest}"


class Subject(ABC):
    """What a run trains.

    Attributes:
        name: What the user called the model.
        model: The model.
        fresh: Its parameters that no checkpoint held: a head, trained first.
        masking: How its data are masked.
        objective: What is learned beside, or None.
        processing: Its tokenizer or processor, which is saved beside the weights.
        streams: Whether its rows are read while training, without an end and without a share to hold out.
    """

    name: str
    model: PreTrainedModel
    fresh: tuple[str, ...]
    masking: Masks
    objective: Objective | None = None
    processing: Any = None
    streams: bool = False

    @abstractmethod
    def read(self, *, progress: bool) -> Rows:
        """Read the data."""

    def describe(self) -> dict[str, Any]:
        """Return the front matter of the model card."""
        return {"base_model": hub_name(self.name)}

    def finish(self, trainer: MaskedTrainer, folder: Path) -> Mapping[str, Path]:
        """End what was learned beside, before the model is saved in the run's folder; return what was saved where."""
        return {}

    def failures(self) -> Mapping[str, str]:
        """Return what of the data could not be read, each with the reason."""
        return {}


def make_trainer(
    model: PreTrainedModel,
    arguments: TrainingArguments,
    masking: Masks,
    rows: Rows,
    callbacks: list[TrainerCallback],
    *,
    objective: Objective | None = None,
    processing: Any = None,
) -> MaskedTrainer:
    """Return the trainer of a stage, with this project's progress bar instead of the Trainer's."""
    trainer = MaskedTrainer(
        model,
        arguments,
        masking,
        rows.training,
        rows.evaluation,
        rows.order,
        callbacks,
        objective=objective,
        processing_class=processing,
    )
    for shown in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(shown)
    if not arguments.disable_tqdm:
        trainer.add_callback(Bar)
    return trainer


def loggers(
    folder: Path, arguments: TrainingArguments, held_out: Mapping[str, Any] | None = None
) -> list[TrainerCallback]:
    """Return what writes the log of a stage; of several ranks, the first writes it.

    Args:
        folder: Of the stage.
        arguments: Its settings.
        held_out: What it holds out, for its record.
    """
    if arguments.process_index != 0:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    record, log = RunRecord(folder / RECORD_FILE, held_out), JsonLog(folder / "log.jsonl")
    return [record, log, TensorBoardCallback(EventFile(folder / "tensorboard"))]
