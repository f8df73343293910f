"""Names become objects here, and nowhere else: plain dictionaries from a config's words to what they stand for."""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from transformers import PreTrainedTokenizerBase, SchedulerType, TrainingArguments

from diffmask.config import MaskingConfig, PretrainConfig, ScheduleConfig, TrainingConfig
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import Policy, Weighting, linear_weights, rank_weights, softmax_weights
from diffmask.core.schedule import Constant, Cosine, Floor, Linear, Schedule
from diffmask.policies.difference import Difference
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import text_adapter
from diffmask.train.masking import Masking

if TYPE_CHECKING:
    from diffmask.text.anchors import AnchorSet

T = TypeVar("T")

RATIO_FLOOR = 0.02
"""A ratio that decays never falls under this: with nothing masked the loss is undefined."""

EVAL_SEED = 20260
"""Seed of the evaluation's masks, the same for every run, so that their losses can be compared."""


def _uniform(anchors: "AnchorSet | None") -> Policy:
    return Uniform()


def _difference(anchors: "AnchorSet | None") -> Policy:
    if anchors is None:
        raise InputError(
            "the policy `difference` needs anchors; make them with `diffmask anchors DATA --model MODEL -o anchors/` "
            "and set masking.anchors=anchors/"
        )
    return Difference(anchors.scores, anchors.unknown_score)


POLICIES: dict[str, Callable[["AnchorSet | None"], Policy]] = {"uniform": _uniform, "difference": _difference}

SCHEDULES: dict[str, Callable[[float, float], Schedule]] = {
    "constant": lambda start, end: Constant(start),
    "linear": Linear,
    "cosine": Cosine,
}

WEIGHTINGS: dict[str, Callable[[float], Weighting]] = {
    "softmax": lambda temperature: partial(softmax_weights, temperature=temperature),
    "rank": lambda temperature: rank_weights,
    "linear": lambda temperature: linear_weights,
}

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


def choose(table: dict[str, T], name: str, what: str) -> T:
    """Return `table[name]`, or say what may be chosen."""
    if name not in table:
        raise InputError(f"unknown {what} {name!r}; choose from: {', '.join(sorted(table))}")
    return table[name]


def build_schedule(config: ScheduleConfig, what: str, floor: float) -> Schedule:
    """Return a schedule whose values lie in [0, 1].

    Args:
        config: Its settings.
        what: Name of the setting, for messages.
        floor: Lowest value where the config names none.
    """
    make = choose(SCHEDULES, config.schedule, f"schedule in `{what}`")
    floor = floor if config.floor is None else config.floor
    constant = config.schedule == "constant"
    if constant and config.end is not None:
        raise InputError(
            f"`{what}` is constant and has an end ({config.end}); name a schedule such as linear, or drop end"
        )
    if not constant and config.end is None:
        raise InputError(f"`{what}` is {config.schedule} and has no end; add {what}.end=...")
    for value in (config.start, config.end, floor):
        if value is not None and not 0.0 <= value <= 1.0:
            raise InputError(f"`{what}` has the value {value:g}, which is outside [0, 1]; 0.15 means 15 %")
    end = config.start if config.end is None else config.end
    if max(config.start, end) < floor:
        raise InputError(f"`{what}` never rises over its floor of {floor:g}; raise it, or set {what}.floor lower")
    schedule = make(config.start, end)
    return Floor(schedule, floor) if min(config.start, end) < floor else schedule


def build_masker(config: MaskingConfig, anchors: "AnchorSet | None") -> Masker:
    """Return the masker of a run."""
    if not config.temperature > 0:
        raise InputError(f"masking.temperature={config.temperature:g} is not above 0; 1 follows the scores as they are")
    return Masker(
        policy=choose(POLICIES, config.policy, "policy")(anchors),
        ratio=build_schedule(config.ratio, "masking.ratio", RATIO_FLOOR),
        strength=build_schedule(config.strength, "masking.strength", 0.0),
        weighting=choose(WEIGHTINGS, config.weighting, "weighting")(config.temperature),
        seed=config.seed,
    )


def build_masking(config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, anchors: "AnchorSet | None") -> Masking:
    """Return how a run masks: in training, and in evaluation, where the masks are the same for every run."""
    masking = config.masking
    adapter = text_adapter(
        tokenizer,
        masking.units,
        seed=masking.seed,
        mask_share=masking.mask_share,
        random_share=masking.random_share,
    )
    ratio = build_schedule(ScheduleConfig(start=masking.eval_ratio), "masking.eval_ratio", 0.0)
    if not 0.0 < config.training.layer_decay <= 1.0:
        raise InputError(
            f"training.layer_decay={config.training.layer_decay:g} is outside (0, 1]; 1 trains all layers alike"
        )
    return Masking(
        adapter=adapter,
        masker=build_masker(masking, anchors),
        evaluation=Masker(Uniform(), ratio=ratio, seed=EVAL_SEED),
        domain_types=None if anchors is None else anchors.tf_icf >= masking.domain_threshold,
        layer_decay=config.training.layer_decay,
    )


def build_arguments(config: TrainingConfig, folder: str, *, evaluates: bool, progress: bool) -> TrainingArguments:
    """Return the Trainer's settings.

    Args:
        config: Settings of the training.
        folder: Where checkpoints and logs go.
        evaluates: Whether there is something to evaluate on.
        progress: Whether to show a progress bar.
    """
    _check_training(config)
    regular = evaluates and config.eval_every > 0
    return TrainingArguments(
        output_dir=folder,
        max_steps=-1 if config.steps is None else config.steps,
        num_train_epochs=3.0 if config.epochs is None else config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_ratio,
        lr_scheduler_type=choose(LR_SCHEDULES, config.lr_schedule, "lr_schedule"),
        weight_decay=config.weight_decay,
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


def _check_training(config: TrainingConfig) -> None:
    """Refuse what the Trainer would refuse later, or take for something else."""
    if (config.steps is None) == (config.epochs is None):
        raise InputError("give training.steps or training.epochs, one of the two (for example training.steps=1000)")
    if min(config.batch_size, config.accumulation) < 1 or (config.steps or config.epochs or 0) <= 0:
        raise InputError("training.batch_size, accumulation and steps (or epochs) must be at least 1")
    if not 0.0 <= config.warmup_ratio < 1.0:
        raise InputError(f"training.warmup_ratio={config.warmup_ratio:g} is outside [0, 1); 0.06 warms up for 6 %")
    limits = {
        "log_every": 1,
        "keep": 1,
        "eval_every": 0,
        "save_every": 0,
        "num_workers": 0,
        "learning_rate": 0,
        "seed": 0,
    }
    for name, least in (limits | {"weight_decay": 0, "max_grad_norm": 0}).items():
        if not getattr(config, name) >= least:
            raise InputError(f"training.{name}={getattr(config, name)} is too small; give at least {least}")
    if config.device not in (None, "cpu", "cuda") or (config.device == "cuda" and not torch.cuda.is_available()):
        raise InputError(
            f"training.device={config.device!r} cannot be used here; choose cpu, or leave it out to use a GPU"
        )
