"""The prediction head that a checkpoint lacks: trained first with the encoder frozen, or read from another run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffmask.build import build_arguments
from diffmask.config import PretrainConfig, TrainingConfig
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.files.writing import writing
from diffmask.policies.uniform import Uniform
from diffmask.pretrain.trainers import loggers, make_trainer
from diffmask.text.load import LoadedModel
from diffmask.train.masking import Masking

if TYPE_CHECKING:
    import datasets

HEAD_FILE = "head.safetensors"
"""The head that a run trained, in its folder."""
_REMEDY = (
    f"give the {HEAD_FILE} of a run that trained a head for the same model, or leave head.weights out to train one"
)


def check_head(config: PretrainConfig, loaded: LoadedModel) -> None:
    """Refuse a head made beforehand that is not of this model.

    Raises:
        InputError: If the model has a head of its own, the file is none, or its parameters are others.
    """
    if config.head.weights is None:
        return
    given = f"head.weights={config.head.weights}"
    if not loaded.fresh:
        raise InputError(f"{given} cannot take effect, because {loaded.name!r} has a head of its own; leave it out")
    try:
        weights = load_file(config.head.weights)
    except FileNotFoundError as error:
        raise InputError(f"{given} is no file; {_REMEDY}") from error
    except (OSError, SafetensorError) as error:
        raise InputError(f"{given} is not a safetensors file, or is damaged ({error}); {_REMEDY}") from error
    head = _head(loaded)
    if other := sorted(head.keys() ^ weights.keys()):
        where = "lacks" if other[0] in head else "has"
        raise InputError(f"{given} {where} {other[0]}, unlike the head of {loaded.name!r}; {_REMEDY}")
    for name, parameter in head.items():
        if weights[name].shape != parameter.shape:
            raise InputError(
                f"{given} has {name} of shape {tuple(weights[name].shape)}, and {loaded.name!r} of "
                f"{tuple(parameter.shape)}; {_REMEDY}"
            )


def prepare_head(
    config: PretrainConfig,
    loaded: LoadedModel,
    masking: Masking,
    rows: "datasets.Dataset | datasets.IterableDataset",
    folder: Path,
    *,
    progress: bool,
) -> None:
    """Give the model a head that its checkpoint lacks: one made beforehand, or one trained now."""
    if not loaded.fresh:
        return
    made = folder / HEAD_FILE if config.head.weights is None else Path(config.head.weights)
    if made.exists():
        head = _head(loaded)
        with torch.no_grad():
            for name, value in load_file(made).items():
                head[name].copy_(value)
    elif config.head.steps > 0:
        _train_head(config, loaded, masking, rows, made, progress=progress)


def _head(loaded: LoadedModel) -> dict[str, Tensor]:
    fresh = set(loaded.fresh)
    return {name: parameter for name, parameter in loaded.model.named_parameters() if name in fresh}


def _train_head(
    config: PretrainConfig,
    loaded: LoadedModel,
    masking: Masking,
    rows: "datasets.Dataset | datasets.IterableDataset",
    trained: Path,
    *,
    progress: bool,
) -> None:
    """Train the head with the encoder frozen and random masks, the same for every policy, and keep it."""
    head = _head(loaded)
    for parameter in loaded.model.parameters():
        parameter.requires_grad_(False)
    for parameter in head.values():
        parameter.requires_grad_(True)
    plain = masking.evaluation_adapter or masking.adapter
    random = Masking(plain, Masker(Uniform(), seed=config.masking.seed), masking.evaluation)
    stage = trained.parent / "head"
    arguments = build_arguments(_settings(config), str(stage), evaluates=False, progress=progress)
    make_trainer(config, loaded.model, arguments, random, (rows, None), loggers(stage, arguments)).train()
    for parameter in loaded.model.parameters():
        parameter.requires_grad_(True)
    if arguments.process_index == 0:
        draft = trained.with_suffix(".tmp")
        with writing(trained):
            save_file({name: parameter.detach().contiguous() for name, parameter in head.items()}, draft)
        os.replace(draft, trained)


def _settings(config: PretrainConfig) -> TrainingConfig:
    training = config.training
    return TrainingConfig(
        steps=config.head.steps,
        learning_rate=config.head.learning_rate,
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        precision=training.precision,
        seed=training.seed,
        device=training.device,
        bucketed=training.bucketed,
        log_every=training.log_every,
        eval_every=0,
        save_every=0,
    )
