"""Contexts: the embedding of a type is the mean of its occurrences in the corpus, at the middle layer of an encoder.

A word on its own tells an encoder little: "p" alone is a letter, "p" in "p 38" is a protein. `docs/scorers.md`
measures what this is worth.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from diffmask.core.types import Embeddings
from diffmask.text.anchors.encoder import BATCH_TOKENS, Encoder
from diffmask.text.corpus.documents import Sources, list_files, read_blocks
from diffmask.text.segment.pad import Pad
from diffmask.text.segment.rows import RowMaker
from diffmask.text.segment.segmenter import segmenter_for
from diffmask.text.segment.special import special_id
from diffmask.text.segment.windows import special_tokens_of

MAX_LENGTH = 256
_BLOCK_BYTES = 1 << 16
_SORTED_ROWS = 2048
_NUM_SHIFT_WORDS = 1000


def embed_types(
    encoder: Encoder, sources: Sources, types: Sequence[str], stride: int = 1, column: str | None = None
) -> Embeddings:
    """Return the mean state of each type's tokens over its occurrences, float32 (V, D), on the CPU.

    Rows of the same words are read once. A type that does not occur in what is read has the embedding of the word on
    its own, moved by the mean difference between the two kinds.

    Args:
        encoder: Any encoder.
        sources: The corpus.
        types: The table of types, most frequent first.
        stride: Every so-manieth block of the corpus is read.
        column: Name of the text column; None finds it.
    """
    sums, counts = torch.zeros(len(types), encoder.width), torch.zeros(len(types))
    with tqdm(desc="reading contexts", unit="word", disable=None, leave=False) as bar:
        for batch in _batches(encoder, _rows(encoder, sources, types, stride, column)):
            token_types = _token_types(batch)
            known = token_types >= 0
            states = encoder.states(batch["input_ids"], batch["attention_mask"])
            sums.index_add_(0, token_types[known], states[known.to(states.device)].cpu())
            counts.index_add_(0, token_types[known], torch.ones(int(known.sum())))
            bar.update(int(batch["num_units"].sum()))
    seen = counts > 0
    embeddings = sums.div_(counts.clamp_min(1)[:, None])
    unseen = (~seen).nonzero()[:, 0]
    if len(unseen):
        embeddings[unseen] = _embed_alone(encoder, types, unseen, seen, embeddings)
    return embeddings


def _embed_alone(
    encoder: Encoder, types: Sequence[str], unseen: Tensor, seen: Tensor, embeddings: Embeddings
) -> Embeddings:
    """Return the embeddings of words on their own, moved to where those in context are."""
    frequent = seen.nonzero()[:_NUM_SHIFT_WORDS, 0]
    rows: list[int] = torch.cat([frequent, unseen]).tolist()
    alone = encoder.embed_words([types[row] for row in rows])
    if not len(frequent):
        return alone
    shift = (embeddings[frequent] - alone[: len(frequent)]).mean(0)
    return alone[len(frequent) :] + shift


def _rows(
    encoder: Encoder, sources: Sources, types: Sequence[str], stride: int, column: str | None
) -> Iterator[dict[str, Any]]:
    segmenter = segmenter_for(encoder.tokenizer)
    positions = getattr(encoder.model.config, "max_position_embeddings", None) or MAX_LENGTH
    max_length = min(MAX_LENGTH, encoder.tokenizer.model_max_length, positions)
    row_of = {surface: row for row, surface in enumerate(types)}
    make_rows = RowMaker(segmenter, special_tokens_of(segmenter.backend), max_length, 0, row_of)
    blocks = (block for path in list_files(sources) for block in read_blocks(path, column, _BLOCK_BYTES))
    seen: set[int] = set()
    for block in islice(blocks, 0, None, stride):
        for row in make_rows(block).batch.to_pylist():
            # the same words again say nothing new: tables of relations repeat a sentence with other marks
            words = hash(tuple(found for found in row["types"] if found >= 0))
            if words not in seen:
                seen.add(words)
                yield row | {"sample_id": 0}


def _batches(encoder: Encoder, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Tensor]]:
    """Yield padded batches of rows of about the same length."""
    pad = Pad(special_id(encoder.tokenizer.pad_token_id) or 0)
    while group := sorted(islice(rows, _SORTED_ROWS), key=lambda row: len(row["input_ids"])):
        while group:
            size = max(1, BATCH_TOKENS // len(group[-1]["input_ids"]))
            yield pad(group[-size:])
            del group[-size:]


def _token_types(batch: dict[str, Tensor]) -> Tensor:
    """Return the type of each token, int64 (B, L); -1 = none."""
    units = batch["unit_ids"]
    types = batch["types"].gather(1, units.clamp_min(0))
    return types.masked_fill(units < 0, -1)
