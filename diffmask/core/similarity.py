"""Similarity of types to a domain, from their embeddings; a score per type, higher = masked more often.

e = embedding of a type, A = anchors, C = the most common words. `docs/scorers.md` measures the choices.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import Embeddings, TypeScores

NUM_NEAREST = 3
ANCHOR_SHARE = 0.2
"""Weight of the anchors in the default score; the rest is the likeness. 0.1 to 0.3 measure alike."""
_CHUNK = 1 << 16

Reduction = Callable[[Tensor], Tensor]

REDUCTIONS: dict[str, Reduction] = {
    "max": lambda cosines: cosines.amax(1),
    "mean": lambda cosines: cosines.mean(1),
    "min": lambda cosines: cosines.amin(1),
    "nearest": lambda cosines: cosines.topk(min(NUM_NEAREST, cosines.shape[1])).values.mean(1),
}
"""How the cosines to all anchors become one number; `nearest` is the mean of the three nearest."""


def anchor_similarity(embeddings: Embeddings, anchors: Tensor, reduce: str = "max") -> TypeScores:
    """Return the similarity of each type to the anchors, `reduce_k cos(e, a_k)`, float (V,) in [-1, 1].

    With `max` and the embeddings of a pooler this is the score of Difference-Masking as published (Wilf et al. 2023).

    Args:
        embeddings: Of each type.
        anchors: Embeddings of the anchors, float (A, D).
        reduce: max, mean, min or nearest.

    Raises:
        InputError: If the reduction is unknown.
    """
    if reduce not in REDUCTIONS:
        raise InputError(f"unknown reduction {reduce!r}; choose from: {', '.join(REDUCTIONS)}")
    anchors = F.normalize(anchors, dim=1)
    # in chunks, because types times anchors may not fit
    chunks = [embeddings[start : start + _CHUNK] for start in range(0, len(embeddings), _CHUNK)]
    return torch.cat([REDUCTIONS[reduce](F.normalize(chunk, dim=1) @ anchors.T) for chunk in chunks])


def contrast(embeddings: Embeddings, anchors: Tensor, common: Tensor, reduce: str = "mean") -> TypeScores:
    """Return how much nearer each type is to the anchors than to the common words.

    Cosines of an encoder are high for any two words, and for some words with all others: what is near to everything
    loses here what it gains there.

    Args:
        embeddings: Of each type.
        anchors: Embeddings of the anchors, float (A, D).
        common: Embeddings of words that are common everywhere, float (C, D).
        reduce: See `anchor_similarity`.
    """
    return anchor_similarity(embeddings, anchors, reduce) - anchor_similarity(embeddings, common, reduce)


def likeness(embeddings: Embeddings, log_tf_icf: TypeScores, voters: Tensor) -> TypeScores:
    """Return how much each type looks like the types with a high TF-ICF, float (V,) in [-1, 1].

    Every voter pulls or pushes by how far its log TF-ICF is from their mean: with x = e - mean(e), scaled to length
    one, `g = sum_w (t_w - mean(t)) x_w`, and the likeness of a type is `cos(x, g)`. So the TF-ICF of a word that was
    seen once, by chance, is replaced by what words that are used like it have.

    Args:
        embeddings: Of each type.
        log_tf_icf: Of each type.
        voters: Which types have a TF-ICF of their own, bool (V,).
    """
    centred = F.normalize(embeddings - embeddings[voters].mean(0), dim=1)
    votes = log_tf_icf[voters].to(centred)
    direction = (votes - votes.mean()) @ centred[voters]
    return centred @ F.normalize(direction, dim=0)


def domain_scores(
    embeddings: Embeddings,
    tf_icf: TypeScores,
    voters: Tensor,
    anchors: Tensor,
    common: Tensor,
    *,
    reduce: str = "mean",
) -> TypeScores:
    """Return the default score: likeness and contrast, in standard deviations, 4 to 1.

    Args:
        embeddings: Of each type.
        tf_icf: Of each type, above zero.
        voters: See `likeness`.
        anchors: Embeddings of the anchors, float (A, D).
        common: Embeddings of words that are common everywhere, float (C, D).
        reduce: See `anchor_similarity`.
    """
    likely = standardise(likeness(embeddings, tf_icf.log(), voters))
    near = standardise(contrast(embeddings, anchors, common, reduce))
    return torch.lerp(likely, near, ANCHOR_SHARE)


def standardise(scores: TypeScores) -> TypeScores:
    """Return scores with mean 0 and standard deviation 1; all zero where they do not differ."""
    centred = scores - scores.mean()
    return centred / centred.square().mean().sqrt().clamp_min(torch.finfo(scores.dtype).eps)
