"""Encoder: any Hugging Face model as the source of embeddings of single words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.core.types import Embeddings
from diffmask.text.model.embed import resolve_model
from diffmask.text.model.load import load_tokenizer

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
