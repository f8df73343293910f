"""PMI of n-grams, and the vocabulary of the n-grams that belong together (Levine et al. 2021, arXiv 2010.01825).

    PMI(w1 ... wn) = min over segmentations s of  log p(w1 ... wn) / (p(s1) p(s2) ...)        (their Eq. 3)

over all ways to cut the n-gram into two or more shorter ones, with p(x) = occurrences of x / occurrences of all n-grams
of its length (section 3.2). The minimum is the weakest link: what a strong pair inside the n-gram adds does not count.
PMI of different lengths cannot be compared, so each length has its ranking and its share of the vocabulary (3.3).
"""

from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

import diffmask
from diffmask.core.errors import InputError
from diffmask.text.ngrams.counts import NGramCounts
from diffmask.text.ngrams.ngram_trie import NGramTrie, build_trie
from diffmask.text.ngrams.ngrams import num_words

if TYPE_CHECKING:
    import pyarrow

SHARES = (0.5, 0.25, 0.125, 0.125)
"""Share of n-grams of 2, 3, 4 and 5 words in the vocabulary (the authors' repository, AI21Labs/pmi-masking)."""
SIZE = 800_000
"""Size of the paper's vocabulary, for Wikipedia and BookCorpus (section 3.3)."""
MIN_PMI = 2.0
"""Ours. The paper chose its size so that about half of the words are in an n-gram (section 3.3); a smaller corpus does
not have 800,000. A bound on PMI scales by itself: from 2.0 on, 24 to 43 % of the words are, in corpora of 0.2 to 9
million words (`docs/pmi.md`)."""
RANKINGS = ("pmi", "weighted")
"""Eq. 3; and the authors' later one, p(w1 ... wn)^2 in the place of p(w1 ... wn), which their lists are made with."""


@dataclass(frozen=True)
class VocabularySettings:
    """Which n-grams are kept.

    Attributes:
        size: At most so many, of all lengths together; the share of each is rounded up.
        min_pmi: Least PMI, in nats: 2.0 is 7.4 times as often as chance.
        rank_by: One of `RANKINGS`.

    Raises:
        InputError: A value is out of range.
    """

    size: int = SIZE
    min_pmi: float = MIN_PMI
    rank_by: str = "pmi"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.size < 1:
            raise InputError(f"size {self.size} is below 1; the paper keeps {SIZE:,} n-grams")
        if not self.min_pmi >= 0:
            raise InputError(f"min-pmi {self.min_pmi} is below 0; from 0 on an n-gram is more frequent than chance")
        if self.rank_by not in RANKINGS:
            raise InputError(f"unknown ranking {self.rank_by!r}; choose from: {', '.join(RANKINGS)}")


def measure(counts: NGramCounts) -> "pyarrow.Table":
    """Return PMI of the n-grams of two words and more: columns ngram, n, count, pmi and log_p."""
    import pyarrow

    levels = _levels(counts)
    words = levels[0][0].to_pylist()
    numbers = [_numbers(ngrams, n, levels[0][0]) for n, (ngrams, _) in enumerate(levels, 1)]
    trie = build_trie(words, numbers[1:])
    log_p = [np.log(count / max(total, 1)) for (_, count), total in zip(levels, counts.totals, strict=True)]
    best = log_p[:1]  # log-probability of an n-gram, or of its likeliest segmentation if that is larger; by row
    tables = []
    for n, (ngrams, count) in enumerate(levels[1:], 2):
        own, cut = log_p[n - 1], _likeliest_cut(trie, numbers[n - 1], best)
        best.append(np.empty(len(own)))
        best[-1][trie.rows(numbers[n - 1])] = np.maximum(own, cut)
        columns = {"ngram": ngrams, "n": np.full(len(count), n), "count": count, "pmi": own - cut, "log_p": own}
        tables.append(pyarrow.table(columns))
    return pyarrow.concat_tables(tables)


def choose(counts: NGramCounts, settings: VocabularySettings | None = None) -> "pyarrow.Table":
    """Return the n-grams that belong together, by length and best first: columns ngram, n, count, pmi.

    Raises:
        InputError: There are none.
    """
    import pyarrow

    settings = settings or VocabularySettings()
    measured = measure(counts)
    if not len(measured):
        few = f"no n-gram of two words or more occurs {counts.min_count} times in {sum(counts.totals[:1]):,} words"
        raise InputError(f"{few}; give more text or a lower --min-count")
    pmi = measured["pmi"].to_numpy()
    score = pmi + measured["log_p"].to_numpy() if settings.rank_by == "weighted" else pmi
    ranked = measured.append_column("score", pyarrow.array(score)).filter(pyarrow.array(pmi >= settings.min_pmi))
    if not len(ranked):
        few = (
            f"none of the {len(measured):,} n-grams that occur {counts.min_count} times has a PMI of {settings.min_pmi}"
        )
        raise InputError(f"{few}; give more text or a lower --min-pmi")
    ranked = ranked.sort_by([("score", "descending"), ("count", "descending"), ("ngram", "ascending")])
    shares = SHARES[: len(counts.totals) - 1]
    chosen = []
    for n, share in enumerate(shares, 2):
        level = ranked.filter(pyarrow.array(ranked["n"].to_numpy() == n))
        chosen.append(level.slice(0, ceil(settings.size * share / sum(shares))))
    return pyarrow.concat_tables(chosen).select(["ngram", "n", "count", "pmi"])


def describe(counts: NGramCounts, settings: VocabularySettings) -> dict[str, Any]:
    """Return how a vocabulary was made, for JSON."""
    return {
        "version": diffmask.__version__,
        "max_n": len(counts.totals),
        "min_count": counts.min_count,
        **asdict(settings),
        "num_documents": counts.num_documents,
        "num_occurrences": list(counts.totals),
        "num_types": list(counts.num_types),
        "sources": counts.sources,
    }


def _levels(counts: NGramCounts) -> list[tuple["pyarrow.Array", np.ndarray]]:
    """Return the n-grams of each length and their counts."""
    import pyarrow

    ngrams = counts.table["ngram"].combine_chunks()
    count = counts.table["count"].to_numpy()
    lengths = num_words(ngrams)
    every = [lengths == n for n in range(1, len(counts.totals) + 1)]
    return [(ngrams.filter(pyarrow.array(chosen)), count[chosen]) for chosen in every]


def _numbers(ngrams: "pyarrow.Array", n: int, words: "pyarrow.Array") -> np.ndarray:
    """Return the numbers of the words of each n-gram, int64 (N, n)."""
    from pyarrow import compute

    parts = compute.call_function("split_pattern", [ngrams], compute.SplitPatternOptions(" ")).flatten()
    numbers = compute.call_function("index_in", [parts], compute.SetLookupOptions(words))
    return numbers.to_numpy().astype(np.int64).reshape(-1, n)


def _likeliest_cut(trie: NGramTrie, numbers: np.ndarray, best: list[np.ndarray]) -> np.ndarray:
    """Return the log-probability of the likeliest segmentation of each n-gram into two or more pieces.

    Its first cut leaves two sides, and each side is one piece or the best segmentation of itself.
    """
    cuts = []
    for k in range(1, numbers.shape[1]):
        left, right = numbers[:, :k], numbers[:, k:]
        cuts.append(best[k - 1][trie.rows(left)] + best[right.shape[1] - 1][trie.rows(right)])
    return np.max(cuts, axis=0)
