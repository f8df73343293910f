"""The masked forward pass: the vocabulary head runs on masked positions only."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor
from torch.nn.functional import cross_entropy

from diffmask.core.types import IGNORE_INDEX


def masked_losses(model: torch.nn.Module, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    """Return the cross entropy at each labelled position, in row-major order, float32 (N,).

    The encoder runs on all positions, the head on the N labelled ones: three to four times less work for a small
    encoder with a large vocabulary, and the same loss.

    Args:
        model: A masked language model from transformers, wrapped (DDP, compiled) or not.
        inputs: What its forward takes, without labels.
        labels: int64 (B, L), -100 = not predicted.
    """
    rows, columns = (labels != IGNORE_INDEX).nonzero(as_tuple=True)
    with head_on(encoder_of(model), rows, columns):
        logits = model(**inputs).logits
    return cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), labels[rows, columns], reduction="none")


@contextmanager
def head_on(encoder: torch.nn.Module, rows: Tensor, columns: Tensor) -> Iterator[None]:
    """Let the encoder hand on only the states at the given positions, as one row (1, N, D).

    What follows the encoder must treat every position alike, as the heads of masked language models do.
    """

    def keep(_module: torch.nn.Module, _args: Any, output: Any) -> Any:
        states = output[0][rows, columns][None]
        if isinstance(output, tuple):
            return (states, *output[1:])
        output.last_hidden_state = states
        return output

    handle = encoder.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def encoder_of(model: torch.nn.Module) -> torch.nn.Module:
    """Return the encoder under a model's head, inside whatever wraps the model."""
    return extract_model_from_parallel(model, keep_torch_compile=False).base_model
