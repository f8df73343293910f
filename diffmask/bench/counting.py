"""Counting words and n-grams against scikit-learn's CountVectorizer, on one core: speed and memory.

    run_words(["corpus.txt.gz"])  -> rows with name, MB/s, ratio to CountVectorizer, seconds, peak memory
    run_ngrams(["corpus.txt.gz"]) -> the same, with words/s

Each contender has a process of its own, and they take turns. CountVectorizer is given the texts in memory, as are
`count_words` and `NGramLookup.share_in`, which finds the n-grams of texts; `count_corpus` and `count_ngrams` must also
read, decompress and parse the files.
"""

import contextlib
import multiprocessing
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmask.text.corpus.documents import Sources, read_documents

WORDS = (
    "scikit-learn CountVectorizer (texts in memory)",
    "diffmask count_words (texts in memory)",
    "diffmask count_corpus (reads the files)",
)
NGRAMS = (
    "scikit-learn CountVectorizer, ngram_range=(1, 5) (texts in memory)",
    "diffmask count_ngrams (reads the files)",
    "diffmask NGramLookup.share_in (finds n-grams in texts)",
)


def run_words(paths: Sources, column: str | None = None, num_repeats: int = 3) -> list[dict[str, Any]]:
    """Return a row for each contender that counts words; speed is in megabytes of text as UTF-8.

    Args:
        paths: Files of text, compressed or not.
        column: Column of the text, if the files are tables.
        num_repeats: Number of runs of each contender; the fastest counts.
    """
    num_bytes = sum(len(document.text.encode()) for document in read_documents(paths, column))
    return _run(WORDS, "mb_per_second", num_bytes / 1e6, (paths, column, num_repeats))


def run_ngrams(paths: Sources, column: str | None = None) -> list[dict[str, Any]]:
    """Return a row for each contender that counts or finds n-grams; speed is in words. See `run_words`."""
    from diffmask.text.corpus.counts import count_corpus

    return _run(NGRAMS, "words_per_second", count_corpus(paths, column).num_words, (paths, column, 1))


def _run(names: Sequence[str], unit: str, amount: float, task: tuple[Sources, str | None, int]) -> list[dict[str, Any]]:
    """Return a row for each contender: speed, ratio to the first one's, seconds, memory used beyond its input.

    Seconds are of the processor, since other work on the machine affects them less. `peak_mb` is None if the system
    does not tell (it is read from /proc), and for `NGramLookup.share_in`, since finding the n-grams took more before.
    """
    paths, column, num_repeats = task
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        # processes of their own, so that the memory of one contender is not counted for the next
        pools = {
            name: stack.enter_context(
                ProcessPoolExecutor(1, context, initializer=_prepare, initargs=(name, paths, column))
            )
            for name in names
        }
        for pool in pools.values():
            pool.submit(_warm).result()
        times = [{name: pool.submit(_turn).result() for name, pool in pools.items()} for _ in range(num_repeats)]
        peaks = {name: pool.submit(_peak).result() for name, pool in pools.items()}
    seconds = {name: min(turn[name] for turn in times) for name in names}
    return [
        {
            "name": name,
            unit: amount / seconds[name],
            "ratio": seconds[names[0]] / seconds[name],
            "seconds": seconds[name],
            "peak_mb": None if name == NGRAMS[2] else peaks[name],
        }
        for name in names
    ]


@dataclass(frozen=True)
class _Contender:
    """What one process times: its work, the texts it is given, and its memory before, in megabytes."""

    work: Callable[[list[str]], Any]
    texts: list[str]
    memory: float | None


_contenders: list[_Contender] = []
"""The contender of this process."""


def _prepare(name: str, paths: Sources, column: str | None) -> None:
    reads = name.endswith("(reads the files)")
    texts = [] if reads else [document.text for document in read_documents(paths, column)]
    work = _contender(name, paths, column)
    _contenders.append(_Contender(work, texts, _memory("VmRSS")))


def _warm() -> None:
    """Do nothing: a process prepares itself before its first call, while no other is timed."""


def _turn() -> float:
    """Return the processor seconds of one run."""
    contender = _contenders[0]
    start = time.process_time()
    contender.work(contender.texts)
    return time.process_time() - start


def _peak() -> float | None:
    """Return by how much memory has grown at most, in megabytes; None if the system does not tell."""
    before, peak = _contenders[0].memory, _memory("VmHWM")
    return None if before is None or peak is None else peak - before


def _contender(name: str, paths: Sources, column: str | None) -> Callable[[list[str]], Any]:
    """Return what is timed; its imports and tables are loaded here, before the clock starts."""
    import pyarrow  # noqa: F401 - imported by count_corpus and count_ngrams while they read
    import tqdm  # noqa: F401

    from diffmask.text.corpus.counts import count_corpus
    from diffmask.text.corpus.words import count_words
    from diffmask.text.ngrams.annotator import NGramLookup
    from diffmask.text.ngrams.counts import NGramSettings, count_ngrams, count_texts
    from diffmask.text.ngrams.vocabulary import VocabularySettings, choose_ngrams

    count_words(["warm"])
    count_texts(["warm"])
    settings = NGramSettings(column=column)
    if name in (WORDS[0], NGRAMS[0]):
        from sklearn.feature_extraction.text import CountVectorizer

        longest = 1 if name == WORDS[0] else settings.max_n
        return lambda texts: CountVectorizer(ngram_range=(1, longest)).fit_transform(texts)
    if name == WORDS[1]:
        return count_words
    if name == WORDS[2]:
        return lambda _: count_corpus(paths, column)
    if name == NGRAMS[1]:
        return lambda _: count_ngrams(paths, settings=settings)
    kept = choose_ngrams(count_ngrams(paths, settings=settings), VocabularySettings(min_pmi=0.0))
    return NGramLookup.of(kept["ngram"].to_pylist()).share_in


def _memory(field: str) -> float | None:
    """Return a line of /proc/self/status in megabytes: memory now (VmRSS), or at its peak (VmHWM)."""
    status = Path("/proc/self/status")
    found = re.search(rf"{field}:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else None
