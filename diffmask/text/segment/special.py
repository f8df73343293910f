"""The ids of special tokens; needs neither torch nor transformers."""

from typing import TYPE_CHECKING

from diffmask.core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def mask_token(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the id of the mask token.

    Raises:
        InputError: If there is none.
    """
    mask_id = special_id(tokenizer.mask_token_id)
    if mask_id is None:
        raise InputError(
            f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} has no mask token; "
            "use the tokenizer of a masked language model (BERT, RoBERTa, DeBERTa, ModernBERT, ...)"
        )
    return mask_id


def special_id(value: object) -> int | None:
    """Return the id of a special token as transformers gives it, or None; its declared type says much more."""
    assert value is None or isinstance(value, int)
    return value


def pad_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the id of the token that fills short rows: 0 without one, which the attention mask leaves out anyway."""
    return special_id(tokenizer.pad_token_id) or 0


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return the ids of all special tokens, in order: the named ones, and those that were added as special."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sorted(added | set(tokenizer.all_special_ids))
