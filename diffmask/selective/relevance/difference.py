"""Difference: how much the words of a document belong to what makes the domain different, by a table of anchors."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffmask.core.errors import InputError
from diffmask.selective.relevance.pool import Batch
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.anchors.find import AnchorSettings, build_anchors
from diffmask.text.corpus.words import count_words, split_words

_LEAST_WORDS = 2_000
"""In fewer words hardly any occurs ten times, which an anchor has to."""


class DifferenceScores:
    """Mean score of a document's words in the types table of anchors.

    A word that is not in the table scores as the lowest one in it: a domain that never uses it does not say it. It is a
    mean, so that a long document is no closer than a short one; that of a few words is further from the middle by
    chance.

    Args:
        anchors: The anchors.
    """

    def __init__(self, anchors: AnchorSet):
        self._language = anchors.language
        self._score_of = dict(zip(anchors.types, anchors.scores.tolist(), strict=True))
        self._unknown = anchors.scores.min().item()

    def score(self, batch: Batch) -> np.ndarray:
        """Return the score of each document, float64 (N,)."""
        words = [split_words(text, self._language) for text in batch.texts()]
        lengths = np.array([len(found) for found in words])
        scores = np.fromiter((self._score_of.get(word, self._unknown) for found in words for word in found), float)
        sums = np.bincount(np.repeat(np.arange(len(words)), lengths), scores, len(words))
        return sums / np.maximum(lengths, 1)


def find_anchors(target: Sequence[str], reference: Sequence[str], model: str, device: str) -> AnchorSet:
    """Return the anchors of the target's texts.

    Args:
        target: The texts.
        reference: What they are compared with, see `read_reference`.
        model: What embeds their words.
        device: auto, cpu, cuda, ...

    Raises:
        InputError: If there are too few texts, or the reference or the model cannot be used.
    """
    num_words = count_words(target).total()
    if num_words < _LEAST_WORDS:
        raise InputError(
            f"--like has {num_words:,} words, and {_LEAST_WORDS:,} at least are needed to find what makes them "
            "different; give more texts, anchors of `diffmask anchors` with --anchors, or --by neighbours"
        )
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "like.jsonl"
        texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in target))
        return build_anchors(AnchorSettings([str(texts)], model, reference, device=device))
