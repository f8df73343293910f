"""Speed and memory of counting n-grams against scikit-learn's CountVectorizer, on one core, in one run.

    run(["corpus.txt.gz"]) -> rows with name, words/s, ratio to CountVectorizer, seconds, peak memory

A contestant runs alone in a fresh process. CountVectorizer gets the texts ready in memory and keeps all n-grams there;
`count_ngrams` must read, decompress and parse the files as well, and works on disk. The last row is the other end:
texts in memory are cut into the n-grams that were found.
"""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from diffmask.bench.count import memory
from diffmask.text.corpus.documents import Sources, read_documents

PEER = "scikit-learn CountVectorizer, ngram_range=(1, 5) (texts in memory)"
OURS = "diffmask count_ngrams (reads the files)"
CUTTING = "diffmask NGramLookup.share_in (finds n-grams in texts)"


def run(paths: Sources, column: str | None = None) -> list[dict[str, Any]]:
    """Return one row for each contestant: words a second of the processor, and memory beside the texts it is given.

    `peak_mb` is None where the system does not tell (it is read from /proc), and for the last row, whose process needed
    more before, to find the n-grams.
    """
    from diffmask.text.corpus.counts import count_corpus

    num_words = count_corpus(paths, column).num_words
    rows = []
    for name in (PEER, OURS, CUTTING):
        # a fresh process, so that the memory of one is not counted for the next
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            seconds, peak_mb = pool.submit(_measure, name, paths, column).result()
        speed = num_words / seconds
        ratio = speed / rows[0]["words_per_second"] if rows else 1.0
        rows.append({"name": name, "words_per_second": speed, "ratio": ratio, "seconds": seconds, "peak_mb": peak_mb})
    return rows


def _measure(name: str, paths: Sources, column: str | None) -> tuple[float, float | None]:
    """Return the time and the growth of memory."""
    texts = [] if name == OURS else [document.text for document in read_documents(paths, column)]
    work = _contestant(name, paths, column)
    before = memory("VmRSS")
    start = time.process_time()
    work(texts)
    seconds = time.process_time() - start
    peak = memory("VmHWM")
    return seconds, None if before is None or peak is None or name == CUTTING else peak - before


def _contestant(name: str, paths: Sources, column: str | None) -> Callable[[list[str]], Any]:
    """Return what is timed; its imports and tables are there already."""
    import pyarrow  # noqa: F401 - what count_ngrams imports
    import tqdm  # noqa: F401

    from diffmask.text.ngrams.annotator import NGramLookup
    from diffmask.text.ngrams.counts import NGramSettings, count_ngrams, count_texts
    from diffmask.text.ngrams.vocabulary import VocabularySettings, choose_ngrams

    count_texts(["warm"])
    settings = NGramSettings(column=column)
    if name == PEER:
        from sklearn.feature_extraction.text import CountVectorizer

        return lambda texts: CountVectorizer(ngram_range=(1, settings.max_n)).fit_transform(texts)
    if name == OURS:
        return lambda _: count_ngrams(paths, settings=settings)
    kept = choose_ngrams(count_ngrams(paths, settings=settings), VocabularySettings(min_pmi=0.0))
    lookup = NGramLookup.of(kept["ngram"].to_pylist())
    return lookup.share_in
