"""Vocabulary: the word types of a domain beside a reference, and which of them may stand for the domain."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffmask.core.anchors import choose_anchors
from diffmask.core.difference import tf_icf
from diffmask.core.errors import InputError
from diffmask.core.similarity import domain_scores
from diffmask.core.types import Embeddings, TypeScores
from diffmask.text.corpus.counts import Counts
from diffmask.text.corpus.reference import Reference
from diffmask.text.segment.type_table import is_telling

NUM_COMMON = 300
"""How many of the reference's most frequent words stand for words that are common everywhere."""
_MIN_VOTER_COUNT = 5
"""In large corpora most types occur once, and are slips of the pen: see `docs/scorers.md`."""
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, eq=False)
class _LetterParts:
    """What is between the digits of words ("cyp" and "b" of "cyp2b6") and is no word of the domain itself.

    Our words hold digits, and so does a unit that is masked. A table of scores is also read by those who cut words at
    digits, a tokenizer or another tool: there such a part has the mean score of the words that it stands in.

    Attributes:
        names: The parts, in order of the alphabet.
        parts: Row in `names` of each occurrence in a word, int64 (N,).
        words: Row of that word, int64 (N,).
    """

    names: list[str]
    parts: Tensor
    words: Tensor

    def count(self, counts: Tensor) -> Tensor:
        """Return how often each part occurs, int64, from the counts of the words."""
        return counts.new_zeros(len(self.names)).index_add_(0, self.parts, counts[self.words])

    def mean(self, scores: TypeScores, counts: Tensor) -> TypeScores:
        """Return the mean score of the words that each part occurs in."""
        sums = torch.zeros(len(self.names), dtype=torch.float64)
        sums.index_add_(0, self.parts, scores[self.words].double() * counts[self.words])
        return (sums / self.count(counts)).to(scores.dtype)


def _letter_parts(words: Sequence[str]) -> _LetterParts:
    """Return the letter parts of words with digits.

    >>> _letter_parts(["cyp2b6", "b", "p53", "12"]).names
    ['cyp', 'p']
    """
    known = set(words)
    pairs = [
        (part, row)
        for row, word in enumerate(words)
        if not word.isalpha()
        for part in _DIGITS.split(word)
        if part and part not in known
    ]
    names = sorted({part for part, _ in pairs})
    row_of = {name: row for row, name in enumerate(names)}
    rows = torch.tensor([(row_of[part], row) for part, row in pairs], dtype=torch.int64).reshape(-1, 2)
    return _LetterParts(names, rows[:, 0], rows[:, 1])


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Types of a domain: its words, most frequent first, then the letter parts of words with digits.

    Attributes:
        words: The words.
        parts: What is between the digits of words.
        counts: Occurrences of each type, int64 (V,).
        frequencies: General frequency of each type, float64 (V,).
        tf_icf: How many times its general frequency each type has in the domain, float64 (V,).
    """

    words: list[str]
    parts: _LetterParts
    counts: Tensor
    frequencies: Tensor
    tf_icf: TypeScores

    @classmethod
    def compare(cls, counted: Counts, reference: Reference) -> "Vocabulary":
        """Return the types of a domain beside a reference.

        Raises:
            InputError: If no word was counted.
        """
        if not counted.num_words:
            raise InputError("the data contains no words, only punctuation; give data with text")
        words = sorted(counted.counts, key=lambda word: (-counted.counts[word], word))
        parts = _letter_parts(words)
        counts = torch.tensor([counted.counts[word] for word in words])
        counts = torch.cat([counts, parts.count(counts)])
        frequencies = torch.from_numpy(reference.frequencies(words + parts.names))
        return cls(words, parts, counts, frequencies, tf_icf(counts.double() / counted.num_words, frequencies))

    @property
    def types(self) -> list[str]:
        """Words, then letter parts."""
        return self.words + self.parts.names

    def voters(self) -> Tensor:
        """Return which words say by their TF-ICF what the domain looks like, bool (W,).

        Numbers do not, because the reference knows only the frequency of all of them together, and neither do words
        that occur less than five times; in a text too small for that, all words do.
        """
        words = torch.tensor([any(map(str.isalpha, word)) for word in self.words])
        frequent = words & (self.counts[: len(self.words)] >= _MIN_VOTER_COUNT)
        return frequent if frequent.sum() > 1 else words

    def common(self) -> Tensor:
        """Return the rows of words that are common everywhere, see `common_types`."""
        return common_types(self.words, self.frequencies[: len(self.words)])

    def choose(self, num_anchors: int, min_count: int) -> list[str]:
        """Return the words with the highest TF-ICF: frequent enough, no numbers, and no single letters.

        In scripts without spaces a single character is a word like any other.

        Raises:
            InputError: If no word may be an anchor.
        """
        counts = self.counts[: len(self.words)]
        eligible = (counts >= min_count) & torch.tensor([is_telling(word) for word in self.words])
        if not eligible.any():
            most = f"the most frequent, {self.words[0]!r}, {int(counts[0]):,} times"
            raise InputError(
                f"no word occurs min_count={min_count} times in the data ({most}); lower --min-count or give more data"
            )
        rows = choose_anchors(self.tf_icf[: len(self.words)], eligible, num_anchors)
        return [self.words[row] for row in rows.tolist()]

    def score(self, embeddings: Embeddings, anchors: Tensor, reduce: str = "mean") -> TypeScores:
        """Return the default score of each word, float32 (W,), see `domain_scores`.

        Args:
            embeddings: Embedding of each word, float32 (W, D).
            anchors: Embeddings of the anchors, float32 (A, D).
            reduce: See `anchor_similarity`.
        """
        tf_icf = self.tf_icf[: len(self.words)]
        return domain_scores(embeddings, tf_icf, self.voters(), anchors, embeddings[self.common()], reduce=reduce)

    def with_parts(self, scores: TypeScores) -> TypeScores:
        """Return the scores of all types from those of the words; a letter part has the mean of its words."""
        return torch.cat([scores, self.parts.mean(scores, self.counts[: len(self.words)])])


def common_types(types: Sequence[str], frequencies: Tensor) -> Tensor:
    """Return the rows of the most frequent words of the reference, numbers apart, int64 (C,).

    Raises:
        InputError: If the reference knows none of the types.
    """
    known = (frequencies > 0) & torch.tensor([any(map(str.isalpha, word)) for word in types])
    rows = known.nonzero()[:, 0]
    if not len(rows):
        raise InputError(
            "the reference knows no word of the data; give a --reference of common text in the language of the data"
        )
    order = torch.sort(frequencies[rows], descending=True, stable=True).indices
    return rows[order[:NUM_COMMON]]
