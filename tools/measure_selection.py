"""Measure how much of the right domain `diffmask select-text` finds in a mixed pool: `docs/select-text.md`.

    python tools/measure_selection.py bio.txt.gz general.jsonl.gz --like chemprot/ --right bio.txt.gz

The texts of each file are cut into documents of the same number of words, so that length does not tell the files apart,
and as many of each make the pool; or, to see what length does, of numbers between a half and four times that.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from diffmask.selective.relevance.select import DIFFERENCE, NEIGHBOURS, WAYS, Selection, SelectionSettings, select_text
from diffmask.text.corpus.documents import read_documents

SHARES = (0.01, 0.05, 0.2)


def pieces(source: str, num_words: int, *, mixed: bool) -> Iterator[str]:
    """Yield texts of so many words: short ones are joined, and long ones cut."""
    rng, left, size = random.Random(0), [], num_words
    for document in read_documents([source]):
        left += document.text.split()
        while len(left) >= size:
            yield " ".join(left[:size])
            left = left[size:]
            size = round(num_words * 2 ** rng.uniform(-1, 2)) if mixed else num_words


def write_pool(folder: Path, sources: list[str], options: argparse.Namespace) -> list[str]:
    """Write so many documents of each source, spread over it, and return the names of the files."""
    names = []
    for source in sources:
        found = list(pieces(source, options.words, mixed=options.mixed_lengths))
        chosen = random.Random(0).sample(found, min(options.number, len(found)))
        path = folder / f"{Path(source).name.partition('.')[0]}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in chosen))
        names.append(str(path))
    return names


def shares_of(selection: Selection, right: int) -> list[str]:
    """Return, for each share of the pool, how much of what is taken is of the right file, and its mean length."""
    numbers = [source["num_documents"] for source in selection.record["pool"]]
    file_of = np.repeat(np.arange(len(numbers)), numbers)
    lengths = np.array([len(each.text) for batch in selection.pool.batches("lengths") for each in batch.documents])
    cells = []
    for share in SHARES:
        taken = selection.order[: round(share * len(file_of))]
        cells.append(f"{100 * (file_of[taken] == right).mean():.1f} % ({lengths[taken].mean():.0f})")
    return cells


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="texts: .txt (a line is a text), .jsonl, .csv, .parquet")
    parser.add_argument("--like", nargs="+", required=True, help="the task, or texts of the domain")
    parser.add_argument("--right", required=True, help="the one of the files that is of that domain")
    parser.add_argument("--model", default="minilm", help="for %(prog)s's ways that read one (default: %(default)s)")
    parser.add_argument("--by", nargs="+", default=list(WAYS), help="ways to measure (default: all)")
    parser.add_argument("--number", type=int, default=2000, help="documents of each file (default: %(default)s)")
    parser.add_argument("--words", type=int, default=40, help="words of a document (default: %(default)s)")
    parser.add_argument("--mixed-lengths", action="store_true", help="documents of a half to four times so many words")
    options = parser.parse_args()
    print(f"| way | {' | '.join(f'{100 * share:g} %' for share in SHARES)} | MB/s | seconds | peak memory, MB |")
    print("|---|" + "---|" * (len(SHARES) + 3))
    with tempfile.TemporaryDirectory() as folder:
        pool = write_pool(Path(folder), options.files, options)
        for way in options.by:
            start = time.perf_counter()
            model = options.model if way in (DIFFERENCE, NEIGHBOURS) else None
            selection = select_text(SelectionSettings(pool, options.like, way, share=max(SHARES), model=model))
            seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            cells = " | ".join(shares_of(selection, options.files.index(options.right)))
            rate = selection.record["megabytes_per_second"]
            print(f"| {way} | {cells} | {rate:.3g} | {seconds:.1f} | {peak:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
