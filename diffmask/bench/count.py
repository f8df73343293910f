"""Speed and memory of counting words against scikit-learn's CountVectorizer, on one core, in one run.

    run(["corpus.txt.gz"]) -> rows with name, MB/s, ratio to CountVectorizer, peak memory

A contestant runs alone in a fresh process. CountVectorizer gets the texts ready in memory; so does `count_words`, and
`count_corpus` must read, decompress and parse the files as well.
"""

import multiprocessing
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from diffmask.text.corpus.documents import Sources, read_documents

PEER = "scikit-learn CountVectorizer (texts in memory)"
OURS = "diffmask count_words (texts in memory)"
OURS_WITH_READING = "diffmask count_corpus (reads the files)"


def run(paths: Sources, column: str | None = None, num_repeats: int = 3) -> list[dict[str, Any]]:
    """Return one row for each contestant: its best time, and the memory it needs beside the texts it is given.

    `mb_per_second` is of text as UTF-8, however the files are compressed; seconds are of the processor, so that other
    work on the machine counts less. `peak_mb` is None where the system does not tell (it is read from /proc).
    """
    num_bytes = sum(len(document.text.encode()) for document in read_documents(paths, column))
    rows = []
    for name in (PEER, OURS, OURS_WITH_READING):
        # a fresh process, so that the memory of one is not counted for the next
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            seconds, peak_mb = pool.submit(_measure, name, paths, column, num_repeats).result()
        speed = num_bytes / 1e6 / seconds
        ratio = speed / rows[0]["mb_per_second"] if rows else 1.0
        rows.append({"name": name, "mb_per_second": speed, "ratio": ratio, "seconds": seconds, "peak_mb": peak_mb})
    return rows


def _measure(name: str, paths: Sources, column: str | None, num_repeats: int) -> tuple[float, float | None]:
    """Return the best time and the growth of memory."""
    in_memory = name != OURS_WITH_READING
    texts = [document.text for document in read_documents(paths, column)] if in_memory else []
    count = _contestant(name, paths, column)
    before = memory("VmRSS")
    times = []
    for _ in range(num_repeats):
        start = time.process_time()
        count(texts)
        times.append(time.process_time() - start)
    peak = memory("VmHWM")
    return min(times), None if before is None or peak is None else peak - before


def _contestant(name: str, paths: Sources, column: str | None) -> Callable[[list[str]], Any]:
    """Return what is timed; its imports and tables are there already."""
    import pyarrow  # noqa: F401 - what count_corpus imports when it decompresses
    import tqdm  # noqa: F401

    from diffmask.text.corpus.counts import count_corpus
    from diffmask.text.corpus.words import count_words

    count_words(["warm"])
    if name == PEER:
        from sklearn.feature_extraction.text import CountVectorizer

        return lambda texts: CountVectorizer().fit_transform(texts)
    return count_words if name == OURS else lambda _: count_corpus(paths, column)


def memory(field: str) -> float | None:
    """Return a line of /proc/self/status in megabytes: memory now (VmRSS), or at its peak (VmHWM)."""
    status = Path("/proc/self/status")
    found = re.search(rf"{field}:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else None
