"""What a masked language model sees at masked positions, and what it must predict there."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.noise import CORRUPT, keys, uniforms
from diffmask.core.types import IGNORE_INDEX, PositionMask, SampleIds
from diffmask.text.segment.special import mask_token, special_ids


@dataclass(frozen=True)
class Corruption:
    """Replace masked tokens: by default 80 % become the mask token, 10 % a random token, 10 % stay (BERT).

    Attributes:
        mask_id: The mask token.
        ordinary_ids: Tokens that a random replacement is drawn from, int64; no special token is among them.
        mask_share: Share of masked positions that become the mask token.
        random_share: Share that become a random ordinary token; the rest keep their token.
        seed: Seed of the corruption.
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

    def __call__(
        self, input_ids: Tensor, masked: PositionMask, sample_ids: SampleIds, step: int
    ) -> tuple[Tensor, Tensor]:
        """Return (corrupted input_ids, labels); labels are -100 wherever nothing is masked."""
        rows, columns = masked.nonzero(as_tuple=True)  # (N,)
        places = rows * masked.shape[1] + columns  # in the flattened batch
        truth = input_ids.flatten().index_select(0, places)
        labels = torch.full_like(input_ids, IGNORE_INDEX)
        labels.view(-1).index_copy_(0, places, truth)

        draw = uniforms(keys(self.seed, step, sample_ids, stream=CORRUPT).take(rows), columns)
        ordinary = self._ordinary_on(input_ids.device)
        # a draw that falls among the random replacements is uniform there, and so serves to choose one
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


def corruption_for(
    tokenizer: PreTrainedTokenizerBase, *, mask_share: float = 0.8, random_share: float = 0.1, seed: int = 0
) -> Corruption:
    """Return the corruption for a tokenizer.

    Raises:
        InputError: If the tokenizer has no mask token.
    """
    mask_id = mask_token(tokenizer)
    special = set(special_ids(tokenizer))
    ordinary = [index for index in sorted(tokenizer.get_vocab().values()) if index not in special]
    return Corruption(
        mask_id,
        torch.tensor(ordinary),
        mask_share=mask_share,
        random_share=random_share,
        seed=seed,
    )
