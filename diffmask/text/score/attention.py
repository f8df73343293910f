"""Attention as a score of tokens: what a frozen teacher attends to (AttMask, Kakogeorgiou et al. 2022).

The paper (arXiv 2203.12719) masks patches of images by the attention that the [CLS] token of the teacher's last layer
pays them, averaged over the heads. Here the tokens of a text are scored in the same way, and drawn in proportion to
their attention, where the paper takes the highest or the lowest ones. Its three kinds of masks are settings of the
masker: `high` hides what is attended to (direction hide), `low` hides the rest (direction show), and `hint` is `high`
with a share of the most attended tokens left visible (hint_share; in the paper a tenth of the number that is masked,
chosen among the tenth of all patches with the highest attention).

Special tokens get most of the attention (in the upper half of a MiniLM, 84 to 94 % of what [CLS] gives in four of six
layers), so they and padding are left out, and the shares of the rest are scaled to sum to one.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.text.model.load import load_tokenizer, load_weights
from diffmask.text.score.position_scores import LOG_MEAN_EXP, check_vocabulary, hash_model
from diffmask.text.segment.segmenter import special_ids

_KINDS = ("cls", "received")
_LEAST_SHARE = 1e-6
"""Least share of a token, relative to an equal share, so that its logarithm stays finite."""
_BATCH_ATTENTIONS = 1 << 26
"""Attention weights, of all layers and heads, that are held at a time: 256 MiB."""


@dataclass(frozen=True, eq=False)
class _Attention:
    """Score of each token: the logarithm of its share of the attention, relative to an equal share.

    At temperature 1, tokens are then drawn in proportion to their attention; a row that is attended to evenly has
    scores of 0. A unit has the logarithm of the mean over its tokens.

    Attributes:
        teacher: The model, on its device, in evaluation mode.
        kind: `cls`, the attention that the first special token pays; or `received`, the mean attention that a token
            gets from the other ordinary tokens of its row.
        layer: Layer that is read, from 0.
        special_ids: Tokens that are not scored, and whose attention does not count for `received`, int64.
        cls_id: The token whose attention `cls` reads.
        max_length: Most tokens that the teacher reads.
        key: What the scores depend on.
    """

    teacher: PreTrainedModel
    kind: str
    layer: int
    special_ids: Tensor
    cls_id: int | None
    max_length: int
    key: str
    column: str = "attention"
    pooling: str = LOG_MEAN_EXP

    @torch.inference_mode()
    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the scores of ordinary tokens, float32 (B, L); 0 elsewhere."""
        device = self.teacher.device
        longest = int(attention_mask.sum(1).max()) if len(input_ids) else 0
        if longest > self.max_length:
            raise InputError(
                f"the teacher reads {self.max_length} tokens, but a row has {longest}; "
                "set data.max_length to what it reads, or use another teacher"
            )
        scores = torch.zeros(input_ids.shape, device=device)
        config = self.teacher.config
        # all layers' attention comes back, so memory grows with the square of the length: fewer rows at a time
        weights_per_row = longest**2 * config.num_attention_heads * config.num_hidden_layers
        num_rows = max(1, _BATCH_ATTENTIONS // max(1, weights_per_row))
        for start in range(0, len(input_ids), num_rows):
            part = slice(start, start + num_rows)
            ids, valid = input_ids[part, :longest].to(device), attention_mask[part, :longest].to(device)
            output = self.teacher(input_ids=ids, attention_mask=valid, output_attentions=True)
            weights = output.attentions[self.layer].float().mean(1)
            scores[part, :longest] = self._log_shares(weights, ids, valid.bool())
        return scores

    def _log_shares(self, weights: Tensor, input_ids: Tensor, valid: Tensor) -> Tensor:
        """Return the scores for the attention (B, from L, to L) that positions pay to positions."""
        ordinary = valid & ~torch.isin(input_ids, self.special_ids.to(input_ids.device))
        if self.kind == "cls":
            asked = (input_ids == self.cls_id).int().argmax(1)
            given = weights[torch.arange(len(weights), device=weights.device), asked]
        else:
            others = ordinary[:, :, None] & ~torch.eye(weights.shape[1], dtype=torch.bool, device=weights.device)
            given = (weights * others).sum(1)
        given = given * ordinary
        num_ordinary, total = ordinary.sum(1, keepdim=True), given.sum(1, keepdim=True)
        shares = given * num_ordinary / total.clamp_min(torch.finfo(torch.float32).tiny)
        return torch.where(ordinary & (total > 0), shares.clamp_min(_LEAST_SHARE).log(), 0.0)


def load_attention(
    name: str | None,
    tokenizer: PreTrainedTokenizerBase,
    kind: str = "cls",
    *,
    layer: int = -1,
    device: str = "auto",
) -> _Attention:
    """Load a teacher from a folder of safetensors, a hub name, or `minilm`.

    Args:
        name: The teacher; None where the user named none, which is refused.
        tokenizer: Tokenizer of the model that is trained, whose vocabulary must be the teacher's.
        kind: `cls` reads what the first special token attends to; `received` what ordinary tokens do.
        layer: Layer that is read; negative numbers count from the last.
        device: Where the teacher runs.

    Raises:
        InputError: If there is no such model, it has no attention to read, or it reads other token ids.
    """
    if name is None:
        raise InputError(
            "the policy `attention` needs a teacher; name one with masking.teacher: a folder, a hub name, or `minilm`"
        )
    if kind not in _KINDS:
        raise InputError(f"unknown attention {kind!r}; choose from: {', '.join(_KINDS)}")
    target = resolve_device(device)
    own = load_tokenizer(name)
    check_vocabulary(f"the teacher {name!r}", own, tokenizer, "use a teacher of the same family")
    teacher, fresh = load_weights(AutoModel, name, attn_implementation="eager")
    teacher = cast(Any, teacher).eval().to(target)
    depth = _num_layers(teacher, name, own)
    if not -depth <= layer < depth:
        raise InputError(f"layer {layer} is outside [{-depth}, {depth - 1}], the layers of the teacher {name!r}")
    if kind == "cls" and own.cls_token_id not in own("").input_ids:
        raise InputError(
            f"the teacher {name!r} puts no [CLS] token before a text, whose attention could be read; "
            "use attention=received"
        )
    special = special_ids(own)
    key = hash_model(teacher, kind, layer % depth, special, without=fresh)
    return _Attention(
        teacher,
        kind,
        layer % depth,
        torch.tensor(special),
        cast("int | None", own.cls_token_id),
        own.model_max_length,
        key,
    )


@torch.inference_mode()
def _num_layers(teacher: PreTrainedModel, name: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many layers show their attention; refuse a model that shows none."""
    refusal = (
        f"the teacher {name!r} is a {teacher.config.model_type} model, which shows no attention of tokens to tokens; "
        "use BERT, RoBERTa, DeBERTa, ELECTRA, ModernBERT or the like"
    )
    if teacher.config.is_encoder_decoder:
        raise InputError(refusal)
    ids = torch.tensor([[tokenizer.mask_token_id] * 2], device=teacher.device)
    output = teacher(input_ids=ids, attention_mask=torch.ones_like(ids), output_attentions=True)
    layers = output.get("attentions") or ()
    # some architectures return weights of tokens to landmarks, or none for some layers
    if not layers or any(weights is None or weights.shape[-2:] != (2, 2) for weights in layers):
        raise InputError(refusal)
    return len(layers)
