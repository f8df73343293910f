"""Training steps on text against the stock Trainer and collator: same model, optimiser, batch, ratio and rows.

diffmask bench text
"""

import copy
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments

from diffmask.core.masker import Masker
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import TextAdapter, text_adapter
from diffmask.text.model.load import LoadedModel
from diffmask.train.buckets import RowOrder
from diffmask.train.masking import Masking
from diffmask.train.trainer import MaskedTrainer

if TYPE_CHECKING:
    import datasets

RATIO = 0.15


class _Clock(TrainerCallback):
    """Note when each step ends."""

    def __init__(self):
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def run(
    loaded: LoadedModel,
    rows: "datasets.Dataset",
    folder: str,
    batch_size: int = 32,
    *,
    turns: int = 4,
    steps_in_a_turn: int = 5,
) -> list[dict[str, Any]]:
    """Return one row per contender: tokens a second in the median step, and the ratio to the stock Trainer.

    The last column is the difference between our loss and the stock model's on the same masked batch.

    Args:
        loaded: The model that is trained; each contender starts from a copy.
        rows: Rows of a tokenised data set.
        folder: Folder for the files of the Trainers.
        batch_size: Number of rows in a step.
        turns: Number of turns of each contender. In each it trains on the same batches, from where it stopped.
        steps_in_a_turn: Number of steps of a turn; the first two do not count.
    """
    lengths = [len(tokens) for tokens in rows["input_ids"]]
    args = TrainingArguments(
        folder,
        max_steps=steps_in_a_turn,
        per_device_train_batch_size=batch_size,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=steps_in_a_turn,
        seed=0,
    )
    adapter = text_adapter(loaded.tokenizer)
    trainers = _contenders(loaded, adapter, args, rows, RowOrder(lengths))
    steps: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(turns):
        for name, trainer in trainers.items():
            steps[name] += _turn(trainer)
    times = {name: statistics.median(seconds) for name, seconds in steps.items()}
    tokens = batch_size * sum(lengths) / len(lengths)
    baseline = next(iter(times.values()))
    difference = _loss_difference(loaded.model, adapter, [rows[index] for index in range(batch_size)])
    return [
        {
            "name": name,
            "tokens_per_second": tokens / seconds,
            "ratio": baseline / seconds,
            "loss_difference": difference if name.startswith("diffmask") else 0.0,
        }
        for name, seconds in times.items()
    ]


def _contenders(
    loaded: LoadedModel, adapter: TextAdapter, args: TrainingArguments, rows: "datasets.Dataset", order: RowOrder
) -> dict[str, Trainer]:
    """Return the stock Trainer and ours, each with a model of its own."""
    masking = Masking(adapter, Masker(Uniform()), Masker(Uniform()))
    collator = DataCollatorForLanguageModeling(loaded.tokenizer, mlm_probability=RATIO)
    stock = Trainer(
        copy.deepcopy(loaded.model), args, train_dataset=rows.select_columns(["input_ids"]), data_collator=collator
    )
    return {
        "transformers Trainer + DataCollatorForLanguageModeling": stock,
        "diffmask, rows in random order": MaskedTrainer(copy.deepcopy(loaded.model), args, masking, rows),
        "diffmask, rows of similar length together": MaskedTrainer(
            copy.deepcopy(loaded.model), args, masking, rows, order=order
        ),
    }


def _turn(trainer: Trainer) -> list[float]:
    """Train, and return the seconds of each step after the first two."""
    clock = _Clock()
    trainer.add_callback(clock)
    trainer.train()
    trainer.remove_callback(clock)
    return [after - before for before, after in zip(clock.ends[1:], clock.ends[2:], strict=False)]


@torch.no_grad()
def _loss_difference(model: torch.nn.Module, adapter: Any, rows: Sequence[Mapping[str, Any]]) -> float:
    """Compare our loss with the model's own on the same masks."""
    model = copy.deepcopy(model).eval()
    batch = adapter.pad(rows)
    units = adapter.units(batch, 0)
    inputs = adapter.corrupt(batch, units, Masker(Uniform())(units, 0, 1), 0)
    return abs(float(adapter.losses(model, inputs).mean()) - float(model(**inputs).loss))
