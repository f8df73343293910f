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

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.text.model.load import load_tokenizer, load_weights
from diffmask.text.score.position_scores import LOG_MEAN_EXP, PositionScorer, check_vocabulary, hash_model
from diffmask.text.segment.segmenter import special_ids

_KINDS = ("cls", "received")
_LEAST_SHARE = 1e-6
"""Least share of a token, relative to an equal share, so that its logarithm stays finite."""
_BATCH_ATTENTIONS = 1 << 26
"""Attention weights, of all layers and heads, that are held at a time: 256 MiB."""


def load_attention(
    name: str | None,
    tokenizer: PreTrainedTokenizerBase,
    kind: str = "cls",
    *,
    layer: int = -1,
    device: str = "auto",
) -> PositionScorer:
    """Load a teacher from a folder of safetensors, a hub name, or `minilm`, to score tokens by its attention.

    The score of a token is the logarithm of its share of the attention, relative to an equal share. At temperature 1,
    tokens are then drawn in proportion to their attention; a row that is attended to evenly has scores of 0. A unit has
    the logarithm of the mean over its tokens.

    Args:
        name: The teacher; None where the user named none, which is refused.
        tokenizer: Tokenizer of the model that is trained, whose vocabulary must be the teacher's.
        kind: `cls` reads the attention that the first special token pays; `received` the mean attention that a token
            gets from the other ordinary tokens of its row.
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
    cls_id = cast("int | None", own.cls_token_id) if kind == "cls" else None
    score = partial(_attention_scores, teacher, layer % depth, torch.tensor(special), cls_id)
    return PositionScorer("attention", LOG_MEAN_EXP, key, teacher, own.model_max_length, "teacher", score)


def _attention_scores(
    teacher: PreTrainedModel, layer: int, special: Tensor, cls_id: int | None, input_ids: Tensor, valid: Tensor
) -> Tensor:
    """Return the scores of ordinary tokens, float32 (B, L); 0 elsewhere.

    Args:
        teacher: The model.
        layer: Layer that is read, from 0.
        special: Tokens that are not scored, and whose attention does not count, int64.
        cls_id: The token whose attention is read; None reads that of all ordinary tokens.
        input_ids: Token ids (B, L).
        valid: Attention mask (B, L).
    """
    scores = torch.zeros(input_ids.shape, device=input_ids.device)
    # all layers' attention comes back, and memory grows with the square of the length: a few rows at a time
    config = teacher.config
    weights_per_row = input_ids.shape[1] ** 2 * config.num_attention_heads * config.num_hidden_layers
    num_rows = max(1, _BATCH_ATTENTIONS // weights_per_row)
    for start in range(0, len(input_ids), num_rows):
        part = slice(start, start + num_rows)
        output = teacher(input_ids=input_ids[part], attention_mask=valid[part], output_attentions=True)
        weights = output.attentions[layer].float().mean(1)
        ordinary = valid[part].bool() & ~torch.isin(input_ids[part], special.to(input_ids.device))
        asked = None if cls_id is None else (input_ids[part] == cls_id).int().argmax(1)
        scores[part] = _log_shares(weights, ordinary, asked)
    return scores


def _log_shares(weights: Tensor, ordinary: Tensor, asked: Tensor | None) -> Tensor:
    """Return the scores for the attention (B, from L, to L) that positions pay to positions.

    Args:
        weights: The attention.
        ordinary: Positions that are scored, bool (B, L).
        asked: Position of each row whose attention is read, int64 (B,); None reads that of all ordinary ones.
    """
    if asked is not None:
        given = weights[torch.arange(len(weights), device=weights.device), asked]
    else:
        # the attention that a token pays to itself says nothing about how much others need it
        others = ordinary[:, :, None] & ~torch.eye(weights.shape[1], dtype=torch.bool, device=weights.device)
        given = (weights * others).sum(1)
    given = given * ordinary
    num_ordinary, total = ordinary.sum(1, keepdim=True), given.sum(1, keepdim=True)
    shares = given * num_ordinary / total.clamp_min(torch.finfo(torch.float32).tiny)
    return torch.where(ordinary & (total > 0), shares.clamp_min(_LEAST_SHARE).log(), 0.0)


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
