"""How a policy looks at text, and the traits of words apart from their scores.

A word may be of the domain, a function word, and more or less frequent in general.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from wordfreq import top_n_list

from diffmask.assemble.recipe import Ingredients
from diffmask.assemble.text import TextMasking, class_names
from diffmask.core.masker import Masker
from diffmask.core.types import UnitMask
from diffmask.report.preview import hold
from diffmask.text.adapter import TextAdapter
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.anchors.vocabulary import NUM_COMMON, common_types
from diffmask.text.corpus.reference import read_reference
from diffmask.text.score.position_scores import PositionScorer
from diffmask.text.segment.rows import Annotator
from diffmask.text.segment.type_table import TypeTable


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Masks of the smallest units of a batch.

    Attributes:
        probabilities: How often each is masked, float64 (B, U).
        first: The first mask that was drawn, bool (B, U).
        lengths: Positions of each, float32 (B, U).
    """

    probabilities: Tensor
    first: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class TextLook:
    """A masker, and what makes the units that it sees.

    Attributes:
        masker: What is masked.
        adapter: Divides rows into units.
        annotators: Give units the values that the policy reads, or group them.
        scorers: Models that score tokens.
    """

    masker: Masker
    adapter: TextAdapter
    annotators: tuple[Annotator, ...] = ()
    scorers: tuple[PositionScorer, ...] = ()

    @property
    def shows_tokens(self) -> bool:
        """Whether the tokens of a text are shown, not its words."""
        return self.adapter.granularity == "token"

    @classmethod
    def of(
        cls,
        masking: TextMasking,
        tokenizer: PreTrainedTokenizerBase,
        anchors: AnchorSet | None,
        *,
        progress: float | None = None,
    ) -> Self:
        """Return how a policy looks at a text.

        Args:
            masking: What the settings of the masking come to.
            tokenizer: Tokenizer of the model.
            anchors: Anchors of the domain; None if there are none.
            progress: Hold ratio and strength at this share of the training; None draws masks from all of it.

        Raises:
            InputError: If a setting cannot be used.
        """
        annotators = masking.annotators(anchors)
        masker = masking.masker(Ingredients(masking.config, anchors, class_names(annotators)))
        return cls(hold(masker, progress), masking.adapter(tokenizer), annotators, masking.scorers(tokenizer))

    def draw(self, batch: dict[str, Tensor], num_draws: int) -> _Drawn:
        """Draw the masks of steps spread over a training."""
        units = self.adapter.units(batch, 0)
        total = torch.zeros(units.smallest.eligible.shape, dtype=torch.float64)
        first = torch.zeros_like(units.smallest.eligible)
        for step in range(num_draws):
            units = self.adapter.units(batch, step, self.masker.ratios(units.sample_ids, step, num_draws))
            masked = units.to_smallest(self.masker(units, step, num_draws))
            total += masked
            first = masked if step == 0 else first
        return _Drawn(total / num_draws, first, units.smallest.lengths)


DOMAIN, FUNCTION = "domain words", "function words"
BANDS = {
    "1 in 1,000 words or more": 1e-3,
    "1 in 10,000 or more": 1e-4,
    "1 in 100,000 or more": 1e-5,
    "1 in a million or more": 1e-6,
    "rarer or unknown": -1.0,
}
"""Bands of the general frequency: the least frequency of each, in falling order."""
NUMBERS, PUNCTUATION = "numbers", "punctuation"
TRAITS = (DOMAIN, FUNCTION, *BANDS, NUMBERS, PUNCTUATION)
"""Columns of `Traits.of`; every unit is in one of the bands, a number or punctuation."""
NUM_FUNCTION_WORDS = NUM_COMMON
"""This many of the most frequent words of the reference count as function words."""


class _InGeneral(dict):
    """The frequency of each English word, looked up when it is asked for."""

    def get(self, word: str, default: float) -> float:
        if word not in self:
            self[word] = read_reference("wordfreq:en").frequency(word)
        return self[word]


class Traits:
    """Tell the traits of words from a domain's anchors.

    Args:
        anchors: The domain's types, with TF-ICF and general frequency. Without them no word is of the domain, and the
            general frequency is that of English.
        threshold: A word is the domain's own if its TF-ICF is at least this.
    """

    def __init__(self, anchors: AnchorSet | None, threshold: float):
        if anchors is None:
            self._domain, self._frequency, self._function = {}, _InGeneral(), set(top_n_list("en", NUM_FUNCTION_WORDS))
            self._table = TypeTable()
            return
        self._table = TypeTable.of(anchors.types)
        frequencies = anchors.reference_frequencies()
        self._domain = dict(zip(anchors.types, (anchors.tf_icf >= threshold).tolist(), strict=True))
        self._frequency = dict(zip(anchors.types, frequencies.tolist(), strict=True))
        self._function = {anchors.types[row] for row in common_types(anchors.types, frequencies).tolist()}

    def is_domain(self, word: str) -> bool:
        """Tell whether a type is one of the domain's own."""
        return self._domain.get(self._known(word), False)

    def is_function(self, word: str) -> bool:
        """Tell whether a type is one of the most frequent words in general."""
        return self._known(word) in self._function

    def _known(self, word: str) -> str:
        """Return the type that a word or term has in the table of types."""
        row = self._table.row(word)
        return word if row < 0 else self._table[row]

    def band(self, word: str) -> str:
        """Return the band of a type, or number, or punctuation."""
        if not any(char.isalnum() for char in word):
            return PUNCTUATION
        if _is_number(word):
            return NUMBERS
        frequency = self._frequency.get(self._known(word), 0.0)
        return next(name for name, least in BANDS.items() if frequency >= least)

    def of(self, words: Sequence[str]) -> UnitMask:
        """Return the traits of each type, bool (V, len(TRAITS))."""
        table = torch.zeros(len(words), len(TRAITS), dtype=torch.bool)
        for row, word in enumerate(words):
            table[row, 0], table[row, 1] = self.is_domain(word), self.is_function(word)
            table[row, TRAITS.index(self.band(word))] = True
        return table

    @staticmethod
    def shares(amounts: Tensor, types: Tensor, traits: UnitMask) -> dict[str, float]:
        """Return which share of an amount per unit falls to units of each trait.

        Args:
            amounts: Of each unit, such as its masked positions, float (B, U).
            types: Row of each unit in `traits`, int (B, U); -1 = none, counts nowhere.
            traits: From `Traits.of`.
        """
        by_type = torch.zeros(len(traits), dtype=torch.float64)
        held = types >= 0
        by_type.index_add_(0, types[held], amounts[held].double())
        sums = by_type @ traits.double() / by_type.sum().clamp_min(1e-12)
        return dict(zip(TRAITS, sums.tolist(), strict=True))


def _is_number(word: str) -> bool:
    return word.isdecimal()
