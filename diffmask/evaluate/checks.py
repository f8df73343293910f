"""Settings of an evaluation that cannot be used."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from diffmask.config.evaluation import (
    ATTENTIVE,
    FINETUNE,
    KNN,
    LEAVE_OUT,
    METHODS,
    METRICS,
    PROBE,
    REFUSE,
    TEXT_METHODS,
    EvaluateSettings,
    FinetuneSettings,
    VideoSettings,
)
from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device

AFTER_PAD = (
    "camembert",
    "data2vec-text",
    "longformer",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
"""Models that count positions from behind that of the pad token."""
READ_BY = {
    "finetune.": FINETUNE,
    "probe.": PROBE,
    "video.attentive.": ATTENTIVE,
    "video.finetune.": FINETUNE,
    "video.neighbours": KNN,
}
"""The method that reads settings; those that are not named here are read by all."""


def check_settings(settings: EvaluateSettings) -> None:
    """Refuse settings that cannot be used.

    Raises:
        InputError: For the first of them.
    """
    choices = {
        "method": METHODS,
        "metric": METRICS,
        "precision": ("fp32", "bf16", "fp16"),
        # a number behind it would be lost on the Trainer
        "device": ("auto", "cpu", "cuda"),
    }
    for name, known in choices.items():
        if getattr(settings, name) not in known:
            raise InputError(f"unknown {name} {getattr(settings, name)!r}; choose from: {', '.join(known)}")
    if not settings.shares or not all(0.0 < share <= 1.0 for share in settings.shares):
        raise InputError(f"shares={list(settings.shares)} must lie in (0, 1], such as 0.1, 0.3 and 1")
    tuning, probe = settings.finetune, settings.probe
    _check_video(settings.video)
    least = {
        "seeds": (settings.seeds, 1),
        "first_seed": (settings.first_seed, 0),
        "max_length": (settings.max_length, 8),
        "eval_batch_size": (settings.eval_batch_size, 1),
        "finetune.epochs": (tuning.epochs, 1),
        "finetune.patience": (tuning.patience, 1),
        "finetune.batch_size": (tuning.batch_size, 1),
        "probe.folds": (probe.folds, 2),
        "probe.max_iterations": (probe.max_iterations, 1),
    }
    _check_least(least)
    for name, values in (("learning_rates", tuning.learning_rates), ("regularisations", probe.regularisations)):
        if not values or min(values) <= 0.0:
            raise InputError(f"{name}={list(values)} must be numbers above 0, at least one")
    if not 0.0 <= tuning.warmup_ratio < 1.0:
        raise InputError(f"finetune.warmup_ratio={tuning.warmup_ratio:g} must lie in [0, 1), such as 0.06")
    if not tuning.weight_decay >= 0.0:
        raise InputError(f"finetune.weight_decay={tuning.weight_decay:g} must be 0 or more, such as 0.1")
    if not tuning.max_grad_norm > 0.0:
        raise InputError(f"finetune.max_grad_norm={tuning.max_grad_norm:g} must be above 0, such as 1")


def _check_least(least: Mapping[str, tuple[int, int]]) -> None:
    """Refuse a setting whose value is below its smallest one."""
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise InputError(f"{name}={value} is too small; give at least {smallest}")


def _check_video(video: VideoSettings) -> None:
    """Refuse what is wrong with the settings of clips; `Sampling` checks how they are read."""
    tuning, attentive = video.finetune, video.attentive
    if video.unreadable not in (REFUSE, LEAVE_OUT):
        raise InputError(f"unknown video.unreadable {video.unreadable!r}; choose from: {REFUSE}, {LEAVE_OUT}")
    least = {
        "video.num_views": (video.num_views, 1),
        "video.num_workers": (video.num_workers, 0),
        "video.attentive.epochs": (attentive.epochs, 1),
        "video.attentive.batch_size": (attentive.batch_size, 1),
        "video.attentive.heads": (attentive.heads, 1),
        "video.finetune.epochs": (tuning.epochs, 1),
        "video.finetune.patience": (tuning.patience, 1),
        "video.finetune.batch_size": (tuning.batch_size, 1),
    }
    _check_least(least)
    if not video.neighbours or min(video.neighbours) < 1:
        raise InputError(f"video.neighbours={list(video.neighbours)} must be whole numbers above 0, at least one")
    for name, rates in (("attentive", attentive.learning_rates), ("finetune", tuning.learning_rates)):
        if not rates or min(rates) <= 0.0:
            raise InputError(f"video.{name}.learning_rates={list(rates)} must be numbers above 0, at least one")
    if not 0.0 < tuning.layer_decay <= 1.0:
        raise InputError(f"video.finetune.layer_decay={tuning.layer_decay:g} must lie in (0, 1], such as 0.75")
    if not 0.0 <= tuning.warmup_ratio < 1.0:
        raise InputError(f"video.finetune.warmup_ratio={tuning.warmup_ratio:g} must lie in [0, 1), such as 0.1")
    for name, decay in (("attentive", attentive.weight_decay), ("finetune", tuning.weight_decay)):
        if not decay >= 0.0:
            raise InputError(f"video.{name}.weight_decay={decay:g} must be 0 or more, such as 0.05")
    if not tuning.max_grad_norm > 0.0:
        raise InputError(f"video.finetune.max_grad_norm={tuning.max_grad_norm:g} must be above 0, such as 1")


def check_modality(settings: EvaluateSettings, config: Any, *, video: bool) -> None:
    """Refuse a method, or settings, of the other modality or of another method, where they would have no effect.

    Args:
        settings: The evaluation.
        config: Of the model.
        video: Whether it is one of video or images.

    Raises:
        InputError: For the first of them.
    """
    kind = config.model_type
    if not video and settings.method not in TEXT_METHODS:
        known = ", ".join(TEXT_METHODS)
        raise InputError(
            f"the method {settings.method} is for video, and {kind} is a model of text; choose from: {known}"
        )
    if not video and settings.video != VideoSettings():
        raise InputError(f"settings of video.* are for video, and {kind} is a model of text; leave them out")
    if video and settings.finetune != FinetuneSettings():
        raise InputError(f"settings of finetune.* are for text, and {kind} is a model of video; write video.finetune.*")
    for name, value in _changed(settings, EvaluateSettings(settings.model, settings.task)):
        given = f"{name}={list(value) if isinstance(value, tuple) else value}"
        if video and name == "max_length":
            raise InputError(f"{given} is for text, and {kind} is a model of video; leave it out")
        if name == "video.stride" and settings.video.sampling == "uniform":
            raise InputError(
                f"{given} has no effect with video.sampling=uniform; it is for dense sampling, so leave one of them out"
            )
        reader = next((method for start, method in READ_BY.items() if name.startswith(start)), settings.method)
        if reader != settings.method:
            raise InputError(
                f"{given} has no effect with the method {settings.method}; it is for the method {reader}, so leave "
                "it out or choose that method"
            )


def _changed(settings: Any, usual: Any, inside: str = "") -> Iterator[tuple[str, Any]]:
    """Return the name and the value of each setting that is not the default."""
    for field in fields(settings):
        own, default = getattr(settings, field.name), getattr(usual, field.name)
        if is_dataclass(own):
            yield from _changed(own, default, f"{inside}{field.name}.")
        elif own != default:
            yield inside + field.name, own


def check_machine(settings: EvaluateSettings) -> None:
    """Refuse what this machine cannot do.

    Raises:
        InputError: If the device is not there, or fp16 is asked for without a GPU.
    """
    device = resolve_device(settings.device)
    if settings.precision == "fp16" and device.type == "cpu":
        raise InputError("precision fp16 needs a GPU, and the device is the CPU; give fp32 or bf16")


def check_length(config: Any, max_length: int) -> None:
    """Refuse texts longer than what a model has positions for.

    Args:
        config: Of the model.
        max_length: Tokens that are read of a text.

    Raises:
        InputError: If the model has fewer positions.
    """
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or not getattr(config, "position_biased_input", True):
        return  # its positions are relative
    if config.model_type in AFTER_PAD:
        positions -= config.pad_token_id + 1
    if max_length > positions:
        raise InputError(f"max_length={max_length} is more than the {positions} tokens that the model reads; give less")
