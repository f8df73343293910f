"""The masking call of each policy against that of random whole words, and what feedback adds to a training step.

diffmask bench policies
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.assemble.recipe import Ingredients
from diffmask.assemble.text import GRANULARITIES, TEXT_POLICIES, TextMasking
from diffmask.bench import fastest
from diffmask.bench.select import TYPES, make_batch
from diffmask.config import TextMaskingConfig
from diffmask.core.masker import Masker
from diffmask.core.policy import softmax_weights
from diffmask.core.processes import torch_threads
from diffmask.core.schedule import Constant
from diffmask.policies.loss_weighted import LossWeighted
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import TextAdapter, text_adapter
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.model.load import LoadedModel
from diffmask.train.masking import by_unit

CLASS_NAMES = tuple(f"class {number}" for number in range(17))
"""There are as many universal parts of speech."""
REFERENCE = "whole-word"
STEP_ROWS, STEP_LENGTH = 32, 128
"""Size of the training step with which feedback is compared."""


def run(loaded: LoadedModel, rounds: int = 12) -> list[dict[str, Any]]:
    """Return one row per policy: milliseconds of a masking call, and their ratio to those of random whole words.

    The last row is the feedback of loss-weighted masking in one training step: its milliseconds, and its share of the
    step.

    Args:
        loaded: A masked language model with its tokenizer.
        rounds: Number of turns of each policy; the fastest run counts.
    """
    with torch_threads(1):
        times = fastest(_calls(loaded.tokenizer), rounds)
        step, feedback = _feedback(loaded, rounds)
    rows = [
        {"name": name, "milliseconds": 1000 * seconds, "ratio": seconds / times[REFERENCE]}
        for name, seconds in times.items()
    ]
    return [*rows, {"name": "feedback, of a training step", "milliseconds": 1000 * feedback, "ratio": feedback / step}]


def _calls(tokenizer: PreTrainedTokenizerBase) -> dict[str, Callable[[], object]]:
    batch = make_batch(len(tokenizer))
    generator = torch.Generator().manual_seed(2)
    shape = batch["types"].shape
    batch |= {
        "classes": torch.randint(0, len(CLASS_NAMES), shape, generator=generator),
        "salient": torch.randint(-3, 2, shape, generator=generator).clamp_min(-1),
        "starts": (torch.rand(shape, generator=generator) < 0.7).long(),
        "attention": torch.randn(shape, generator=generator),
        "gain": torch.randn(shape, generator=generator),
    }
    anchors = _anchors()
    return {
        name: _call(tokenizer, name, batch, anchors)
        for name in sorted(TEXT_POLICIES, key=lambda name: name != REFERENCE)
    }


def _call(
    tokenizer: PreTrainedTokenizerBase, name: str, batch: Mapping[str, Tensor], anchors: AnchorSet
) -> Callable[[], object]:
    recipe = TEXT_POLICIES[name]
    config = TextMaskingConfig(policy=name, mixture=("difference", "attention") if name == "mixture" else ())
    features = ("classes", "salient", "attention", "gain")
    adapter = text_adapter(tokenizer, GRANULARITIES[recipe.units], features=features)
    masker = Masker(recipe.make(Ingredients(config, anchors, CLASS_NAMES)), weighting=TextMasking(config).weighting)

    def call() -> None:
        units = adapter.units(batch, 3, 0.15)
        adapter.corrupt(batch, units, masker(units, 3, 10), 3)

    return call


def _anchors() -> AnchorSet:
    generator = torch.Generator().manual_seed(1)
    return AnchorSet(
        anchors=[],
        types=[f"word{number}" for number in range(TYPES)],
        counts=torch.ones(TYPES, dtype=torch.long),
        tf_icf=torch.rand(TYPES, generator=generator, dtype=torch.float64) + 0.1,
        scores=torch.randn(TYPES, generator=generator),
        embeddings=torch.zeros(0, 1),
        metadata={"num_words": TYPES},
    )


def _feedback(loaded: LoadedModel, rounds: int) -> tuple[float, float]:
    """Return the seconds of a training step, and the seconds that feedback adds to it."""
    model = copy.deepcopy(loaded.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    adapter = text_adapter(loaded.tokenizer, features=("classes",))
    batch = make_batch(len(loaded.tokenizer), STEP_ROWS, STEP_LENGTH)
    classes = torch.randint(0, len(CLASS_NAMES), batch["types"].shape, generator=torch.Generator().manual_seed(3))
    units = adapter.units(batch | {"classes": classes}, 0)
    masked = Masker(Uniform(), ratio=Constant(0.15))(units, 0, 1)
    inputs = adapter.corrupt(batch, units, masked, 0)
    policy = LossWeighted(CLASS_NAMES, Uniform(), softmax_weights)
    losses = adapter.losses(model, inputs).detach()

    def feedback() -> None:
        means, counts = by_unit(losses, units, units.to_positions(masked))
        policy.observe(units, counts > 0, means)
        policy.learn(lambda value: value)

    times = fastest(
        {"step": lambda: _step(model, optimizer, adapter, inputs), "feedback": feedback}, max(rounds // 4, 1)
    )
    return times["step"], times["feedback"]


def _step(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, adapter: TextAdapter, inputs: Mapping[str, Tensor]
) -> None:
    adapter.losses(model, inputs).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
