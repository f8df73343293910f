"""Text as the core sees it: padded rows become units, a mask of units becomes a corrupted batch.

Words are joined into larger units here, on the device, because random spans are others at each step.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.noise import SEGMENT, keys, uniforms
from diffmask.core.types import IGNORE_INDEX, PositionMask, UnitMask
from diffmask.core.units import Units
from diffmask.text.model.masked_lm import Corruption, masked_losses
from diffmask.text.segment.pad import Pad
from diffmask.text.segment.rows import STARTS
from diffmask.text.segment.segmenter import pad_id

_GEOMETRIC_P, _LONGEST_SPAN = 0.2, 10
"""Law of the lengths of random spans, in words (Joshi et al. 2020, SpanBERT): the mean is 3.8."""
_GRANULARITIES = ("word", "token", "span", "group")


def _join_words(words: Units, starts: UnitMask) -> Units:
    """Return larger units that are made of words.

    Args:
        words: Words, the eligible ones first in each row.
        starts: Which words open a unit; the others continue the one before. The first of a row always opens one.
    """
    starts = starts & words.eligible
    starts[:, :1] |= words.eligible[:, :1]
    # how many units have been opened up to a word is the number of the unit that it is in
    of_word = torch.where(words.eligible, starts.cumsum(1) - 1, -1)
    places = torch.arange(starts.shape[1], device=starts.device)[None]
    assert words.unit_ids is not None
    held = words.unit_ids >= 0
    # gather takes no -1, so positions of no word read the first one; a batch without words has nothing to read
    of_position = of_word.gather(1, words.unit_ids.clamp_min(0)) if starts.shape[1] else words.unit_ids
    return Units(
        of_position.where(held, -1),
        places < starts.sum(1, keepdim=True),
        words.sample_ids,
        parts=words,
        part_units=of_word,
    )


def _random_starts(words: Units, *, seed: int, step: int, ratio: float | Tensor) -> UnitMask:
    """Cut rows of words into spans of random lengths, anew at each step (Joshi et al. 2020, SpanBERT).

    The lengths are geometric with p = 0.2 up to 10, scaled to sum to one. SpanBERT throws spans of such lengths on the
    text until the budget is full, rejects those that overlap, and cuts the last to what is left. Here the whole row is
    cut into spans, which are then drawn like any other unit. None is longer than the ratio's share of the row's words,
    or it alone would exceed the budget.
    """
    rows, num_words = words.eligible.shape
    span_keys = keys(seed, step, words.sample_ids[:, None], stream=SEGMENT)
    noise = uniforms(span_keys, torch.arange(num_words, device=words.eligible.device)[None])
    budgets = (ratio * words.eligible.sum(1)).floor().long().clamp_min(1)[:, None]
    # a length is drawn for every word, as if each opened a span: more than enough, and no loop over spans
    lengths = torch.minimum(torch.bucketize(noise, _length_bounds(noise)) + 1, budgets)
    places = lengths.cumsum(1) - lengths
    # spans that begin beyond the row all mark one more column, which is cut off
    starts = torch.zeros(rows, num_words + 1, dtype=torch.bool, device=noise.device)
    return starts.scatter_(1, places.clamp_max(num_words), True)[:, :num_words]


def _length_bounds(like: Tensor) -> Tensor:
    """Return the probability of a length of at most 1, 2, ... _LONGEST_SPAN - 1."""
    shares = (1 - _GEOMETRIC_P) ** torch.arange(_LONGEST_SPAN, device=like.device, dtype=like.dtype)
    return (shares.cumsum(0) / shares.sum())[:-1]


@dataclass(frozen=True)
class TextAdapter:
    """How a masked language model's text is padded, cut into units, corrupted and scored.

    Attributes:
        pad: Makes a batch of rows.
        corruption: What the model sees at masked positions.
        granularity: `word` masks whole words; `token` masks tokens one by one, each with the type of its word; `span`
            masks random spans of words; `group` masks the groups of words that the column `starts` opens.
        features: Columns of the batch that policies read, one value a word.
        seed: Seed of the random spans.
        positions: What positions are called in reports.

    Raises:
        InputError: If the granularity is unknown.
    """

    pad: Pad
    corruption: Corruption
    granularity: str = "word"
    features: tuple[str, ...] = ()
    seed: int = 0
    positions: str = "tokens"

    def __post_init__(self):
        """Check the granularity."""
        if self.granularity not in _GRANULARITIES:
            raise InputError(f"unknown units {self.granularity!r}; choose from: {', '.join(_GRANULARITIES)}")

    def units(self, batch: Mapping[str, Tensor], step: int, ratio: float | Tensor = 1.0) -> Units:
        """Return the units of a padded batch.

        Args:
            batch: As `pad` makes it.
            step: Optimiser step; random spans differ from step to step.
            ratio: Share of the positions that will be masked, or that of each row, (B,); no random span has more of its
                row's words than that.
        """
        ids, types = batch["unit_ids"], batch["types"]
        features = {name: batch[name] for name in self.features}
        if self.granularity == "token":
            return _tokens(ids, types, features, batch["sample_ids"])
        eligible = torch.arange(types.shape[1], device=types.device)[None] < batch["num_units"][:, None]
        words = Units(ids, eligible, batch["sample_ids"], types, features)
        if self.granularity == "word":
            return words
        if self.granularity == "span":
            return _join_words(words, _random_starts(words, seed=self.seed, step=step, ratio=ratio))
        return _join_words(words, batch[STARTS] == 1)

    def corrupt(self, batch: Mapping[str, Tensor], units: Units, masked: UnitMask, step: int) -> dict[str, Tensor]:
        """Return what a model's forward takes, and its labels."""
        inputs, labels = self.corruption(batch["input_ids"], units.to_positions(masked), units.sample_ids, step)
        return {"input_ids": inputs, "attention_mask": batch["attention_mask"], "labels": labels}

    def predicted(self, inputs: Mapping[str, Tensor]) -> PositionMask:
        """Return the masked positions, those included that kept their token."""
        return inputs["labels"] != IGNORE_INDEX

    def losses(self, model: torch.nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the cross entropy at each masked position, row by row, float32 (N,)."""
        features = {name: value for name, value in inputs.items() if name != "labels"}
        return masked_losses(model, features, inputs["labels"])


def _tokens(words: Tensor, types: Tensor, features: Mapping[str, Tensor], sample_ids: Tensor) -> Units:
    """Return tokens as units, each with the type and the features of its word."""

    def of_words(values: Tensor) -> Tensor:
        return values.gather(1, words.clamp_min(0)) if values.shape[1] else torch.zeros_like(words, dtype=values.dtype)

    of_tokens = {name: of_words(values) for name, values in features.items()}
    return Units(None, words >= 0, sample_ids, of_words(types), of_tokens)


def text_adapter(
    tokenizer: PreTrainedTokenizerBase,
    units: str = "word",
    *,
    seed: int = 0,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    features: tuple[str, ...] = (),
) -> TextAdapter:
    """Return the adapter for a tokenizer.

    Args:
        tokenizer: Tokenizer of a masked language model.
        units: `word`, `token`, `span` or `group`; see `TextAdapter.granularity`.
        seed: Seed of the corruption and of random spans.
        mask_share: Share of masked positions that become the mask token.
        random_share: Share that become a random ordinary token.
        features: Columns that policies read.
    """
    corruption = Corruption.of(tokenizer, mask_share=mask_share, random_share=random_share, seed=seed)
    columns = (*features, STARTS) if units == "group" else features
    pad = Pad(pad_id(tokenizer), features=columns)
    return TextAdapter(pad, corruption, units, features, seed)
