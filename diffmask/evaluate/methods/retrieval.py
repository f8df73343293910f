"""Retrieval: texts search for clips, and clips for texts, by the similarity of one vector of each.

The most similar may be put in order again by the head that tells whether a text and a clip match, which sees both.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from diffmask.core.errors import InputError
from diffmask.core.machine import free_memory
from diffmask.evaluate.methods.pair_encoder import PairEncoder, Texts
from diffmask.evaluate.modality import Predicted
from diffmask.tasks.retrieval_task import RetrievalTask

_ROWS = 1024
"""Searches whose similarities are held at a time."""


class _Clips(NamedTuple):
    """Clips as the model sees them, on the CPU.

    Attributes:
        vectors: In the space of comparison, float32 (N, E).
        states: Of all patches, float16 (N, V, D); None unless they are asked for.
    """

    vectors: Tensor
    states: Tensor | None


def retrieve(encoder: PairEncoder, task: RetrievalTask, *, progress: bool) -> Predicted:
    """Return the place of the first right one of each search; nothing is trained.

    Args:
        encoder: The model.
        task: The task.
        progress: Show progress bars.

    Raises:
        InputError: If a clip cannot be read any more, or what is put in order again does not fit in memory.
    """
    most = encoder.settings.video_text.rerank
    texts = encoder.tokenise(task.captions)
    clips = _read_clips(encoder, task, with_states=most > 0, progress=progress)
    vectors = _read_texts(encoder, texts, progress=progress)
    if clips.states is None:
        ranks = [*_search(vectors, clips.vectors, task.right), *_search(clips.vectors, vectors, task.right.T)]
        return Predicted([], ranks, {})
    similar = vectors @ clips.vectors.T
    first, second = (_most_similar(each, most) for each in (similar, similar.T))
    asked = first | second.T
    matching = torch.zeros_like(similar)
    matching[asked] = _match(encoder, texts, clips.states, asked.nonzero(), progress=progress)
    there = first_ranks(put_in_order(similar, matching, first), task.right)
    back = first_ranks(put_in_order(similar.T, matching.T, second), task.right.T)
    return Predicted([], [*there.tolist(), *back.tolist()], {})


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


def _most_similar(similar: Tensor, most: int) -> Tensor:
    """Return what is among the most similar of each search, bool (Q, N)."""
    places = similar.topk(min(most, similar.shape[1]), dim=1).indices
    return torch.zeros_like(similar, dtype=torch.bool).scatter_(1, places, True)


def put_in_order(similar: Tensor, matching: Tensor, first: Tensor) -> Tensor:
    """Return scores (Q, N) by which some come first, in the order of how they match, and the others as they did.

    Args:
        similar: How similar everything is to what searches, (Q, N).
        matching: The logit that it matches, (Q, N); read of what comes first.
        first: What comes first, bool (Q, N).
    """
    lowest = matching.where(first, torch.inf).amin(1, keepdim=True)
    above = similar.amax(1, keepdim=True) + 1.0
    return torch.where(first, above + matching - lowest, similar)


def _read_clips(encoder: PairEncoder, task: RetrievalTask, *, with_states: bool, progress: bool) -> _Clips:
    """Return the clips of a task; each is read once."""
    model, grid = encoder.loaded.model, encoder.loaded.grid
    needed = 2 * len(task.clips) * grid.num_positions * int(model.video.config.hidden_size)
    if with_states and needed > 0.8 * (free := free_memory()):
        raise InputError(
            f"the patches of {len(task.clips):,} clips take {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are "
            "free; give video_text.rerank=0, or a smaller video_text.num_frames or video_text.image_size"
        )
    vectors, kept = [], []
    shown = [(each.clip, each.span) for each in task.clips]
    for states in encoder.encode_clips(shown, progress=progress):
        with torch.inference_mode():
            vectors.append(model.embed_video(states).float().cpu())
            kept += [states.half().cpu()] if with_states else []
    return _Clips(torch.cat(vectors), torch.cat(kept) if with_states else None)


@torch.inference_mode()
def _read_texts(encoder: PairEncoder, texts: Texts, *, progress: bool) -> Tensor:
    """Return texts in the space of comparison, float32 (N, E), on the CPU; the model reads them by length."""
    model: Any = encoder.loaded.model
    order = sorted(range(len(texts.rows)), key=lambda place: len(texts.rows[place]))
    found: list[Tensor] = []
    with tqdm(total=len(order), desc="texts", unit="text", disable=not progress) as bar:
        for start in range(0, len(order), encoder.settings.eval_batch_size):
            places = order[start : start + encoder.settings.eval_batch_size]
            ids, mask, _ = encoder.text_batch(texts, places)
            with encoder.autocast():
                states = model.encode_text(ids, mask)
                found.append(model.embed_text(states, mask).float().cpu())
            bar.update(len(places))
    return torch.cat(found)[torch.tensor(order).argsort()]


@torch.inference_mode()
def _match(encoder: PairEncoder, texts: Texts, states: Tensor, pairs: Tensor, *, progress: bool) -> Tensor:
    """Return the logits that texts and clips match, float32 (P,), of pairs of a text's and a clip's place (P, 2)."""
    model: Any = encoder.loaded.model
    found = []
    with tqdm(total=len(pairs), desc="pairs", unit="pair", disable=not progress) as bar:
        for part in pairs.split(encoder.settings.eval_batch_size):
            ids, mask, _ = encoder.text_batch(texts, part[:, 0].tolist())
            clips = states[part[:, 1]].to(encoder.device).float()
            with encoder.autocast():
                fused = model.fuse(model.encode_text(ids, mask), mask, clips)
                found.append(model.match(fused.text, mask).float().cpu())
            bar.update(len(part))
    return torch.cat(found)
