"""Scores of types by their embeddings: how near they are to the anchors, and how much they look like the domain.

    domain_scores(embeddings, tf_icf, voters, anchors, common) -> one score per type, higher = masked more often

Scores that depend on the type alone are computed once, not at every step. `docs/scorers.md` has the measurements.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import Embeddings, TypeScores

NUM_NEAREST = 3
ANCHOR_SHARE = 0.2
"""Weight of the anchors in the default score; the rest is likeness. Values from 0.1 to 0.3 do equally well."""
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

    With `max` and the output of a model's pooler, this is the published score of Difference-Masking (Wilf et al. 2023).

    Args:
        embeddings: Embedding of each type.
        anchors: Embeddings of the anchors, float (A, D).
        reduce: max, mean, min or nearest.

    Raises:
        InputError: If the reduction is unknown.
    """
    if reduce not in REDUCTIONS:
        raise InputError(f"unknown reduction {reduce!r}; choose from: {', '.join(REDUCTIONS)}")
    anchors = F.normalize(anchors, dim=1)
    # in chunks: visual words and long vocabularies make types x anchors larger than memory
    chunks = [embeddings[start : start + _CHUNK] for start in range(0, len(embeddings), _CHUNK)]
    return torch.cat([REDUCTIONS[reduce](F.normalize(chunk, dim=1) @ anchors.T) for chunk in chunks])


def contrast(embeddings: Embeddings, anchors: Tensor, common: Tensor, reduce: str = "mean") -> TypeScores:
    """Return how much nearer each type is to the anchors than to the common words.

    In the space of an encoder all cosines are high, and some words are near to everything. Such a word is near to the
    common words too, so the difference takes away what the anchors gave it.

    Args:
        embeddings: Embedding of each type.
        anchors: Embeddings of the anchors, float (A, D).
        common: Embeddings of words that are common everywhere, float (C, D).
        reduce: See `anchor_similarity`.
    """
    return anchor_similarity(embeddings, anchors, reduce) - anchor_similarity(embeddings, common, reduce)


def likeness(embeddings: Embeddings, log_tf_icf: TypeScores, voters: Tensor) -> TypeScores:
    """Return how much each type looks like the types with a high TF-ICF, float (V,) in [-1, 1].

    Every voter w pulls the direction g towards its embedding, or pushes it away, by how far its log TF-ICF t_w is from
    the mean: with x the centred embedding of length one, `g = sum_w (t_w - mean(t)) x_w`, and the likeness of a type is
    `cos(x, g)`. The TF-ICF of a word that occurred once says little; its likeness says what words used like it have.

    Args:
        embeddings: Embedding of each type.
        log_tf_icf: Logarithm of the TF-ICF of each type.
        voters: Types that are frequent enough for their TF-ICF to count, bool (V,).
    """
    # centred, because an encoder's embeddings all point the same way, and cosines would measure that
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
    """Return the default score: four parts of likeness and one of contrast, each in standard deviations.

    Args:
        embeddings: Embedding of each type.
        tf_icf: TF-ICF of each type, above zero.
        voters: See `likeness`.
        anchors: Embeddings of the anchors, float (A, D).
        common: Embeddings of words that are common everywhere, float (C, D).
        reduce: See `anchor_similarity`.
    """
    likely = standardise(likeness(embeddings, tf_icf.log(), voters))
    near = standardise(contrast(embeddings, anchors, common, reduce))
    return torch.lerp(likely, near, ANCHOR_SHARE)


def standardise(scores: TypeScores) -> TypeScores:
    """Return scores with mean 0 and standard deviation 1; all 0 if they do not differ."""
    centred = scores - scores.mean()
    return centred / centred.square().mean().sqrt().clamp_min(torch.finfo(scores.dtype).eps)
