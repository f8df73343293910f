"""Text as the core sees it: padded rows become units, a mask of units becomes a corrupted batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.types import UnitMask
from diffmask.core.units import Units
from diffmask.text.corrupt import Corruption, corruption_for, special_id
from diffmask.text.model import masked_losses
from diffmask.text.pad import Pad

GRANULARITIES = ("word", "token")


@dataclass(frozen=True)
class TextAdapter:
    """How a masked language model's text is padded, cut into units, corrupted and scored.

    Attributes:
        pad: Makes a batch of rows.
        corruption: What the model sees at masked positions.
        granularity: `word` masks whole words; `token` masks tokens one by one, each with the type of its word.
    """

    pad: Pad
    corruption: Corruption
    granularity: str = "word"

    def __post_init__(self):
        """Check the granularity."""
        if self.granularity not in GRANULARITIES:
            raise InputError(f"unknown units {self.granularity!r}; choose from: {', '.join(GRANULARITIES)}")

    def units(self, batch: Mapping[str, Tensor]) -> Units:
        """Return the units of a padded batch."""
        words, types = batch["unit_ids"], batch["types"]
        if self.granularity == "word":
            eligible = torch.arange(types.shape[1], device=types.device)[None] < batch["num_units"][:, None]
            return Units(words, eligible, batch["sample_ids"], types)
        types = types.gather(1, words.clamp_min(0)) if types.shape[1] else words
        return Units(None, words >= 0, batch["sample_ids"], types)

    def corrupt(self, batch: Mapping[str, Tensor], units: Units, masked: UnitMask, step: int) -> dict[str, Tensor]:
        """Return what a model's forward takes, and its labels."""
        inputs, labels = self.corruption(batch["input_ids"], units.to_positions(masked), units.sample_ids, step)
        return {"input_ids": inputs, "attention_mask": batch["attention_mask"], "labels": labels}

    def losses(self, model: torch.nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the cross entropy at each masked position, row by row, float32 (N,)."""
        features = {name: value for name, value in inputs.items() if name != "labels"}
        return masked_losses(model, features, inputs["labels"])


def text_adapter(
    tokenizer: PreTrainedTokenizerBase,
    units: str = "word",
    *,
    seed: int = 0,
    mask_share: float = 0.8,
    random_share: float = 0.1,
) -> TextAdapter:
    """Return the adapter for a tokenizer.

    Args:
        tokenizer: Tokenizer of a masked language model.
        units: `word` or `token`.
        seed: Seed of the corruption.
        mask_share: Share of masked positions that become the mask token.
        random_share: Share that become a random ordinary token.
    """
    corruption = corruption_for(tokenizer, mask_share=mask_share, random_share=random_share, seed=seed)
    return TextAdapter(Pad(special_id(tokenizer.pad_token_id) or 0), corruption, units)
