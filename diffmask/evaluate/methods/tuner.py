"""Fine-tuning by the Hugging Face Trainer, stopped early by the dev split; what it trains on is up to a modality."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import SequentialSampler
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from diffmask.config.evaluation import MULTI_LABEL, SINGLE_LABEL, EvaluateSettings, FinetuneSettings
from diffmask.core.errors import InputError, worker_errors
from diffmask.core.machine import fast_attention, resolve_device
from diffmask.evaluate.modality import Predicted
from diffmask.files.folders import writing
from diffmask.tasks.task import Task
from diffmask.text.model.load import load_weights
from diffmask.train.shared_memory import check_shared_memory

_Rows = Any
"""Examples as the collator takes them: a sequence."""
_PROBLEMS = {SINGLE_LABEL: "single_label_classification", MULTI_LABEL: "multi_label_classification"}
"""What transformers calls the kinds of task."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What a precision is called in torch."""


@dataclass(frozen=True)
class _Tuned:
    trainer: Trainer
    fresh: tuple[str, ...]
    chosen: dict[str, Any]


class _Trainer(Trainer):
    """A Trainer that evaluates in the order of the rows, also where it trains on rows of similar length together."""

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        return SequentialSampler(eval_dataset)


class Tuner(ABC):
    """Fine-tunes one model on one task, for any seed and any share of its training examples."""

    architecture: Any
    """The class of transformers that puts a classifier on the model."""
    sampling: str
    """How the Trainer orders what it trains on."""
    collate: Callable[[Sequence[Any]], dict[str, torch.Tensor]]
    """Makes a batch."""
    num_workers: int = 0
    """Processes that make batches."""
    workers: str = "video.num_workers"
    """The setting that says how many."""

    def __init__(
        self,
        folder: str,
        task: Task,
        settings: EvaluateSettings,
        tuning: FinetuneSettings,
        *,
        output: Path,
        progress: bool,
    ):
        self.folder, self.task, self.settings, self.tuning = folder, task, settings, tuning
        self.output, self.progress = output, progress

    @abstractmethod
    def training_rows(self, train: Sequence[int], seed: int) -> _Rows:
        """Return what is trained on: some of the training examples."""

    @abstractmethod
    def rows(self, split: str) -> tuple[_Rows, list[int]]:
        """Return what is predicted on of a split, and the place in the split of each of its rows."""

    @abstractmethod
    def decode(self, logits: Any, rows: _Rows) -> list[Any]:
        """Return labels of rows from a model's logits."""

    def options(self) -> dict[str, Any]:
        """Return what the model is loaded with besides the names of its labels."""
        return {}

    def optimizer(self, model: PreTrainedModel, rate: float) -> torch.optim.Optimizer | None:
        """Return the optimizer; None for the Trainer's own."""
        return None

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Fine-tune on some of the training examples, at each learning rate, and predict with what does best on dev.

        Raises:
            InputError: If there is no such model, or an example cannot be read any more.
        """
        rows = self.training_rows(train, seed)
        with worker_errors(), _draft(self.output / f".draft-seed-{seed}") as draft:
            best: _Tuned | None = None
            for place, rate in enumerate(self.tuning.learning_rates):
                tuned = self._tune(rows, rate, seed, f"{draft}/{place}")
                if best is None or tuned.chosen["dev"] > best.chosen["dev"]:
                    best = tuned
            assert best is not None
            dev, test = (self._predictions(best.trainer, split) for split in ("dev", "test"))
        return Predicted(dev, test, best.chosen, best.fresh)

    def _load(self, device: torch.device) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """Return the model with a classifier of the task's labels, and the parameters that its checkpoint lacks."""
        names, kind = self.task.labels, self.task.kind
        return load_weights(
            self.architecture,
            self.folder,
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: row for row, name in enumerate(names)},
            **({"problem_type": _PROBLEMS[kind]} if kind in _PROBLEMS else {}),
            **self.options(),
            **fast_attention(device, self.settings.precision),
        )

    def _tune(self, rows: _Rows, rate: float, seed: int, draft: str) -> _Tuned:
        device = resolve_device(self.settings.device)
        dev, order = self.rows("dev")
        check_shared_memory(
            rows,
            self.collate,
            self.tuning.batch_size,
            self.num_workers,
            evaluation=(dev, self.settings.eval_batch_size),
            setting=self.workers,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model, fresh = self._load(device)
            targets = [self.task.dev.labels[place] for place in order]

            def measure(prediction: EvalPrediction) -> dict[str, float]:
                guessed = self.decode(_logits(prediction.predictions), dev)
                return {"score": self.task.score(targets, guessed)[self.settings.metric]}

            trainer = _Trainer(
                cast(Any, model),
                self._arguments(rate, seed, draft, device),
                data_collator=self.collate,
                train_dataset=rows,
                eval_dataset=dev,
                compute_metrics=measure,
                callbacks=[EarlyStoppingCallback(self.tuning.patience)],
                optimizers=(self.optimizer(model, rate), None),
            )
            trainer.remove_callback(PrinterCallback)
            with writing(draft, "give the same command again", "the results of finished seeds are still there"):
                trainer.train()
        history = [entry for entry in trainer.state.log_history if "eval_score" in entry]
        best = max(history, key=lambda entry: entry["eval_score"])  # the first of equals, as the Trainer keeps it
        epochs = {"epoch": round(best["epoch"]), "epochs": round(history[-1]["epoch"])}
        return _Tuned(trainer, fresh, {"learning_rate": rate, "dev": best["eval_score"], **epochs})

    def _arguments(self, rate: float, seed: int, draft: str, device: torch.device) -> TrainingArguments:
        tuning = self.tuning
        arguments = TrainingArguments(
            output_dir=draft,
            num_train_epochs=tuning.epochs,
            learning_rate=rate,
            per_device_train_batch_size=tuning.batch_size,
            per_device_eval_batch_size=self.settings.eval_batch_size,
            warmup_steps=tuning.warmup_ratio,
            weight_decay=tuning.weight_decay,
            max_grad_norm=tuning.max_grad_norm,
            seed=seed,
            train_sampling_strategy=self.sampling,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_only_model=True,
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="score",
            logging_strategy="no",
            dataloader_pin_memory=device.type == "cuda",
            use_cpu=device.type == "cpu",
            report_to="none",
            dataloader_num_workers=self.num_workers,
            disable_tqdm=not self.progress,
            remove_unused_columns=False,
            label_names=["labels"],
            bf16=self.settings.precision == "bf16",
            fp16=self.settings.precision == "fp16",
        )
        if arguments.n_gpu > 1:
            raise InputError(
                f"one process sees {arguments.n_gpu} GPUs, which would multiply finetune.batch_size; show it one with "
                "CUDA_VISIBLE_DEVICES=0"
            )
        return arguments

    def _predictions(self, trainer: Trainer, split: str) -> list[Any]:
        """Return predictions in the order of the split."""
        rows, order = self.rows(split)
        trainer.compute_metrics = None  # knows the labels of the dev split alone
        logits = _logits(trainer.predict(rows).predictions)
        predictions: list[Any] = [None] * len(order)
        for place, guessed in zip(order, self.decode(logits, rows), strict=True):
            predictions[place] = guessed
        return predictions


def _logits(predictions: Any) -> Any:
    """Return a model's logits, which are the first of what it returns where it returns more."""
    return predictions[0] if isinstance(predictions, tuple) else predictions


def decode(logits: Any, kind: str) -> list[Any]:
    """Return the label of each row of logits, an array (B, C), or its labels where there may be several."""
    if kind == SINGLE_LABEL:
        return logits.argmax(-1).tolist()
    return [np.flatnonzero(row > 0).tolist() for row in logits]


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """Make a folder for the checkpoints of one seed, and remove it; what a killed process left there goes first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
