"""Neighbours: the documents that lie nearest to the target's texts in the space of an encoder.

As in kNN-TAPT (Gururangan et al. 2020, "Don't Stop Pretraining", section 4.2), where each text of a task took its 50,
150 or 500 nearest documents.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffmask.core.types import Embeddings
from diffmask.selective.relevance.pool import Batch
from diffmask.text.anchors.encoder import Encoder

_TEXTS = 512
_NONE = -1


class NearestScores:
    """Cosine similarity of a document to the text of the target that is nearest to it.

    Texts are the mean of their tokens' states, of unit length, so that their length does not count; of a long one the
    beginning is read.

    Args:
        target: What documents should be like.
        encoder: What embeds them.
        per_text: Number of documents that each text takes; None does not look for them.
    """

    def __init__(self, target: Sequence[str], encoder: Encoder, per_text: int | None = None):
        self._encoder = encoder
        with tqdm(total=len(target), desc="embedding texts", unit="text", disable=None, leave=False) as bar:
            parts = []
            for start in range(0, len(target), _TEXTS):
                parts.append(encoder.embed_texts(target[start : start + _TEXTS]))
                bar.update(len(parts[-1]))
        self._target: Embeddings = torch.cat(parts)
        self._nearest = None if per_text is None else Nearest(len(target), per_text)

    def score(self, batch: Batch) -> np.ndarray:
        """Return the score of each document, float64 (N,)."""
        embeddings = self._encoder.embed_texts(batch.texts())
        best = torch.full((len(embeddings),), -torch.inf)
        for start in range(0, len(self._target), _TEXTS):
            similarity = self._target[start : start + _TEXTS] @ embeddings.T
            best = torch.maximum(best, similarity.amax(0))
            if self._nearest is not None:
                self._nearest.add(start, similarity, batch.first)
        return best.double().numpy()

    def taken(self) -> np.ndarray:
        """Return the places of the documents that are among the nearest of any text, in order, int64."""
        assert self._nearest is not None
        return self._nearest.documents()


class Nearest:
    """The documents nearest to each text, found while all go by; memory holds so many for each text.

    Args:
        num_texts: Number of texts.
        per_text: Number of documents that are kept for each.
    """

    def __init__(self, num_texts: int, per_text: int):
        self._similarity = torch.full((num_texts, per_text), -torch.inf)
        self._document = torch.full((num_texts, per_text), _NONE)

    def add(self, first_text: int, similarity: Tensor, first_document: int) -> None:
        """Let documents go by.

        Args:
            first_text: Row of the first of the texts.
            similarity: Of each of these texts to each document, (T, N).
            first_document: Place of the first document.
        """
        rows = slice(first_text, first_text + len(similarity))
        places = torch.arange(first_document, first_document + similarity.shape[1]).expand(len(similarity), -1)
        both = torch.cat([self._similarity[rows], similarity], 1)
        documents = torch.cat([self._document[rows], places], 1)
        best = both.topk(self._similarity.shape[1], 1)
        self._similarity[rows], self._document[rows] = best.values, documents.gather(1, best.indices)

    def documents(self) -> np.ndarray:
        """Return the places of all that were kept, in order, int64."""
        found = self._document.unique().numpy()
        return found[found != _NONE]
