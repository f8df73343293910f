"""The vocabulary of the n-grams that belong together, by their PMI (Levine et al. 2021, arXiv 2010.01825).

    PMI(w1 ... wn) = min over segmentations s of  log p(w1 ... wn) / (p(s1) p(s2) ...)        (their Eq. 3)

over all ways to cut the n-gram into two or more shorter ones, with p(x) = occurrences of x / occurrences of all n-grams
of its length (section 3.2). The minimum is the weakest link: what a strong pair inside the n-gram adds does not count.
PMI of different lengths cannot be compared, so each length has its ranking and its share of the vocabulary (3.3).

A vocabulary is kept in a folder: a table to read and edit by hand, and a record of how it was made.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from diffmask.config.limits import OneOf, at_least, check_limits
from diffmask.core.errors import InputError
from diffmask.files.folders import draft
from diffmask.files.made_folder import write_record, write_table
from diffmask.files.tables import Table
from diffmask.text.corpus.words import split_words
from diffmask.text.ngrams.counts import NGramCounts
from diffmask.text.ngrams.ngrams import MAX_N, NGramTrie
from diffmask.version import __version__

if TYPE_CHECKING:
    import pyarrow

SHARES = (0.5, 0.25, 0.125, 0.125)
"""Share of n-grams of 2, 3, 4 and 5 words in the vocabulary (the authors' repository, AI21Labs/pmi-masking)."""
_SIZE = 800_000
"""Size of the paper's vocabulary, for Wikipedia and BookCorpus (section 3.3)."""
_MIN_PMI = 2.0
"""Ours. The paper chose its size so that about half of the words are in an n-gram (section 3.3); a smaller corpus does
not have 800,000. A bound on PMI scales by itself: with 2.0, 24 to 43 % of the words are in an n-gram, in corpora of 0.2
to 9 million words (`docs/pmi.md`)."""
_RANKINGS = ("pmi", "weighted")
"""Eq. 3; and the authors' later measure, with p(w1 ... wn)^2 for p(w1 ... wn), by which their lists are made."""
FILES = TABLE, _RECORD = "ngrams.csv", "pmi.json"
_COLUMNS = ("ngram", "n", "count", "pmi")
_MAKE = "make one with: diffmask pmi DATA -o FOLDER"


@dataclass(frozen=True)
class VocabularySettings:
    """Which n-grams are kept.

    Attributes:
        size: Most n-grams, all lengths together; the share of each length is rounded up.
        min_pmi: Least PMI, in nats: 2.0 is 7.4 times as often as chance.
        rank_by: Which are kept if there are more: `pmi`, or `weighted`, which favours frequent ones.

    Raises:
        InputError: A value is out of range.
    """

    size: Annotated[int, at_least(1, f"the paper keeps {_SIZE:,} n-grams")] = _SIZE
    min_pmi: Annotated[float, at_least(0, "above 0 an n-gram is more frequent than chance")] = _MIN_PMI
    rank_by: Annotated[str, OneOf(_RANKINGS)] = "pmi"

    def __post_init__(self) -> None:
        """Check the values."""
        check_limits(self)

    def describe(self, counts: NGramCounts) -> dict[str, Any]:
        """Return how a vocabulary is made of counts, for its record."""
        return {
            "version": __version__,
            "max_n": len(counts.totals),
            "min_count": counts.min_count,
            **asdict(self),
            "num_documents": counts.num_documents,
            "num_occurrences": list(counts.totals),
            "num_types": list(counts.num_types),
            "sources": counts.sources,
        }


def _measure(counts: NGramCounts) -> "pyarrow.Table":
    """Return PMI of the n-grams of two words and more: columns ngram, n, count, pmi and log_p."""
    import pyarrow

    levels = [counts.of_length(n) for n in range(1, len(counts.totals) + 1)]
    words = levels[0][0].to_pylist()
    numbers = [_numbers(ngrams, n, levels[0][0]) for n, (ngrams, _) in enumerate(levels, 1)]
    trie = NGramTrie.of(words, numbers[1:])
    log_p = [np.log(count / max(total, 1)) for (_, count), total in zip(levels, counts.totals, strict=True)]
    # of each n-gram by its row: its own log-probability, or that of its likeliest segmentation if that is larger. So a
    # segmentation into many pieces is found by one cut, each side being the best that shorter n-grams came to.
    best = log_p[:1]
    tables = []
    for n, (ngrams, count) in enumerate(levels[1:], 2):
        own, cut = log_p[n - 1], _likeliest_cut(trie, numbers[n - 1], best)
        best.append(np.empty(len(own)))
        best[-1][trie.rows(numbers[n - 1])] = np.maximum(own, cut)
        columns = {"ngram": ngrams, "n": np.full(len(count), n), "count": count, "pmi": own - cut, "log_p": own}
        tables.append(pyarrow.table(columns))
    return pyarrow.concat_tables(tables)


def choose_ngrams(counts: NGramCounts, settings: VocabularySettings | None = None) -> "pyarrow.Table":
    """Return the n-grams that belong together, by length and best first: columns ngram, n, count, pmi.

    Raises:
        InputError: No n-gram is frequent enough, or none has the least PMI.
    """
    import pyarrow

    settings = settings or VocabularySettings()
    measured = _measure(counts)
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


def _numbers(ngrams: "pyarrow.Array", n: int, words: "pyarrow.Array") -> np.ndarray:
    """Return the numbers of the words of each n-gram, int64 (N, n)."""
    from pyarrow import compute

    parts = compute.call_function("split_pattern", [ngrams], compute.SplitPatternOptions(" ")).flatten()
    numbers = compute.call_function("index_in", [parts], compute.SetLookupOptions(words))
    return numbers.to_numpy().astype(np.int64).reshape(-1, n)


def _likeliest_cut(trie: NGramTrie, numbers: np.ndarray, best: list[np.ndarray]) -> np.ndarray:
    """Return the log-probability of the likeliest segmentation of each n-gram into two or more pieces.

    Every cut leaves two sides, and each side is one piece or the best segmentation of itself.
    """
    cuts = []
    for k in range(1, numbers.shape[1]):
        left, right = numbers[:, :k], numbers[:, k:]
        cuts.append(best[k - 1][trie.rows(left)] + best[right.shape[1] - 1][trie.rows(right)])
    return np.max(cuts, axis=0)


def write_vocabulary(folder: Path, table: "pyarrow.Table", record: Mapping[str, Any]) -> None:
    """Write a folder that `check_folder` allowed; it replaces an older one."""
    with draft(folder) as new:
        new.mkdir()
        columns = zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True)
        write_table(new / TABLE, _COLUMNS, ((ngram, n, count, f"{pmi:.4f}") for ngram, n, count, pmi in columns))
        write_record(new / _RECORD, record)


def read_vocabulary(folder: str | Path) -> list[str]:
    """Return the n-grams of a folder, whose table may have been edited: only its column `ngram` is needed.

    Raises:
        InputError: The folder was not made by `diffmask pmi`, or a line of the table is broken.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; {_MAKE}")
    missing = next((name for name in (TABLE, _RECORD) if not (folder / name).is_file()), None)
    if missing is not None:
        raise InputError(f"folder {folder} has no {missing}, so it is not a vocabulary of n-grams; {_MAKE}")
    path = folder / TABLE
    with Table(path) as table:
        first_line = _read_rows(table)
    if not first_line:
        raise InputError(f"{path} contains no n-grams; {_MAKE}")
    return list(first_line)


def _read_rows(table: Table) -> dict[str, int]:
    """Return the n-grams, each with the line that it stands in."""
    path, place, place_of_n = table.path, table.find("ngram"), table.find("n")
    if place is None:
        raise InputError(f"{path} has no column `ngram` in its first line; give the column of the n-grams that name")
    first_line: dict[str, int] = {}
    for line, values in table.rows():
        if any(values):
            ngram, n = (values[at] if at is not None and at < len(values) else "" for at in (place, place_of_n))
            ngram = _read_ngram(ngram, n.strip(), f"{path}: line {line}")
            if first_line.setdefault(ngram, line) != line:
                raise InputError(f"{path}: lines {first_line[ngram]} and {line} both hold {ngram!r}; drop one")
    return first_line


def _read_ngram(entry: str, n: str, where: str) -> str:
    words = split_words(entry)
    if not 2 <= len(words) <= MAX_N:
        allowed = f"write two to {MAX_N} words there or drop the line"
        raise InputError(f"{where} has {entry!r} in the column `ngram`; {allowed}")
    if n and n != str(len(words)):
        raise InputError(f"{where} says n = {n}, but {entry!r} has {len(words)} words; correct or drop the line")
    return " ".join(words)
