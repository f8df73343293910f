"""Units that are n-grams: each text is cut into the n-grams of a vocabulary and the single words between them.

As in Levine et al. 2021, section 3.3: of two n-grams where one holds the other, the larger one is the unit; of n-grams
that overlap, one is chosen at random, and what remains of the others is single words. Random means: by a hash of the
text and of the place in it, so a text is always cut in the same way, in any batch and any process.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from zlib import crc32

import numpy as np

from diffmask.text.corpus.words import PUNCT, char_classes
from diffmask.text.ngrams.ngrams import JoinedWords, NGramTrie
from diffmask.text.ngrams.vocabulary import TABLE, read_vocabulary
from diffmask.text.segment.rows import STARTS, Annotator
from diffmask.text.segment.segmenter import Segments

_FORMAT = "ngrams 1"
"""Part of the cache's key, to be changed when the same table makes other units."""


def ngram_annotator(folder: str | Path) -> Annotator:
    """Return what says where the n-grams of a folder made by `diffmask pmi` begin.

    What stands between the words of an n-gram belongs to it. Where units are tokens, all tokens of an n-gram are one
    larger unit, and the others stay units of their own.

    Raises:
        InputError: If the folder holds no vocabulary, or a line of its table is broken.
    """
    read_vocabulary(folder)  # to refuse it here, not in a worker
    key = f"{_FORMAT} {hashlib.sha256((Path(folder) / TABLE).read_bytes()).hexdigest()}"
    return Annotator((STARTS,), (), key, partial(_starts, str(folder), key))


def _starts(folder: str, key: str, segments: Segments) -> dict[str, np.ndarray]:
    words = JoinedWords.find(segments.text, segments.classes, segments.text_starts)
    lookup = _load(folder, key)
    firsts, lasts = _without_overlaps(words, *lookup.find(words), segments.text, segments.text_starts)
    # units are looked up among words by their first character, because a unit need not be a word of an n-gram: it may
    # be punctuation, which is in an n-gram only if the word after it is
    starts = segments.spans[:, 0]
    word = np.searchsorted(words.starts, starts, side="right") - 1
    after = segments.classes[starts] == PUNCT
    ngram = np.searchsorted(firsts, word, side="right") - 1
    inside = ngram >= 0
    inside[inside] = (word + after)[inside] <= lasts[ngram[inside]]
    of_unit = np.where(inside, ngram, -1)[segments.words]
    continues = np.append(-1, of_unit)[:-1] == of_unit
    return {STARTS: np.where(continues & (of_unit >= 0), 0, 1).astype(np.int32)}


@dataclass(frozen=True, eq=False)
class NGramLookup:
    """A vocabulary of n-grams, to be found in texts.

    Attributes:
        trie: The n-grams and their beginnings.
        complete: For n = 2, 3, ...: which rows of the trie are n-grams of the vocabulary.
    """

    trie: NGramTrie
    complete: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, ngrams: Sequence[str]) -> "NGramLookup":
        """Return the lookup of n-grams of two and more words each, written with one space between words."""
        split = [ngram.split(" ") for ngram in ngrams]
        words = sorted({word for parts in split for word in parts})
        numbers = {word: number for number, word in enumerate(words)}
        levels = []
        for n in range(2, max(map(len, split)) + 1):
            rows = [[numbers[word] for word in parts] for parts in split if len(parts) == n]
            levels.append(np.array(rows, dtype=np.int64).reshape(-1, n))
        trie = NGramTrie.of(words, levels)
        complete = tuple(np.zeros(len(keys), dtype=bool) for keys in trie.keys)
        for level, is_complete in zip(levels, complete, strict=True):
            is_complete[trie.rows(level)] = True
        return cls(trie, complete)

    def share_in(self, texts: Sequence[str]) -> float:
        """Return the share of the words of texts that are in an n-gram."""
        text = "\n".join(texts)
        text_starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
        words = JoinedWords.find(text, char_classes(text), text_starts)
        firsts, lasts = _without_overlaps(words, *self.find(words), text, text_starts)
        return float((lasts - firsts + 1).sum()) / max(len(words.types), 1)

    def find(self, joined: JoinedWords) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and the last word of all occurrences that are in no larger one, rising; int64."""
        num_words = len(joined.types)
        words = np.fromiter(map(self.trie.numbers.get, joined.types, repeat(-1)), np.int64, num_words)
        lasts = np.full(num_words, -1)
        # all places of the text walk the trie together, a word at a time; those where it ends drop out
        places = np.flatnonzero(words >= 0)
        rows = words[places]
        for n in range(2, self.trie.max_n + 1):
            ends = places + n - 1
            continues = np.append(joined.joined, False)[np.minimum(ends, num_words)]
            places, rows, ends = places[continues], rows[continues], ends[continues]
            rows = self.trie.extend(n, rows, words[ends])
            known = rows >= 0
            places, rows, ends = places[known], rows[known], ends[known]
            complete = self.complete[n - 2][rows]
            lasts[places[complete]] = ends[complete]  # of n-grams with the same first word the longest stays
        firsts = np.flatnonzero(lasts >= 0)
        lasts = lasts[firsts]
        # an n-gram is inside another if one that begins before it ends no earlier
        held = lasts <= np.append(-1, np.maximum.accumulate(lasts))[:-1]
        return firsts[~held], lasts[~held]


def _without_overlaps(
    words: JoinedWords, firsts: np.ndarray, lasts: np.ndarray, text: str, text_starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the n-grams that remain when one of those that overlap is taken at random.

    No n-gram contains another. They are gone through in a random order, and each is taken unless it overlaps one that
    was taken.

    Args:
        words: The words of the texts.
        firsts: First word of each n-gram, rising.
        lasts: Last word of each n-gram, rising.
        text: The texts, one a line.
        text_starts: First character of each text.
    """
    overlaps = np.zeros(len(firsts), dtype=bool)
    touches = firsts[1:] <= lasts[:-1]
    overlaps[1:] |= touches
    overlaps[:-1] |= touches
    # few n-grams overlap, so the loop over them is short
    doubtful = np.flatnonzero(overlaps)
    ranks = _noise(words, firsts[doubtful], text, text_starts)
    taken = ~overlaps
    first, last, count = firsts.tolist(), lasts.tolist(), len(firsts)
    blocked = bytearray(count)
    for ngram in doubtful[np.argsort(ranks, kind="stable")].tolist():
        if blocked[ngram]:
            continue
        taken[ngram] = True
        other = ngram - 1
        while other >= 0 and last[other] >= first[ngram]:
            blocked[other] = 1
            other -= 1
        other = ngram + 1
        while other < count and first[other] <= last[ngram]:
            blocked[other] = 1
            other += 1
    return firsts[taken], lasts[taken]


def _noise(words: JoinedWords, chosen: np.ndarray, text: str, text_starts: np.ndarray) -> np.ndarray:
    """Return a random number for each chosen word, which depends on its text and on its place there; uint64."""
    rows = np.searchsorted(text_starts, words.starts[chosen], side="right") - 1
    ends = np.append(text_starts[1:], len(text) + 1)  # one past the end of the line
    texts, of_word = np.unique(rows, return_inverse=True)
    hashes = [crc32(text[text_starts[row] : ends[row] - 1].encode("utf-8", "surrogatepass")) for row in texts.tolist()]
    before = np.searchsorted(words.starts, text_starts[texts])
    places = (chosen - before[of_word]).astype(np.uint64)
    # hashes of neighbouring places differ in a few bits only, so they are mixed
    mixed = np.array(hashes, dtype=np.uint64)[of_word] * np.uint64(0x9E3779B97F4A7C15) + places
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finaliser of splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


@functools.lru_cache(maxsize=4)
def _load(folder: str, key: str) -> NGramLookup:
    """Return the lookup of a folder, made once in each process; the key stands for the folder's content."""
    return NGramLookup.of(read_vocabulary(folder))
