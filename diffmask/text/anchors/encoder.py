"""Encoder: any Hugging Face model as the source of embeddings of single words.

Contexts: the embedding of a type is the mean of its occurrences in the corpus, at the middle layer of an encoder.

A word on its own tells an encoder little: "p" alone is a letter, "p" in "p 38" is a protein. `docs/scorers.md`
measures what this is worth.

Letter parts: what is between the digits of a word ("cyp" and "b" of "cyp2b6"), for who cuts words at digits.

Our words hold digits, and so does a unit that is masked. A table of scores is also read by others, by a tokenizer's
words or by letters alone: there such a part has the mean score of the words it stands in.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.core.types import Embeddings, TypeScores
from diffmask.files.records import read_blocks
from diffmask.text.corpus.documents import Sources, list_files
from diffmask.text.model.load import load_tokenizer, resolve_model
from diffmask.text.segment.pad import Pad
from diffmask.text.segment.rows import RowMaker, special_tokens_of
from diffmask.text.segment.segmenter import segmenter_for, special_id

BATCH_TOKENS = 4096
_WHERE = (
    "give a folder that save_pretrained wrote (with model.safetensors), a hub name that can be reached, or `minilm`"
)


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder, frozen, and the layer that is read.

    Attributes:
        name: What the user called it.
        model: The encoder, on its device, in evaluation mode.
        tokenizer: Its tokenizer.
        layer: Number of the layer whose states are read; 0 is the input embeddings.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    layer: int

    @property
    def width(self) -> int:
        """Dimensions of an embedding."""
        return self.model.config.hidden_size

    @torch.inference_mode()
    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the layer's states, float32 (B, L, D), on the model's device."""
        device = self.model.device
        output = self.model(
            input_ids=input_ids.to(device), attention_mask=attention_mask.to(device), output_hidden_states=True
        )
        return output.hidden_states[self.layer].float()

    @torch.inference_mode()
    def embed_words(self, words: Sequence[str]) -> Embeddings:
        """Return the embedding of each word on its own: the mean of its pieces, float32 (V, D), on the CPU."""
        embeddings = torch.zeros(len(words), self.width)
        for rows, batch in self._batches(words):
            special = batch.pop("special_tokens_mask")
            weights = (1 - special) * batch["attention_mask"]
            weights = weights.float()[..., None].to(self.model.device)
            states = self.states(**batch)
            embeddings[rows] = ((states * weights).sum(1) / weights.sum(1).clamp_min(1)).cpu()
        return embeddings

    @torch.inference_mode()
    def pool_words(self, words: Sequence[str]) -> Embeddings:
        """Return the pooler's output for each word on its own (as published), float32 (V, D), on the CPU."""
        embeddings = torch.zeros(len(words), self.width)
        for rows, batch in self._batches(words):
            del batch["special_tokens_mask"]
            output = self.model(**{name: values.to(self.model.device) for name, values in batch.items()})
            embeddings[rows] = output.pooler_output.float().cpu()
        return embeddings

    def _batches(self, words: Sequence[str]) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Yield rows and tokens of words of about the same length."""
        order = sorted(range(len(words)), key=lambda row: len(words[row]))
        size = BATCH_TOKENS // 16
        with tqdm(total=len(words), desc="embedding words", unit="word", disable=None, leave=False) as bar:
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                batch = self.tokenizer(
                    [words[row] for row in rows],
                    padding=True,
                    truncation=True,
                    max_length=min(64, self.tokenizer.model_max_length),
                    return_special_tokens_mask=True,
                    return_token_type_ids=False,
                    return_tensors="pt",
                )
                yield rows, dict(batch)
                bar.update(len(rows))


def load_encoder(name: str, device: str = "auto", *, pooler: bool = False) -> Encoder:
    """Load an encoder from a folder of safetensors, a hub name, or `minilm`.

    The layer in the middle is read, and the layers above it are left out: they turn towards the task the encoder was
    trained for. A norm at the top of the model (ModernBERT has one) then follows that layer. With `pooler` the
    whole model is kept.

    Raises:
        InputError: If there is no such model, its tokenizer is slow, weights are missing, or there is no pooler where
            one is asked for.
    """
    tokenizer = load_tokenizer(name)
    target = resolve_device(device)
    try:
        model, report = AutoModel.from_pretrained(
            resolve_model(name),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype="float32",
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"no encoder in {name!r} ({reason}); {_WHERE}") from error
    missing = sorted(report["missing_keys"])
    if pooler and (getattr(model, "pooler", None) is None or any("pooler" in key for key in missing)):
        raise InputError(
            f"{name!r} has no trained pooler, which the preset `published` reads; "
            "give --embedder a BERT that has one (such as bert-base-uncased), or use the preset `default`"
        )
    missing = [key for key in missing if "pooler" not in key]
    if missing:
        raise InputError(
            f"the weights in {name!r} lack {missing[0]} and {len(missing) - 1} more of the encoder; "
            "the checkpoint is of another model than its config says"
        )
    layer = model.config.num_hidden_layers if pooler else _cut(model)
    return Encoder(name, model.eval().to(target), tokenizer, layer)


def describe_architecture(name: str) -> dict[str, int | str]:
    """Return what tells one architecture from another: kind, width and depth."""
    config = AutoConfig.from_pretrained(resolve_model(name), trust_remote_code=False)
    return {
        "model_type": config.model_type,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
    }


def _cut(model: PreTrainedModel) -> int:
    """Leave out the layers above the one in the middle, and return its number."""
    depth = model.config.num_hidden_layers
    layer = max(1, depth // 2)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            del module[layer:]
    return layer


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


_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, eq=False)
class LetterParts:
    """Parts that are no words of the domain themselves, and where they stand.

    Attributes:
        names: The parts, in order of the alphabet.
        parts: Row in `names` of each occurrence in a word, int64 (N,).
        words: Row of that word, int64 (N,).
    """

    names: list[str]
    parts: Tensor
    words: Tensor

    def count(self, counts: Tensor) -> Tensor:
        """Return how often each part occurs, int64, from the counts of the words."""
        return counts.new_zeros(len(self.names)).index_add_(0, self.parts, counts[self.words])

    def mean(self, scores: TypeScores, counts: Tensor) -> TypeScores:
        """Return the mean score of the words that each part occurs in."""
        sums = torch.zeros(len(self.names), dtype=torch.float64)
        sums.index_add_(0, self.parts, scores[self.words].double() * counts[self.words])
        return (sums / self.count(counts)).to(scores.dtype)


def letter_parts(words: Sequence[str]) -> LetterParts:
    """Return the letter parts of words with digits.

    >>> letter_parts(["cyp2b6", "b", "p53", "12"]).names
    ['cyp', 'p']
    """
    known = set(words)
    found = [
        (part, row)
        for row, word in enumerate(words)
        if not word.isalpha()
        for part in _DIGITS.split(word)
        if part and part not in known
    ]
    names = sorted({part for part, _ in found})
    row_of = {name: row for row, name in enumerate(names)}
    pairs = torch.tensor([(row_of[part], row) for part, row in found], dtype=torch.int64).reshape(-1, 2)
    return LetterParts(names, pairs[:, 0], pairs[:, 1])
