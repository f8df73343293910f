"""The settings of training as the Trainer's arguments."""

import math

import torch
from transformers import TrainingArguments

from diffmask.config import TrainingConfig
from diffmask.core.errors import InputError

_PRECISIONS = {"fp32": {}, "bf16": {"bf16": True}, "fp16": {"fp16": True}}
_POLYNOMIAL_END = 1e-7
"""The learning rate to which the Trainer's polynomial schedule falls."""


def build_arguments(config: TrainingConfig, folder: str, *, evaluates: bool, progress: bool) -> TrainingArguments:
    """Return the Trainer's settings.

    Args:
        config: Settings of the training, as `check_training` allows them.
        folder: Where checkpoints and logs go.
        evaluates: Whether there is something to evaluate on.
        progress: Whether to show a progress bar.
    """
    regular = evaluates and config.eval_every > 0
    return TrainingArguments(
        output_dir=folder,
        max_steps=-1 if config.steps is None else max(config.steps, 1),  # the Trainer takes 0 for "not given"
        num_train_epochs=3.0 if config.epochs is None else config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_ratio,
        lr_scheduler_type=config.lr_schedule,
        weight_decay=config.weight_decay,
        adam_beta1=config.adam_betas[0],
        adam_beta2=config.adam_betas[1],
        adam_epsilon=config.adam_epsilon,
        max_grad_norm=config.max_grad_norm or math.inf,  # the norm is wanted in any case, to see that it is finite
        seed=config.seed,
        logging_steps=config.log_every,
        report_to="none",  # TensorBoard is added by the run, which knows its folder
        eval_strategy="steps" if regular else "no",
        eval_steps=config.eval_every if regular else None,
        eval_on_start=regular,
        save_strategy="steps" if config.save_every > 0 else "no",
        save_steps=max(config.save_every, 1),
        save_total_limit=config.keep,
        dataloader_num_workers=config.num_workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=config.device == "cpu" or not torch.cuda.is_available(),
        ddp_timeout=86_400,  # ranks wait while the first tokenises
        disable_tqdm=not progress,
        remove_unused_columns=False,
        logging_nan_inf_filter=False,
        label_names=["labels"],
        **_PRECISIONS[config.precision],
    )


def check_training(config: TrainingConfig) -> None:
    """Refuse settings that do not go together, or that this machine cannot follow; limits are beside their fields.

    Raises:
        InputError: If a setting cannot be used.
    """
    if (config.steps is None) == (config.epochs is None):
        raise InputError("give training.steps or training.epochs, one of the two (for example training.steps=1000)")
    if config.steps is not None and any(step > config.steps for step in config.snapshots):
        raise InputError(
            f"training.snapshots={list(config.snapshots)} asks for a model after the last of training.steps="
            f"{config.steps}; leave it out"
        )
    if config.lr_schedule == "polynomial" and config.learning_rate <= _POLYNOMIAL_END:
        raise InputError(
            f"training.lr_schedule=polynomial falls to {_POLYNOMIAL_END:g}, so training.learning_rate="
            f"{config.learning_rate:g} must be above it; give a higher one, or another training.lr_schedule"
        )
    betas = config.adam_betas
    if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
        raise InputError(f"training.adam_betas={list(betas)} must be two numbers in [0, 1), such as [0.9, 0.999]")
    if config.device not in (None, "cpu", "cuda") or (config.device == "cuda" and not torch.cuda.is_available()):
        raise InputError(
            f"training.device={config.device!r} cannot be used here; choose cpu, or leave it out to use a GPU"
        )
    if config.precision == "fp16" and (config.device == "cpu" or not torch.cuda.is_available()):
        raise InputError("training.precision=fp16 needs a GPU, and the device is the CPU; give fp32 or bf16")
