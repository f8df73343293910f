"""The prediction head that a checkpoint lacks: trained first with the encoder frozen, or read from another run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffmask.assemble.training import build_arguments
from diffmask.config import TrainingConfig
from diffmask.core.errors import InputError
from diffmask.files.folders import draft
from diffmask.pretrain.subject import Rows, Subject, loggers, make_trainer

HEAD_FILE = "head.safetensors"
"""The head that a run trained, in its folder."""
_REMEDY = (
    f"give the {HEAD_FILE} of a run that trained a head for the same model, or leave head.weights out to train one"
)


def check_head(config: Any, subject: Subject) -> None:
    """Refuse a head made beforehand that is not of this model.

    Raises:
        InputError: If the model has a head of its own, the file is none, or its parameters are others.
    """
    if config.head.weights is None:
        return
    given = f"head.weights={config.head.weights}"
    if not subject.fresh:
        raise InputError(f"{given} cannot take effect, because {subject.name!r} has a head of its own; leave it out")
    try:
        weights = load_file(config.head.weights)
    except FileNotFoundError as error:
        raise InputError(f"{given} is no file; {_REMEDY}") from error
    except (OSError, SafetensorError) as error:
        raise InputError(f"{given} is not a safetensors file, or is damaged ({error}); {_REMEDY}") from error
    head = _head(subject)
    if other := sorted(head.keys() ^ weights.keys()):
        where = "lacks" if other[0] in head else "has"
        raise InputError(f"{given} {where} {other[0]}, unlike the head of {subject.name!r}; {_REMEDY}")
    for name, parameter in head.items():
        if weights[name].shape != parameter.shape:
            raise InputError(
                f"{given} has {name} of shape {tuple(weights[name].shape)}, and {subject.name!r} of "
                f"{tuple(parameter.shape)}; {_REMEDY}"
            )


def prepare_head(config: Any, subject: Subject, rows: Rows, folder: Path, *, progress: bool) -> None:
    """Give the model a head that its checkpoint lacks: one made beforehand, or one trained now."""
    if not subject.fresh:
        return
    made = folder / HEAD_FILE if config.head.weights is None else Path(config.head.weights)
    if made.exists():
        head = _head(subject)
        with torch.no_grad():
            for name, value in load_file(made).items():
                head[name].copy_(value)
    elif config.head.steps > 0:
        _train_head(config, subject, rows, made, progress=progress)


def _head(subject: Subject) -> dict[str, Tensor]:
    fresh = set(subject.fresh)
    return {name: parameter for name, parameter in subject.model.named_parameters() if name in fresh}


def _train_head(config: Any, subject: Subject, rows: Rows, trained: Path, *, progress: bool) -> None:
    """Train the head with the encoder frozen and random masks, the same for every policy, and keep it."""
    head, model, masking = _head(subject), subject.model, subject.masking
    trained_later = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    trained_now = {id(parameter) for parameter in trained_later}
    for parameter in head.values():
        parameter.requires_grad_(id(parameter) in trained_now)
    random = masking.fixed.reseeded(config.masking.seed)
    stage = trained.parent / "head"
    arguments = build_arguments(_settings(config), str(stage), evaluates=False, progress=progress)
    make_trainer(model, arguments, random, replace(rows, evaluation=None), loggers(stage, arguments)).train()
    # what a model keeps fixed, such as tables of positions, stays fixed
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in trained_later:
        parameter.requires_grad_(True)
    if arguments.process_index == 0:
        with draft(trained, "continue with --resume") as new:
            save_file({name: parameter.detach().contiguous() for name, parameter in head.items()}, new)


def _settings(config: Any) -> TrainingConfig:
    training = config.training
    return TrainingConfig(
        steps=config.head.steps,
        learning_rate=config.head.learning_rate,
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        precision=training.precision,
        seed=training.seed,
        device=training.device,
        num_workers=training.num_workers,
        bucketed=training.bucketed,
        log_every=training.log_every,
        eval_every=0,
        save_every=0,
    )
