"""Pool: the documents that are chosen from, read in batches as often as is needed; memory does not grow with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from diffmask.core.errors import InputError
from diffmask.text.corpus.documents import Document, Reading, Sources, list_files

_BLOCK_BYTES = 1 << 18
_MOST_DOCUMENTS = 512


class Batch(NamedTuple):
    """Documents that stand together in the pool."""

    first: int
    """Place of the first of them among all documents of the pool, from 0."""
    documents: list[Document]

    def texts(self) -> list[str]:
        """Return their texts."""
        return [document.text for document in self.documents]


class Pool:
    """Files whose documents are chosen from.

    Args:
        sources: Files, folders, globs, datasets on disk: see `list_files`.
        column: Name of the text column; None finds it.

    Attributes:
        files: The files.
        column: As given.

    Raises:
        InputError: If a source does not exist.
    """

    def __init__(self, sources: Sources, column: str | None = None):
        self.files: list[Path] = list_files(sources, column)
        self.column = column
        self._num_documents: int | None = None

    def batches(self, what: str) -> Iterator[Batch]:
        """Yield all documents in the order of the files, and show how far it is.

        Args:
            what: What is done with them, for the progress bar.

        Raises:
            InputError: If a file cannot be read or has no text in it, or there are more or fewer documents than before.
        """
        reading, first = Reading(self.files, self.column), 0
        index_of = {str(path): index for index, path in enumerate(self.files)}
        with tqdm(desc=what, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            for block in reading.blocks(_BLOCK_BYTES, bar):
                index = index_of[block.path]
                found = [Document(text, block.path, number, index) for number, text in block.texts()]
                reading.add_texts(block.path, len(found))
                for start in range(0, len(found), _MOST_DOCUMENTS):
                    part = found[start : start + _MOST_DOCUMENTS]
                    yield Batch(first, part)
                    first += len(part)
        reading.refuse_empty()
        reading.tell()
        if self._num_documents not in (None, first):
            raise InputError(
                f"the pool had {self._num_documents:,} documents when it was read first, and has {first:,} now; "
                "wait until nobody writes to it, and give the same command again"
            )
        self._num_documents = first

    def at(self, places: np.ndarray, what: str) -> Iterator[tuple[int, Document]]:
        """Yield documents with their places, in the order of the pool; see `batches`."""
        wanted = np.sort(places)
        for batch in self.batches(what):
            low, high = np.searchsorted(wanted, [batch.first, batch.first + len(batch.documents)])
            for place in wanted[low:high].tolist():
                yield place, batch.documents[place - batch.first]
