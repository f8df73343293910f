"""Losses that compare clips with texts: contrastive, and what is drawn as a hard negative for matching."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diffmask.core.noise import NEGATIVES, pair_keys, uniforms
from diffmask.core.select import draw_one

TEXT, VIDEO, CONTRASTIVE, MATCHING = OBJECTIVES = ("text", "video", "contrastive", "matching")
"""Masked language modelling given the video, masked video given the text, and the two that compare."""


class PairIds(NamedTuple):
    """What tells pairs of a clip and a text apart, int64 (B,) each.

    Attributes:
        video_ids: Equal for pairs of the same clip, which are not each other's negatives.
        text_ids: Equal for pairs of the same text, which are not, either.
        sample_ids: Stable identities of the pairs in their data set.
    """

    video_ids: Tensor
    text_ids: Tensor
    sample_ids: Tensor


class Similarities(NamedTuple):
    """How similar the rows of this rank are to the rows of all ranks, divided by the temperature, float (B, N).

    Attributes:
        texts: Of this rank's clips to all texts.
        videos: Of this rank's texts to all clips.
    """

    texts: Tensor
    videos: Tensor


def find_negatives(pairs: PairIds, every: PairIds) -> Tensor:
    """Return which of all pairs (N) are negatives of which own pair: neither clip nor text is the same, bool (B, N)."""
    same_video = pairs.video_ids[:, None] == every.video_ids
    return ~(same_video | (pairs.text_ids[:, None] == every.text_ids))


def contrastive_losses(similar: Similarities, negatives: Tensor, own: slice) -> Tensor:
    """Return the loss of each row, float32 (B,): how hard its own text and clip are to tell from the negatives.

    It is the mean of both directions, that is of the cross entropies over the own partner and the negatives (InfoNCE,
    van den Oord et al. 2018). A row without negatives has the loss 0.

    Args:
        similar: Similarities of own rows to all rows.
        negatives: Which pairs are negatives, bool (B, N).
        own: Where the own rows are among all rows.
    """
    partners = torch.arange(own.start, own.stop, device=negatives.device)
    counted = negatives.scatter(1, partners[:, None], True)
    both = [
        F.cross_entropy(each.float().masked_fill(~counted, -torch.inf), partners, reduction="none") for each in similar
    ]
    return (both[0] + both[1]) / 2


class HardNegatives(NamedTuple):
    """One negative text and one negative clip of each row, as positions among the rows of all ranks.

    Attributes:
        texts: int64 (B,).
        videos: int64 (B,).
        exist: Whether the row has any negative, bool (B,).
    """

    texts: Tensor
    videos: Tensor
    exist: Tensor


@torch.compiler.disable()  # noise takes 64 bits of the step, which compiled code does not have
@torch.no_grad()
def draw_negatives(
    similar: Similarities, negatives: Tensor, sample_ids: Tensor, every: Tensor, *, seed: int, step: int
) -> HardNegatives:
    """Draw negatives in proportion to the exponential of their similarity (ALBEF, Li et al. 2021).

    What is drawn depends on who the samples are, and not on which rank has them or where they stand.

    Args:
        similar: Similarities of own rows to all rows.
        negatives: Which pairs are negatives, bool (B, N).
        sample_ids: Identities of the own rows, int64 (B,).
        every: Identities of all rows, int64 (N,).
        seed: Seed of the run.
        step: Optimiser step.
    """
    noise = pair_keys(seed, step, sample_ids[:, None], every[None], stream=NEGATIVES)
    texts, videos = (
        draw_one(each, negatives, uniforms(noise, torch.full_like(negatives, side, dtype=torch.int64)))
        for side, each in enumerate(similar)
    )
    return HardNegatives(texts, videos, negatives.any(1))


def matching_losses(logits: Tensor, exist: Tensor) -> Tensor:
    """Return the loss of each row, float32 (B,): the mean cross entropy of telling its pair from two that are wrong.

    Args:
        logits: That clip and text belong together: of the row's own pair, its clip with a negative text, and its text
            with a negative clip, (3, B).
        exist: Whether the row has negatives, bool (B,); one without has its own pair only.
    """
    right = torch.zeros_like(logits, dtype=torch.float32)
    right[0] = 1
    losses = F.binary_cross_entropy_with_logits(logits.float(), right, reduction="none")
    return (losses[0] + (losses[1] + losses[2]) * exist) / (1 + 2 * exist)
