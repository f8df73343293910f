"""What a masked language model sees at masked positions, and the loss of what it predicts there.

The vocabulary head runs on the masked positions only.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.noise import CORRUPT, keys, uniforms
from diffmask.core.types import IGNORE_INDEX, PositionMask, SampleIds
from diffmask.text.model.fit import without_padding
from diffmask.text.segment.segmenter import mask_id, special_ids


def masked_losses(model: torch.nn.Module, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    """Return the cross entropy at each labelled position, in row-major order, float32 (N,).

    The encoder runs on all positions, the head on the N labelled ones. The loss is the same, and for a small encoder
    with a large vocabulary the work is three to four times less.

    Args:
        model: A masked language model from transformers, wrapped (DDP, compiled, with adapters of peft) or not.
        inputs: What its forward takes, without labels.
        labels: int64 (B, L), -100 = not predicted.

    Raises:
        InputError: If rows were made for another model, or adapters put tokens before them.
    """
    encoder = _encoder_of(model)
    rows, columns = (labels != IGNORE_INDEX).nonzero(as_tuple=True)
    with passing_on(encoder, lambda states: states[rows, columns][None]):
        logits = model(**without_padding(encoder.config, inputs)).logits
    return cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), labels[rows, columns], reduction="none")


@contextmanager
def passing_on(encoder: torch.nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let the encoder pass on other states than its own, such as those at a few positions, as one row (1, N, D).

    A hook does this for every architecture, so that the model's own forward is called and wrappers (DDP, compiled
    models) keep working. What follows the encoder must treat every position alike, as the heads of masked language
    models do.

    Args:
        encoder: The encoder under a model's head.
        change: Makes of the encoder's states (B, L, D) those that the head is given.
    """

    def pass_on(_module: torch.nn.Module, _args: Any, output: Any) -> Any:
        states = change(output[0])
        if isinstance(output, tuple):
            return (states, *output[1:])
        output.last_hidden_state = states
        return output

    hook = encoder.register_forward_hook(pass_on)
    try:
        yield
    finally:
        hook.remove()


def _encoder_of(model: torch.nn.Module) -> PreTrainedModel:
    """Return the encoder under a model's head; the model may be wrapped (DDP, compiled), and hold adapters of peft."""
    inner: Any = extract_model_from_parallel(model, keep_torch_compile=False)
    if not isinstance(inner, PreTrainedModel):
        if inner.active_peft_config.is_prompt_learning:
            raise InputError(
                f"adapters of the kind {inner.active_peft_config.peft_type.value} put tokens of their own before each "
                "row, and masks would be read at other places than they stand; use LoRA or another kind that adds none"
            )
        inner = inner.get_base_model()
    encoder: Any = inner.base_model
    return encoder


@dataclass(frozen=True)
class Corruption:
    """Replace masked tokens: by default 80 % become the mask token, 10 % a random token, 10 % stay (BERT).

    Attributes:
        mask_id: The mask token.
        ordinary_ids: Tokens that a random replacement is drawn from, int64; no special token is among them.
        mask_share: Share of masked positions that become the mask token.
        random_share: Share that become a random ordinary token; the rest keep their token.
        seed: Seed of the corruption.

    Raises:
        InputError: If the shares are not shares of one whole.
    """

    mask_id: int
    ordinary_ids: Tensor
    mask_share: float = 0.8
    random_share: float = 0.1
    seed: int = 0

    def __post_init__(self):
        """Check that the shares are shares."""
        if min(self.mask_share, self.random_share) < 0 or self.mask_share + self.random_share > 1 + 1e-9:
            raise InputError(
                f"mask_share={self.mask_share} and random_share={self.random_share} are not shares of one whole; "
                "both must be at least 0 and their sum at most 1 (what is left over keeps its token)"
            )

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        *,
        mask_share: float = 0.8,
        random_share: float = 0.1,
        seed: int = 0,
    ) -> "Corruption":
        """Return the corruption for a tokenizer.

        Raises:
            InputError: If the tokenizer has no mask token.
        """
        special = set(special_ids(tokenizer))
        ordinary = [index for index in sorted(tokenizer.get_vocab().values()) if index not in special]
        return cls(mask_id(tokenizer), torch.tensor(ordinary), mask_share, random_share, seed)

    def __call__(
        self, input_ids: Tensor, masked: PositionMask, sample_ids: SampleIds, step: int
    ) -> tuple[Tensor, Tensor]:
        """Return (corrupted input_ids, labels); labels are -100 wherever nothing is masked."""
        # only masked positions are drawn for and written: they are few
        rows, columns = masked.nonzero(as_tuple=True)  # (N,)
        places = rows * masked.shape[1] + columns  # in the flattened batch
        truth = input_ids.flatten().index_select(0, places)
        labels = torch.full_like(input_ids, IGNORE_INDEX)
        labels.view(-1).index_copy_(0, places, truth)

        draw = uniforms(keys(self.seed, step, sample_ids, stream=CORRUPT).take(rows), columns)
        ordinary = self._ordinary_on(input_ids.device)
        # one draw decides both: where it falls among the random replacements it is uniform there, so it also says which
        choice = ((draw - self.mask_share) * (len(ordinary) / max(self.random_share, 1e-9))).long()
        replaced = ordinary.index_select(0, choice.clamp_(0, len(ordinary) - 1))
        kept_or_replaced = torch.where(draw < self.mask_share + self.random_share, replaced, truth)
        corrupted = input_ids.clone(memory_format=torch.contiguous_format)
        corrupted.view(-1).index_copy_(0, places, torch.where(draw < self.mask_share, self.mask_id, kept_or_replaced))
        return corrupted, labels

    @cached_property
    def _copies(self) -> dict[torch.device, Tensor]:
        return {}

    def _ordinary_on(self, device: torch.device) -> Tensor:
        """Return the ordinary tokens on a device; they are copied there once."""
        if device not in self._copies:
            self._copies[device] = self.ordinary_ids.to(device)
        return self._copies[device]
