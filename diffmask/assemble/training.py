"""Names of the training's settings."""

import math

import torch
from transformers import SchedulerType, TrainingArguments

from diffmask.assemble.recipe import choose
from diffmask.config import TrainingConfig
from diffmask.core.errors import InputError

LR_SCHEDULES = {
    kind.value: kind
    for kind in (
        SchedulerType.LINEAR,
        SchedulerType.COSINE,
        SchedulerType.CONSTANT,
        SchedulerType.CONSTANT_WITH_WARMUP,
        SchedulerType.POLYNOMIAL,
        SchedulerType.INVERSE_SQRT,
    )
}
"""Those that need nothing but a number of steps."""

PRECISIONS = {"fp32": {}, "bf16": {"bf16": True}, "fp16": {"fp16": True}}


def build_arguments(config: TrainingConfig, folder: str, *, evaluates: bool, progress: bool) -> TrainingArguments:
    """Return the Trainer's settings.

    Args:
        config: Settings of the training.
        folder: Where checkpoints and logs go.
        evaluates: Whether there is something to evaluate on.
        progress: Whether to show a progress bar.
    """
    check_training(config)
    regular = evaluates and config.eval_every > 0
    return TrainingArguments(
        output_dir=folder,
        max_steps=-1 if config.steps is None else max(config.steps, 1),  # of none the Trainer makes three epochs
        num_train_epochs=3.0 if config.epochs is None else config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_ratio,
        lr_scheduler_type=choose(LR_SCHEDULES, config.lr_schedule, "lr_schedule"),
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
        **choose(PRECISIONS, config.precision, "precision"),
    )


def check_training(config: TrainingConfig) -> None:
    """Refuse what the Trainer would refuse later, or take for something else.

    Raises:
        InputError: If a setting cannot be used.
    """
    if (config.steps is None) == (config.epochs is None):
        raise InputError("give training.steps or training.epochs, one of the two (for example training.steps=1000)")
    if min(config.batch_size, config.accumulation) < 1 or (config.steps or 0) < 0 or (config.epochs or 1) <= 0:
        raise InputError(
            "training.batch_size and accumulation must be at least 1, epochs above 0, and steps at least 0 (0 trains "
            "the head that a model lacks, and no more)"
        )
    if not 0.0 <= config.warmup_ratio < 1.0:
        raise InputError(f"training.warmup_ratio={config.warmup_ratio:g} is outside [0, 1); 0.06 warms up for 6 %")
    if len(config.adam_betas) != 2 or not all(0.0 <= beta < 1.0 for beta in config.adam_betas):
        given = list(config.adam_betas)
        raise InputError(f"training.adam_betas={given} must be two numbers in [0, 1), such as [0.9, 0.999]")
    limits = {
        "log_every": 1,
        "keep": 1,
        "eval_every": 0,
        "save_every": 0,
        "num_workers": 0,
        "learning_rate": 0,
        "seed": 0,
    }
    for name, least in (limits | {"weight_decay": 0, "max_grad_norm": 0, "adam_epsilon": 0}).items():
        if not getattr(config, name) >= least:
            raise InputError(f"training.{name}={getattr(config, name)} is too small; give at least {least}")
    if config.device not in (None, "cpu", "cuda") or (config.device == "cuda" and not torch.cuda.is_available()):
        raise InputError(
            f"training.device={config.device!r} cannot be used here; choose cpu, or leave it out to use a GPU"
        )
