"""Lay out the text of docs/results.md for `diffmask reproduce`, from files of papers, of general text and of sentences.

    python tools/prepare_evidence.py TEXTS DATA

TEXTS holds general_corpus.jsonl.gz (lines of {"text"}), domain/acl_papers.jsonl.gz (lines of {"title", "abstract",
"sections"}), domain/bio_sentences.txt.gz (a sentence a line) and the tasks chemprot/ and sciie/. In DATA each corpus
becomes a folder of train.jsonl and held-out.jsonl; of the longer corpora as many words are taken as the shortest has,
so that arms differ in what they read and not in how much there is. Documents that hold a text of a task's dev or test
are left out. Sentences that follow each other are joined to
documents, since a row of one sentence is mostly padding.
"""

import gzip
import json
import random
import re
import shutil
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

HELD_OUT = 20_000
"""Words that are held out of each corpus, in whole documents."""
SENTENCES = 8
"""So many make a document."""
TASKS = ("chemprot", "sciie")


def general(texts: Path) -> Iterator[str]:
    """Yield general English."""
    with gzip.open(texts / "general_corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from (json.loads(line)["text"] for line in lines)


def papers(texts: Path) -> Iterator[str]:
    """Yield papers on computational linguistics: title, abstract and sections."""
    with gzip.open(texts / "domain" / "acl_papers.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            paper = json.loads(line)
            sections = (f"{section['title']}\n{section['text']}" for section in paper["sections"])
            yield "\n".join([paper["title"], paper["abstract"], *sections])


def sentences(texts: Path) -> Iterator[str]:
    """Yield sentences of biomedicine, joined."""
    with gzip.open(texts / "domain" / "bio_sentences.txt.gz", "rt", encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip()]
    yield from ("\n".join(lines[at : at + SENTENCES]) for at in range(0, len(lines), SENTENCES))


CORPORA: dict[str, Callable[[Path], Iterator[str]]] = {"general": general, "papers": papers, "biomedicine": sentences}


def plain(text: str) -> str:
    """Return the words of a text, without case, punctuation and the brackets around what a task asks about.

    >>> plain("An [[ NLP ]] << system >>.")
    ' an nlp system '
    """
    return " ".join(["", *re.findall(r"[^\W_]+", text.lower()), ""])


def without_tests(documents: list[str], texts: Path) -> list[str]:
    """Return the documents in which no text stands that a task is tested or tuned on."""
    asked = set()
    for path in (texts / task / f"{split}.jsonl" for task in TASKS for split in ("dev", "test")):
        asked |= {plain(json.loads(line)["text"]) for line in path.read_text(encoding="utf-8").splitlines()}
    return [text for text in documents if not any(each in whole for whole in [plain(text)] for each in asked)]


def take(documents: list[str], most: int) -> list[str]:
    """Return documents from the start on, until they have that many words."""
    ends = list(accumulate(len(text.split()) for text in documents))
    return documents[: bisect_left(ends, most) + 1]


def write(path: Path, documents: list[str]) -> int:
    """Write documents as lines of JSON, and return the number of their words."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    return sum(len(text.split()) for text in documents)


def main(texts: Path, data: Path) -> None:
    """Write all corpora and copy the tasks."""
    corpora = {name: [text for text in read(texts) if text.strip()] for name, read in CORPORA.items()}
    most = min(sum(len(text.split()) for text in documents) for documents in corpora.values())
    for name, documents in corpora.items():
        random.Random(0).shuffle(documents)  # neighbours in a file are of one source
        alone = without_tests(documents, texts)
        kept = take(alone, most)
        held_out = take(kept, HELD_OUT)
        train = kept[len(held_out) :]
        words = write(data / name / "train.jsonl", train), write(data / name / "held-out.jsonl", held_out)
        print(
            f"{name}: {words[0]:,} words in {len(train):,} documents, {words[1]:,} held out;"
            f" {len(documents) - len(alone):,} left out that hold a text of a task's dev or test"
        )
    for task in TASKS:
        shutil.copytree(texts / task, data / task, dirs_exist_ok=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
