"""Encoder: any Hugging Face model as the source of embeddings of words, in context or on their own.

In context, the embedding of a type is the mean over its occurrences in a corpus, at the middle layer of the encoder. A
word on its own tells an encoder little: "p" alone is a letter, "p" in "p 38" is a protein. `docs/scorers.md` measures
what this is worth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from tqdm import tqdm
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.core.types import Embeddings
from diffmask.files.records import read_blocks
from diffmask.text.corpus.documents import Sources, list_files
from diffmask.text.model.fit import without_padding
from diffmask.text.model.load import load_tokenizer, load_weights
from diffmask.text.segment.pad import Pad, PadLabelled, pad_rows
from diffmask.text.segment.segmenter import pad_id
from diffmask.text.segment.tokenise import TokeniseSettings, row_maker

_BATCH_TOKENS = 4096
_MAX_LENGTH = 256
_BLOCK_BYTES = 1 << 16
_SORTED_ROWS = 2048
_NUM_SHIFT_WORDS = 1000
_FEW = 4


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder that is not trained, and the layer that is read.

    Attributes:
        name: What the user called the encoder.
        model: The encoder, on its device, in evaluation mode.
        tokenizer: Its tokenizer.
        layer: Number of the layer whose states are read; 0 is the input embeddings.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    layer: int

    @classmethod
    def load(cls, name: str, device: str = "auto", *, pooler: bool = False, whole: bool = False) -> Self:
        """Load an encoder from a folder of safetensors, a hub name, or `minilm`.

        The layer in the middle is read, and the layers above it are left out: they turn towards the task that the
        encoder was trained for. A norm at the top of the model (ModernBERT has one) then follows that layer. Of a model
        with a decoder (BART, T5) the encoder is read.

        Args:
            name: The encoder.
            device: auto, cpu, cuda, ...
            pooler: Keep all layers and the pooler, for `pool_words`.
            whole: Keep all layers and read the last one, for `embed_texts`.

        Raises:
            InputError: If there is no such model, its tokenizer is slow, weights are missing, or there is no pooler
                where one is asked for.
        """
        tokenizer = load_tokenizer(name)
        target = resolve_device(device)
        model, fresh = load_weights(AutoModel, name)
        if pooler and (getattr(model, "pooler", None) is None or any("pooler" in key for key in fresh)):
            raise InputError(
                f"{name!r} has no trained pooler, which the preset `published` reads; "
                "give --embedder a BERT that has one (such as bert-base-uncased), or use the preset `default`"
            )
        if model.config.is_encoder_decoder:
            model = cast(PreTrainedModel, model.get_encoder())
        model = cast(Any, model).eval().to(target)
        layer = model.config.num_hidden_layers if pooler or whole else _cut(model)
        encoder = cls(name, model, tokenizer, layer)
        if (shape := encoder.states(*_few_tokens(model)).shape) != (1, _FEW, encoder.width):
            raise InputError(
                f"{name!r} is a {model.config.model_type} model, whose layer {layer} has states of the shape "
                f"{tuple(shape)} for {_FEW} tokens, not one of {encoder.width} numbers for each; give --embedder a "
                "BERT, RoBERTa, DeBERTa, ELECTRA, ModernBERT or the like"
            )
        return encoder

    @property
    def width(self) -> int:
        """Dimensions of an embedding."""
        return self.model.config.hidden_size

    @torch.inference_mode()
    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the layer's states, float32 (B, L, D), on the model's device."""
        batch = {"input_ids": input_ids, "attention_mask": attention_mask}
        read = without_padding(self.model.config, batch)
        output = self.model(
            **{name: values.to(self.model.device) for name, values in read.items()}, output_hidden_states=True
        )
        return output.hidden_states[self.layer].float()

    def embed_in_context(
        self, sources: Sources, types: Sequence[str], stride: int = 1, column: str | None = None
    ) -> Embeddings:
        """Return the mean state of each type's tokens over its occurrences, float32 (V, D), on the CPU.

        Rows of the same words are read once. A type that does not occur in what is read has the embedding of the word
        on its own, moved by the mean difference between the two kinds.

        Args:
            sources: The corpus.
            types: The table of types, most frequent first.
            stride: 1 reads the whole corpus, n every n-th block of it.
            column: Name of the text column; None finds it.
        """
        sums, counts = torch.zeros(len(types), self.width), torch.zeros(len(types))
        with tqdm(desc="reading contexts", unit="word", disable=None, leave=False) as bar:
            for batch in _padded(self, _rows(self, sources, types, stride, column)):
                token_types = _token_types(batch)
                known = token_types >= 0
                states = self.states(batch["input_ids"], batch["attention_mask"])
                sums.index_add_(0, token_types[known], states[known.to(states.device)].cpu())
                counts.index_add_(0, token_types[known], torch.ones(int(known.sum())))
                bar.update(int(batch["num_units"].sum()))
        seen = counts > 0
        embeddings = sums.div_(counts.clamp_min(1)[:, None])
        unseen = (~seen).nonzero()[:, 0]
        if len(unseen):
            embeddings[unseen] = self._embed_alone(types, unseen, seen, embeddings)
        return embeddings

    def _embed_alone(self, types: Sequence[str], unseen: Tensor, seen: Tensor, embeddings: Embeddings) -> Embeddings:
        """Return the embeddings of words on their own, moved to where those in context are."""
        frequent = seen.nonzero()[:_NUM_SHIFT_WORDS, 0]
        rows: list[int] = torch.cat([frequent, unseen]).tolist()
        alone = self.embed_words([types[row] for row in rows])
        if not len(frequent):
            return alone
        shift = (embeddings[frequent] - alone[: len(frequent)]).mean(0)
        return alone[len(frequent) :] + shift

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
    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return the mean state of each text's tokens, of unit length, float32 (N, D), on the CPU.

        Of a long text the first 256 tokens are read.
        """
        embeddings = torch.zeros(len(texts), self.width)
        max_length = min(_MAX_LENGTH, self.tokenizer.model_max_length)
        encoded: Any = self.tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
        pad = PadLabelled(pad_id(self.tokenizer), of_words=False)
        for part in _by_length([{"input_ids": ids, "row": row} for row, ids in enumerate(encoded)]):
            batch = pad.inputs(part)
            valid = batch["attention_mask"].float()[..., None].to(self.model.device)
            states = self.states(batch["input_ids"], batch["attention_mask"])
            embeddings[[each["row"] for each in part]] = normalize((states * valid).sum(1), dim=-1).cpu()
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
        """Yield rows and tokens of words of about the same length, which saves padding."""
        order = sorted(range(len(words)), key=lambda row: len(words[row]))
        size, pad = _BATCH_TOKENS // 16, PadLabelled(pad_id(self.tokenizer), of_words=False)
        with tqdm(total=len(words), desc="embedding words", unit="word", disable=None, leave=False) as bar:
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                encoded: Any = self.tokenizer(
                    [words[row] for row in rows],
                    truncation=True,
                    max_length=min(64, self.tokenizer.model_max_length),
                    return_special_tokens_mask=True,
                )
                # not padded by the tokenizer, which may have no pad token
                batch = pad.inputs([{"input_ids": ids} for ids in encoded["input_ids"]])
                yield rows, batch | {"special_tokens_mask": pad_rows(encoded["special_tokens_mask"], 1)}
                bar.update(len(rows))


def _few_tokens(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask of a short row, to see what the model makes of it."""
    ids = torch.ones((1, _FEW), dtype=torch.long, device=model.device)
    return ids, torch.ones_like(ids)


@torch.inference_mode()
def _cut(model: PreTrainedModel) -> int:
    """Leave out the layers above the one in the middle where the model can do without, and return its number."""
    depth = model.config.num_hidden_layers
    layer = max(1, depth // 2)
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == depth]
    above = [module[layer:] for module in lists]
    for module in lists:
        del module[layer:]
    ids, valid = _few_tokens(model)
    try:
        model(input_ids=ids, attention_mask=valid)
    except Exception:  # noqa: BLE001 (whatever it is: some, such as XLM, count their layers themselves)
        for module, rest in zip(lists, above, strict=True):
            module.extend(rest)
    return layer


def _rows(
    encoder: Encoder, sources: Sources, types: Sequence[str], stride: int, column: str | None
) -> Iterator[dict[str, Any]]:
    max_length = min(_MAX_LENGTH, encoder.tokenizer.model_max_length)
    make_rows = row_maker(encoder.tokenizer, TokeniseSettings(max_length), types)
    blocks = (block for path in list_files(sources) for block in read_blocks(path, column, _BLOCK_BYTES))
    seen: set[int] = set()
    for block in islice(blocks, 0, None, stride):
        for row in make_rows(block).batch.to_pylist():
            # data sets of relations repeat a sentence with other entities marked: the same words say nothing new
            words = hash(tuple(known for known in row["types"] if known >= 0))
            if words not in seen:
                seen.add(words)
                yield row | {"sample_id": 0}


def _padded(encoder: Encoder, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Tensor]]:
    """Yield padded batches of rows of about the same length."""
    pad = Pad(pad_id(encoder.tokenizer))
    while some := list(islice(rows, _SORTED_ROWS)):
        yield from map(pad, _by_length(some))


def _by_length(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows of about the same length, the longest first, as many as a batch may have tokens of."""
    ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
    while ordered:
        size = max(1, _BATCH_TOKENS // len(ordered[-1]["input_ids"]))
        yield ordered[-size:]
        del ordered[-size:]


def _token_types(batch: dict[str, Tensor]) -> Tensor:
    """Return the type of each token, int64 (B, L); -1 = none."""
    units = batch["unit_ids"]
    # gather takes no -1, so tokens without a unit read the first one, and are masked out afterwards
    types = batch["types"].gather(1, units.clamp_min(0))
    return types.masked_fill(units < 0, -1)
