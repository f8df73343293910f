"""Fine-tuning of a small head and what is under it, for texts or for tokens: what scorers of tokens are made with."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

from diffmask.core.machine import resolve_device
from diffmask.core.types import IGNORE_INDEX
from diffmask.text.model.load import load_weights
from diffmask.text.segment.batches import Batches

Row = Mapping[str, Any]


@dataclass(frozen=True)
class FineTuning:
    """How a model is fine-tuned; AdamW, a tenth of the steps to warm up, then a linear decay.

    Attributes:
        epochs: Passes over the rows.
        learning_rate: The highest.
        batch_size: Rows of a step.
        seed: Of the order of rows, dropout and the head.
        device: auto, cpu, cuda.
        class_weights: Weight of each class in the loss; None weighs all alike.
    """

    epochs: float
    learning_rate: float
    batch_size: int = 32
    seed: int = 0
    device: str = "auto"
    class_weights: tuple[float, ...] | None = None


def fine_tune(
    kind: Any, name: str, rows: Sequence[Row], num_labels: int, settings: FineTuning, *, progress: bool = False
) -> PreTrainedModel:
    """Return a model fine-tuned on rows, on its device, in evaluation mode.

    Args:
        kind: `AutoModelForSequenceClassification` or `AutoModelForTokenClassification`.
        name: The pretrained model: a folder, a hub name, or `minilm`.
        rows: input_ids with special tokens, and labels: one of the text, or one of each token (-100 = none); the rest
            of a row is not read.
        num_labels: Number of labels.
        settings: How.
        progress: Show a progress bar.

    Raises:
        InputError: If there is no such model or device.
    """
    device = resolve_device(settings.device)
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(settings.seed)
        model, _ = load_weights(kind, name, num_labels=num_labels)
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            per_device_train_batch_size=settings.batch_size,
            warmup_steps=0.1,
            weight_decay=0.01,
            seed=settings.seed,
            train_sampling_strategy="group_by_length",
            dataloader_pin_memory=device.type == "cuda",
            use_cpu=device.type == "cpu",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=not progress,
            remove_unused_columns=False,
        )
        weights = settings.class_weights

        def loss(output: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
            logits = output.logits.float()
            given = None if weights is None else torch.tensor(weights, device=logits.device)
            return cross_entropy(logits.flatten(0, -2), labels.flatten(), given, ignore_index=IGNORE_INDEX)

        # the Trainer's type is that of its own data sets; a list of rows is one to torch
        training: Any = list(rows)
        batches = Batches(0, of_words=isinstance(rows[0]["labels"], list))
        trainer = Trainer(model, arguments, data_collator=batches, train_dataset=training, compute_loss_func=loss)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return cast(Any, model).eval().to(device)
