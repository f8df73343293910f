"""Copies: documents that are texts to evaluate on, or nearly, and documents that are in the pool already."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from diffmask.selective.relevance.pool import Pool
from diffmask.tasks.leakage import KINDS, find_leakage
from diffmask.text.corpus.documents import Document

REPEATED = "repeated"
NUM_EXAMPLES = 10
_COMPARED = 2_000
"""Documents that are compared with texts to evaluate on at a time."""
_SPARE = 50
"""Documents that are compared beyond those that are wanted: for a few copies the pool is not read again."""


@dataclass(frozen=True)
class Copy:
    """A document that is a text to evaluate on, or nearly.

    Attributes:
        document: The document.
        twin: The text that it is a copy of.
        kind: One of `leakage.KINDS`.
    """

    document: Document
    twin: str
    kind: str


class Copies:
    """Those among the best documents that are left out.

    Args:
        texts: Texts to evaluate on.

    Attributes:
        places: Their places in the pool.
        counts: How many there are of each kind: those of `leakage.KINDS` are copies of the texts, and `REPEATED` ones
            are word for word another document that was compared.
        examples: A few copies of texts.
        num_compared: Number of documents that were compared, copies included.
    """

    def __init__(self, texts: list[str]):
        self._texts = texts
        self._seen: set[bytes] = set()
        self.places: list[int] = []
        self.counts: Counter[str] = Counter(dict.fromkeys([*KINDS, REPEATED], 0))
        self.examples: list[Copy] = []
        self.num_compared = 0

    @property
    def num_of_texts(self) -> int:
        """Number of documents that are copies of texts to evaluate on."""
        return sum(self.counts[kind] for kind in KINDS)

    def compare(self, documents: Iterable[tuple[int, Document]]) -> None:
        """Add what is a copy among more documents, given with their places."""
        documents = iter(documents)
        while part := list(islice(documents, _COMPARED)):
            is_copy = self._of_texts([document for _, document in part])
            for (place, document), left_out in zip(part, is_copy, strict=True):
                digest = hashlib.blake2b(document.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
                if left_out or digest in self._seen:
                    self.places.append(place)
                    self.counts[REPEATED] += not left_out
                self._seen.add(digest)
            self.num_compared += len(part)

    def _of_texts(self, documents: Sequence[Document]) -> Sequence[bool]:
        """Return which documents are copies of texts, and count them."""
        if not self._texts:
            return [False] * len(documents)
        leakage = find_leakage({"texts": self._texts, "pool": [document.text for document in documents]})
        overlap = leakage.between[0]
        self.counts.update({kind: getattr(overlap, kind) for kind in KINDS})
        for example in overlap.examples[: NUM_EXAMPLES - len(self.examples)]:
            twin = Copy(documents[example["text"]], self._texts[example["twin"]], example["kind"])
            self.examples.append(twin)
        return leakage.elsewhere["pool"].tolist()


def find_copies(pool: Pool, order: np.ndarray, number: int, texts: list[str]) -> Copies:
    """Return what is left out, looking on until enough other documents are found.

    Args:
        pool: What is chosen from.
        order: Places of its documents, best first.
        number: How many are wanted.
        texts: Texts to evaluate on.
    """
    copies = Copies(texts)
    while copies.num_compared < min(number + len(copies.places), len(order)):
        more = number // 20 + _SPARE + 2 * len(copies.places)
        wanted = order[copies.num_compared : min(len(order), number + more)]
        copies.compare(pool.at(wanted, "leaving out copies"))
    return copies
