"""Retrieval: texts search for clips, and clips for texts, by the similarity of one vector of each."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from diffmask.evaluate.methods.pair_encoder import PairEncoder
from diffmask.evaluate.modality import Predicted
from diffmask.tasks.retrieval_task import RetrievalTask

_ROWS = 1024
"""Searches whose similarities are held at a time."""


def retrieve(encoder: PairEncoder, task: RetrievalTask, *, progress: bool) -> Predicted:
    """Return the place of the first right one of each search; nothing is trained.

    Args:
        encoder: The model.
        task: The task.
        progress: Show progress bars.

    Raises:
        InputError: If a clip cannot be read any more.
    """
    clips, texts = embed_clips(encoder, task, progress=progress), embed_texts(encoder, task.captions, progress=progress)
    right = task.right
    ranks = [*_search(texts, clips, right), *_search(clips, texts, right.T)]
    return Predicted([], ranks, {})


def _search(asking: Tensor, asked: Tensor, right: Tensor) -> list[int]:
    parts = zip(asking.split(_ROWS), right.split(_ROWS), strict=True)
    return [rank for part, is_right in parts for rank in first_ranks(part @ asked.T, is_right).tolist()]


def first_ranks(similar: Tensor, right: Tensor) -> Tensor:
    """Return at which place, from 1 on, each search finds the first that is right, int64 (Q,).

    What is wrong and just as similar comes before it, so that a model that finds everything alike finds nothing.

    Args:
        similar: How similar everything is to what searches, (Q, N).
        right: What is right for it, at least one in each row, bool (Q, N).
    """
    best = similar.where(right, -torch.inf).amax(1, keepdim=True)
    return 1 + ((similar >= best) & ~right).sum(1)


def embed_clips(encoder: PairEncoder, task: RetrievalTask, *, progress: bool) -> Tensor:
    """Return the clips of a task in the space of comparison, float32 (N, E), on the CPU."""
    shown = [(each.clip, each.span) for each in task.clips]
    states = encoder.encode_clips(shown, progress=progress)
    with torch.inference_mode():
        return torch.cat([encoder.loaded.model.embed_video(each).float().cpu() for each in states])


@torch.inference_mode()
def embed_texts(encoder: PairEncoder, captions: Sequence[str], *, progress: bool) -> Tensor:
    """Return texts in the space of comparison, float32 (N, E), on the CPU; the model reads them by length."""
    model: Any = encoder.loaded.model
    texts = encoder.tokenise(captions)
    order = sorted(range(len(captions)), key=lambda place: len(texts.rows[place]))
    found: list[Tensor] = []
    with tqdm(total=len(captions), desc="texts", unit="text", disable=not progress) as bar:
        for start in range(0, len(order), encoder.settings.eval_batch_size):
            places = order[start : start + encoder.settings.eval_batch_size]
            ids, mask, _ = encoder.text_batch(texts, places)
            with encoder.autocast():
                states = model.encode_text(ids, mask)
                found.append(model.embed_text(states, mask).float().cpu())
            bar.update(len(places))
    embedded = torch.cat(found)
    return embedded[torch.tensor(order).argsort()]
