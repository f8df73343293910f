"""Importance by hashed n-grams: how much more likely a document is among the target's texts than in the pool.

Words and pairs of neighbouring words fall into 10,000 buckets. The log weight of a document is the sum over its n-grams
of log p(bucket | target) - log p(bucket | pool). With Gumbel noise on the log weights, the documents with the highest
sums are a sample without replacement by these weights (DSIR: Xie et al. 2023, arXiv 2302.03169).

There all documents are of one length. Here a long one counts as if it had as many n-grams as those of the pool have on
average, since a sum takes the longest of what is likely, and then the shortest of what is not: see
`docs/select-text.md`.
"""

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from diffmask.core.noise import DOCUMENTS, keys, row_uniforms
from diffmask.selective.relevance.pool import Batch, Pool
from diffmask.text.corpus.words import split_words

NUM_BUCKETS = 10_000
_MULTIPLIER, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(33)
_MOST_KNOWN = 1 << 20
"""Words whose hashes are kept, so that memory does not grow with the pool."""
_TEXTS = 1024


class NgramWeights:
    """Log weights of documents, with noise that makes the best of them a sample.

    Args:
        target: What documents should be like.
        pool: What they are chosen from; all of it is read once.
        seed: Decides the noise.
    """

    def __init__(self, target: Sequence[str], pool: Pool, seed: int):
        self._seed = seed
        self._hashes: dict[str, int] = {}
        of_target, _ = self._count(target[start : start + _TEXTS] for start in range(0, len(target), _TEXTS))
        of_pool, num_documents = self._count(batch.texts() for batch in pool.batches("counting n-grams"))
        self._log_ratio = np.log(_shares(of_target)) - np.log(_shares(of_pool))
        self._mean_length = of_pool.sum() / num_documents

    def score(self, batch: Batch) -> np.ndarray:
        """Return the score of each document, float64 (N,)."""
        rows, buckets = self._ngrams(batch.texts())
        sums = np.bincount(rows, self._log_ratio[buckets], len(batch.documents))
        lengths = np.bincount(rows, minlength=len(batch.documents))
        return self._mean_length * sums / np.maximum(lengths, 1) + gumbel(self._seed, batch)

    def _count(self, parts: Iterable[Sequence[str]]) -> tuple[np.ndarray, int]:
        """Return how many n-grams of texts fall into each bucket, and the number of texts."""
        counts, num_texts = np.zeros(NUM_BUCKETS, np.int64), 0
        for texts in parts:
            counts += np.bincount(self._ngrams(texts)[1], minlength=NUM_BUCKETS)
            num_texts += len(texts)
        return counts, num_texts

    def _ngrams(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the row and the bucket of each word and each pair of neighbouring words of the texts."""
        words = [split_words(text) for text in texts]
        if len(self._hashes) > _MOST_KNOWN:
            self._hashes.clear()
        known = self._hashes
        for word in {word for text in words for word in text}.difference(known):
            known[word] = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        rows = np.repeat(np.arange(len(texts)), [len(text) for text in words])
        hashes = np.array([known[word] for text in words for word in text], np.uint64)
        inside = rows[1:] == rows[:-1]
        pairs = (_bucket_bits(hashes[:-1]) + hashes[1:] + np.uint64(1))[inside]
        bits = _bucket_bits(np.concatenate([hashes, pairs]))
        return np.concatenate([rows, rows[1:][inside]]), (bits % np.uint64(NUM_BUCKETS)).astype(np.int64)


def gumbel(seed: int, batch: Batch) -> np.ndarray:
    """Return Gumbel noise for each document, float64 (N,): the highest of many is each of them equally often."""
    places = torch.arange(batch.first, batch.first + len(batch.documents))
    return -np.log(-np.log(row_uniforms(keys(seed, 0, places, stream=DOCUMENTS)).numpy()))


def _bucket_bits(hashes: np.ndarray) -> np.ndarray:
    mixed = (hashes ^ (hashes >> _SHIFT)) * _MULTIPLIER  # products wrap, as the hash needs
    return mixed ^ (mixed >> _SHIFT)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Return the share of each bucket; one is added to each, since few texts leave many of them empty."""
    return (counts + 1) / (counts + 1).sum()
