"""Measure what the leakage report finds on a task built with known duplicates; `docs/leakage.md` is made with it.

    python tools/measure_leakage.py bio_sentences.txt.gz --distinct general_corpus.jsonl.gz

Texts of 8 words and more of the first file are the training split. The test split has, of each kind, copies of them
that were changed in one way, and as many texts that are not copies: from the rest of the file and from other files.
"""

import argparse
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from diffmask.tasks.leakage import Overlap, find_leakage
from diffmask.text.corpus.documents import read_documents

LEAST_WORDS = 8
Change = Callable[[str, "Random"], str]


class Random(random.Random):
    """A generator that also draws words to put in."""

    words: list[str]


def edited(text: str, rng: Random, share: float = 0.1) -> str:
    """Replace, delete or insert a share of the words, at least one; two in three edits keep the length or add."""
    words = text.split()
    for place in sorted(rng.sample(range(len(words)), max(1, round(share * len(words)))), reverse=True):
        match rng.randrange(3):
            case 0:
                words[place] = rng.choice(rng.words)
            case 1:
                del words[place]
            case _:
                words.insert(place, rng.choice(rng.words))
    return " ".join(words)


def shortened(text: str, rng: Random) -> str:
    """Drop a clause at the end: up to four tenths of the words, where there is a comma at the comma."""
    words = text.split()
    places = [place for place in range(round(0.6 * len(words)), len(words)) if words[place - 1].endswith((",", ";"))]
    return " ".join(words[: rng.choice(places or range(round(0.6 * len(words)), len(words)))])


def marked(text: str, rng: Random) -> str:
    """Put markers around two words."""
    words = text.split()
    first, second = rng.sample(range(len(words)), 2)
    words[first], words[second] = f"<< {words[first]} >>", f"[[ {words[second]} ]]"
    return " ".join(words)


CHANGES: dict[str, Change] = {
    "exact": lambda text, rng: text,
    "case and white space": lambda text, rng: "  ".join(text.upper().split()),
    "punctuation": lambda text, rng: re.sub(r"[^\w\s]", " ", text) + " !",
    "markers": marked,
    "one word": lambda text, rng: edited(text, rng, 0),
    "a tenth of the words": edited,
    "clause dropped": shortened,
    "a tenth, and clause dropped": lambda text, rng: edited(shortened(text, rng), rng),
}
FOUND_AS = {"exact": "exact", "case and white space": "exact", "punctuation": "same_words", "markers": "same_words"}


@dataclass(frozen=True)
class Measured:
    """Copies of one kind: how many there are, how many were found, and what the report counts."""

    num_texts: int
    num_found: int
    overlap: Overlap


def plant(texts: list[str], change: Change, seed: int) -> list[str]:
    """Return a changed copy of each text, in another order."""
    rng = Random(seed)
    rng.words = " ".join(texts).split()
    copies = [change(text, rng) for text in texts]
    rng.shuffle(copies)
    return copies


def measure(training: list[str], test: list[str]) -> Measured:
    """Return how many of the test texts are reported to stand in the training texts."""
    leakage = find_leakage({"train": training, "test": test})
    return Measured(len(test), leakage.unseen("test").count(False), leakage.between[0])


def read_texts(source: str, number: int) -> list[str]:
    """Return distinct texts of a file, spread over it."""
    found = dict.fromkeys(document.text for document in read_documents([source]))
    long = [text for text in found if len(text.split()) >= LEAST_WORDS]
    return random.Random(0).sample(long, min(number, len(long)))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="texts: .txt (a line is a text), .jsonl, .csv, .parquet")
    parser.add_argument("--distinct", nargs="*", default=[], metavar="FILE", help="files with other texts")
    parser.add_argument("--number", type=int, default=5000, metavar="N", help="training texts (default: %(default)s)")
    options = parser.parse_args()
    texts = read_texts(options.file, 2 * options.number)
    training, rest = texts[: options.number], texts[options.number :]
    rows = {name: plant(training, change, seed) for seed, (name, change) in enumerate(CHANGES.items())}
    rows |= {f"no copies: {options.file}": rest}
    rows |= {f"no copies: {file}": read_texts(file, options.number) for file in options.distinct}
    print("| test texts | number | found | word for word | but for punctuation | nearly | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, test in rows.items():
        start = time.perf_counter()
        found = measure(training, test)
        counts = f"{found.overlap.exact:,} | {found.overlap.same_words:,} | {found.overlap.near:,}"
        share = f"{found.num_found:,} ({100 * found.num_found / found.num_texts:.2f} %)"
        print(f"| {name} | {found.num_texts:,} | {share} | {counts} | {time.perf_counter() - start:.1f} |")


if __name__ == "__main__":
    main()
