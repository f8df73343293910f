"""Fine-tuning by the Hugging Face Trainer, stopped early by the dev split."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import SequentialSampler
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.evaluate.encode import Row, encode
from diffmask.evaluate.settings import MULTI_LABEL, SINGLE_LABEL, TOKENS, EvaluateSettings
from diffmask.evaluate.task import Split, Task
from diffmask.files.writing import writing
from diffmask.text.batches import Batches, by_length
from diffmask.text.load import fast_attention, load_weights
from diffmask.text.special import pad_id

_PROBLEMS = {SINGLE_LABEL: "single_label_classification", MULTI_LABEL: "multi_label_classification"}
_PRECISIONS = {"fp32": {}, "bf16": {"bf16": True}, "fp16": {"fp16": True}}


@dataclass(frozen=True)
class Predicted:
    """What a trained model predicts.

    Attributes:
        dev: As `Split.labels`, for the dev split.
        test: The same for the test split.
        chosen: What the dev split, or cross-validation, has chosen.
        fresh: Parameters that the checkpoint lacked.
    """

    dev: list[Any]
    test: list[Any]
    chosen: dict[str, Any]
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Tuned:
    trainer: Trainer
    fresh: tuple[str, ...]
    chosen: dict[str, Any]


class _Trainer(Trainer):
    """A Trainer that evaluates in the order of the rows, also where it trains on rows of similar length together."""

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        return SequentialSampler(eval_dataset)


class Finetuner:
    """Fine-tunes one model on one task, for any seed and any share of its training texts."""

    def __init__(
        self,
        folder: str,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        settings: EvaluateSettings,
        *,
        output: Path,
        progress: bool,
    ):
        self.output = output
        self.folder, self.tokenizer, self.task, self.settings = folder, tokenizer, task, settings
        self.progress = progress
        self.batches = Batches(pad_id(tokenizer), task.kind == TOKENS)
        self.dev, self.test = self._encode(task.dev), self._encode(task.test)

    def predict(self, train: Split, seed: int) -> Predicted:
        """Fine-tune on some of the training texts, at each learning rate, and predict with what does best on dev.

        Raises:
            InputError: If there is no such model.
        """
        rows = self._encode(train)
        fallback = _most_frequent(train, self.task)
        with _draft(self.output / f".draft-seed-{seed}") as draft:
            best: _Tuned | None = None
            for place, rate in enumerate(self.settings.finetune.learning_rates):
                tuned = self._tune(rows, rate, seed, f"{draft}/{place}", fallback)
                if best is None or tuned.chosen["dev"] > best.chosen["dev"]:
                    best = tuned
            assert best is not None
            dev, test = (self._predictions(best.trainer, part, fallback) for part in (self.dev, self.test))
        return Predicted(dev, test, best.chosen, best.fresh)

    def _encode(self, split: Split) -> list[Row]:
        return encode(split, self.task.kind, len(self.task.labels), self.tokenizer, self.settings.max_length)

    def _tune(self, rows: list[Row], rate: float, seed: int, draft: str, fallback: int) -> _Tuned:
        names, settings = self.task.labels, self.settings
        device = resolve_device(settings.device)
        kind = AutoModelForTokenClassification if self.task.kind == TOKENS else AutoModelForSequenceClassification
        options: dict[str, Any] = {} if self.task.kind == TOKENS else {"problem_type": _PROBLEMS[self.task.kind]}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model, fresh = load_weights(
                kind,
                self.folder,
                num_labels=len(names),
                id2label=dict(enumerate(names)),
                label2id={name: row for row, name in enumerate(names)},
                **options,
                **fast_attention(device, settings.precision),
            )
            order = by_length(self.dev)
            dev: Any = [self.dev[place] for place in order]
            targets = [self.task.dev.labels[place] for place in order]

            def measure(prediction: EvalPrediction) -> dict[str, float]:
                guessed = _decode(prediction.predictions, self.task.kind, dev, fallback)
                return {"score": self.task.score(targets, guessed)[settings.metric]}

            trainer = _Trainer(
                cast(Any, model),
                self._arguments(rate, seed, draft, device),
                data_collator=self.batches,
                train_dataset=cast(Any, rows),
                eval_dataset=dev,
                compute_metrics=measure,
                callbacks=[EarlyStoppingCallback(settings.finetune.patience)],
            )
            trainer.remove_callback(PrinterCallback)
            with writing(Path(draft), "give the same command again"):
                trainer.train()
        history = [entry for entry in trainer.state.log_history if "eval_score" in entry]
        best = max(history, key=lambda entry: entry["eval_score"])  # the first of equals, as the Trainer keeps it
        epochs = {"epoch": round(best["epoch"]), "epochs": round(history[-1]["epoch"])}
        return _Tuned(trainer, fresh, {"learning_rate": rate, "dev": best["eval_score"], **epochs})

    def _arguments(self, rate: float, seed: int, draft: str, device: torch.device) -> TrainingArguments:
        tuning = self.settings.finetune
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
            train_sampling_strategy="group_by_length",
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
            disable_tqdm=not self.progress,
            remove_unused_columns=False,
            label_names=["labels"],
            **_PRECISIONS[self.settings.precision],
        )
        if arguments.n_gpu > 1:
            raise InputError(
                f"one process sees {arguments.n_gpu} GPUs, which would multiply finetune.batch_size; show it one with "
                "CUDA_VISIBLE_DEVICES=0"
            )
        return arguments

    def _predictions(self, trainer: Trainer, rows: Sequence[Row], fallback: int) -> list[Any]:
        """Return predictions in the order of the rows; the model reads them by length."""
        order = by_length(rows)
        ordered: Any = [rows[place] for place in order]
        trainer.compute_metrics = None  # knows the labels of the dev split alone
        logits = trainer.predict(ordered).predictions
        predictions: list[Any] = [None] * len(rows)
        for place, guessed in zip(order, _decode(logits, self.task.kind, ordered, fallback), strict=True):
            predictions[place] = guessed
        return predictions


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """Make a folder for the checkpoints of one seed, and remove it; what a killed process left there goes first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _decode(logits: Any, kind: str, rows: Sequence[Row], fallback: int) -> list[Any]:
    """Return labels from logits (B, C) or (B, L, C); words that the model did not read get the fallback."""
    logits = logits[0] if isinstance(logits, tuple) else logits
    if kind == SINGLE_LABEL:
        return logits.argmax(-1).tolist()
    if kind == MULTI_LABEL:
        return [np.flatnonzero(row > 0).tolist() for row in logits]
    guessed = logits.argmax(-1)
    return [
        [int(guessed[place, first]) if first >= 0 else fallback for first in row["words"]]
        for place, row in enumerate(rows)
    ]


def _most_frequent(train: Split, task: Task) -> int:
    """Return the most frequent label of words; other kinds of task have no use for it."""
    if task.kind != TOKENS:
        return 0
    return int(np.bincount([label for labels in train.labels for label in labels]).argmax())
