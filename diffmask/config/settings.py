"""Settings that runs of every modality have, and how settings are listed; the text under each field documents it."""

import ast
import inspect
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass
from itertools import pairwise
from typing import Annotated, Any

from diffmask.config.limits import (
    EPOCHS,
    PROCESSES,
    ROWS,
    SEED,
    STEPS,
    Between,
    OneOf,
    above,
    at_least,
    share,
    share_below_one,
)

_CONSTANT = "constant"
_Value = Annotated[float | None, share("0.15 means 15 %")]


@dataclass(frozen=True)
class ScheduleConfig:
    """A value over training. In YAML a plain number stands for a constant, a plain word for a preset.

    Each schedule takes some of the settings; the others must be left out (`diffmask schedule --list`).
    """

    schedule: str = _CONSTANT
    """constant, linear, cosine, polynomial, tent, vee, warmup_decay, steps, piecewise, random, or a preset
    such as 30-15."""
    start: _Value = None
    """Value at the start; the value throughout where the schedule is constant (by default 0.15)."""
    end: _Value = None
    """Value at the end."""
    floor: _Value = None
    """The schedule never falls under this; by default 0.02 for the ratio and 0 for the strength."""
    middle: _Value = None
    """Value halfway: the top of a tent, the bottom of a vee."""
    peak: _Value = None
    """Value at the end of the warm-up of warmup_decay."""
    warmup: Annotated[
        float | None, Between(0, 1, "0.08 means 8 % of training", without_low=True, without_high=True)
    ] = None
    """Share of training in which warmup_decay rises from `start` to `peak`."""
    power: Annotated[float | None, above(0, "1 is a line, 2 a square")] = None
    """Of a polynomial, by default 2."""
    ease: Annotated[str | None, OneOf(("in", "out"))] = None
    """Of a polynomial: `out` changes fast at first (the default), `in` changes fast at the end."""
    at: tuple[float, ...] = ()
    """Progress of each value of steps and piecewise, rising from 0: [0, 0.5, 0.9]."""
    values: Annotated[tuple[float, ...], share("0.15 means 15 %")] = ()
    """Values of steps (each holds from its place in `at` on) and piecewise (joined by straight lines)."""
    low: _Value = None
    """Of random: the least ratio that is drawn, by each row of text, and by all clips of a step together."""
    high: _Value = None
    """Of random: the greatest ratio that is drawn; any between the two is as likely."""
    normalise: Annotated[str | None, OneOf(("mean",))] = None
    """`mean`: scale the schedule so that its mean over training is `mean`."""
    mean: Annotated[float | None, Between(0, 1, "0.15 means 15 %", without_low=True)] = None
    """Mean over training of a schedule with `normalise: mean`; by default 0.15."""
    bucket: Annotated[float | None, Between(0, 1, "0.05 gives 5 %, 10 %, ...", without_low=True)] = None
    """Round to multiples of this, for models with static shapes; 0.05 gives 0.05, 0.1, ..."""

    def __post_init__(self):
        """Give a constant its default value."""
        if self.schedule == _CONSTANT and self.start is None:
            object.__setattr__(self, "start", 0.15)


Weighting = Annotated[str | None, OneOf(("softmax", "rank", "linear"))]
Temperature = Annotated[float, above(0, "1 follows the scores as they are", finite=False)]
Direction = Annotated[str, OneOf(("hide", "show"))]
HintShare = Annotated[float, share_below_one("0.1 keeps the best tenth visible")]


@dataclass(frozen=True)
class HeadConfig:
    """First training of a prediction head that the checkpoint lacks, with the encoder frozen.

    The gradients of a fresh head would damage the encoder.
    """

    steps: Annotated[int, at_least(0), STEPS] = 300
    """Optimiser steps; 0 trains a fresh head together with the encoder."""
    learning_rate: Annotated[float, at_least(0)] = 1e-3
    """Peak learning rate of the head."""
    weights: str | None = None
    """A head that another run of the same model trained (its head.safetensors), instead of training one."""


LR_SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt")
"""Those of the Trainer that need nothing but a number of steps."""


@dataclass(frozen=True)
class TrainingConfig:
    """How the model is trained (defaults: AdamW as in RoBERTa, Liu et al. 2019)."""

    steps: Annotated[int | None, at_least(0, "0 trains the head that a model lacks, and no more"), STEPS] = None
    """Optimiser steps; give this or `epochs`. 0 trains the head that the checkpoint lacks, and no more."""
    epochs: Annotated[float | None, above(0), EPOCHS] = None
    """Passes over the data."""
    batch_size: Annotated[int, at_least(1), ROWS] = 32
    """Rows of a micro-batch on one device."""
    accumulation: Annotated[int, at_least(1), ROWS] = 1
    """Micro-batches of an optimiser step."""
    learning_rate: Annotated[float, at_least(0)] = 5e-5
    """Peak learning rate of the encoder's last layer."""
    layer_decay: Annotated[float, Between(0, 1, "1 trains all layers alike", without_low=True)] = 1.0
    """Factor of the learning rate from each layer to the one below it."""
    warmup_ratio: Annotated[float, share_below_one("0.06 warms up for 6 %")] = 0.06
    """Share of the steps in which the learning rate rises."""
    lr_schedule: Annotated[str, OneOf(LR_SCHEDULES)] = "linear"
    """Decay of the learning rate: linear, cosine, constant, constant_with_warmup, polynomial or inverse_sqrt."""
    weight_decay: Annotated[float, at_least(0)] = 0.01
    """Of all weights but biases and norms."""
    adam_betas: tuple[float, ...] = (0.9, 0.999)
    """Decay of AdamW's running means of the gradient and of its square (Liu et al. 2019 use 0.98 for the second)."""
    adam_epsilon: Annotated[float, at_least(0)] = 1e-8
    """What AdamW adds to the root of the second (Liu et al. 2019: 1e-6)."""
    max_grad_norm: Annotated[float, at_least(0, finite=False)] = 1.0
    """Gradients are clipped to this norm; 0 does not clip."""
    precision: Annotated[str, OneOf(("fp32", "bf16", "fp16"))] = "fp32"
    """fp32, bf16 or fp16."""
    bucketed: bool = True
    """Rows of similar length share a step, which saves padding."""
    seed: Annotated[int, at_least(0), SEED] = 0
    """Seed of the order of the data and of dropout."""
    log_every: Annotated[int, at_least(1), STEPS] = 10
    """Steps between log lines."""
    eval_every: Annotated[int, at_least(0), STEPS] = 100
    """Steps between evaluations; 0 evaluates at the end only."""
    save_every: Annotated[int, at_least(0), STEPS] = 500
    """Steps between checkpoints; 0 writes none except at Ctrl-C."""
    keep: Annotated[int, at_least(1), STEPS] = 2
    """Checkpoints that are kept."""
    snapshots: Annotated[tuple[int, ...], at_least(1), STEPS] = ()
    """Steps after which the model is also kept as it then is, in snapshots/step-N/, to see what longer training is
    worth: [100, 300]."""
    num_workers: Annotated[int, at_least(0), PROCESSES] = 0
    """Processes that load rows."""
    device: str | None = None
    """cpu, or the accelerator that is found."""


def describe_settings(kind: type, where: str = "") -> str:
    """Return every setting with its default and its meaning, one a line; the meaning is the text under each field."""
    meanings = _meanings(kind)
    lines, hints = [], typing.get_type_hints(kind)
    for each in fields(kind):
        group = _group(hints[each.name])
        if group is not None:
            lines += ["", f"# {where}{each.name}: {(group.__doc__ or '').splitlines()[0]}"]
            lines.append(describe_settings(group, f"{where}{each.name}."))
            continue
        default = each.default if each.default_factory is MISSING else each.default_factory()
        shown = "required" if default is MISSING else getattr(default, "start", default)
        lines.append(f"{where + each.name:28} {shown!s:12} {meanings[each.name]}")
    return "\n".join(lines)


def explain_settings(kind: type, where: str = "") -> dict[str, str]:
    """Return the meaning of every setting, by its whole name."""
    explained = {where + name: meaning for name, meaning in _meanings(kind).items()}
    hints = typing.get_type_hints(kind)
    for each in fields(kind):
        group = _group(hints[each.name])
        if group is not None:
            explained |= explain_settings(group, f"{where}{each.name}.")
    return explained


def _group(hint: Any) -> type | None:
    """Return the dataclass of a group of settings, also of one that may be left out; None for a setting."""
    kind, *_ = typing.get_args(hint) or [hint]
    return kind if isinstance(kind, type) and is_dataclass(kind) and kind is not ScheduleConfig else None


def _meanings(kind: type) -> dict[str, str]:
    """Return the text under each field of a dataclass, also of those that it inherits."""
    meanings = {}
    for each_kind in reversed([each for each in kind.__mro__ if is_dataclass(each)]):
        definition = ast.parse(inspect.getsource(each_kind)).body[0]
        assert isinstance(definition, ast.ClassDef)
        meanings |= {
            ast.unparse(each.target): ast.literal_eval(note.value)
            for each, note in pairwise(definition.body)
            if isinstance(each, ast.AnnAssign) and isinstance(note, ast.Expr)
        }
    return meanings


def to_mapping(config: Any) -> dict[str, Any]:
    """Return a config as plain dictionaries and lists, ready for YAML."""
    return {each.name: _plain(getattr(config, each.name)) for each in fields(config)}


def _plain(value: Any) -> Any:
    return to_mapping(value) if is_dataclass(value) else list(value) if isinstance(value, tuple) else value


def default_mapping(kind: type) -> dict[str, Any]:
    """Return the defaults of a class of settings as `to_mapping` returns settings; those that must be given lack."""
    mapping, hints = {}, typing.get_type_hints(kind)
    for each in fields(kind):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        group = _group(hints[each.name])
        if group is not None and default is MISSING:
            mapping[each.name] = default_mapping(group)
        elif default is not MISSING:
            mapping[each.name] = _plain(default)
    return mapping
