"""Whether a model, its tokenizer and its rows fit together: the one place that knows what each family can read.

Loading asks it (`diffmask.text.model.load`), so that every command refuses the same in the same words, before any work.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file

from diffmask.core.errors import InputError, library_errors

_AFTER_PAD = (
    "camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm",
    "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip
"""Models that count positions from behind that of the pad token."""
_POSITIONS = ("max_position_embeddings", "max_encoder_position_embeddings")
"""What architectures call the number of their positions."""
_VOCABULARIES = (
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tekken.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
)
"""Files of a vocabulary that one class or another reads."""
_PROBE_LENGTH = 8


def most_tokens(config: PreTrainedConfig) -> int | None:
    """Return the most tokens of a row, special tokens included, that a model reads; None where there is no limit.

    Models with relative positions have none, such as T5 or DeBERTa-v3. Of a model that rotates its states by their
    position (ModernBERT) it is the number that it was made for.
    """
    text = config.get_text_config()
    known = (getattr(text, name, None) for name in _POSITIONS)
    positions = next((number for number in known if isinstance(number, int) and number > 0), None)
    if positions is None or not getattr(text, "position_biased_input", True):
        return None
    counts_from_pad = text.model_type in _AFTER_PAD or _is_absolute_esm(text)
    return positions - (text.pad_token_id or 0) - 1 if counts_from_pad else positions


def _is_absolute_esm(config: PreTrainedConfig) -> bool:
    return config.model_type == "esm" and getattr(config, "position_embedding_type", None) == "absolute"


def check_length(config: PreTrainedConfig, max_length: int) -> None:
    """Refuse rows that are longer than what a model has positions for.

    Args:
        config: Config of the model.
        max_length: Number of tokens that are read of a text.

    Raises:
        InputError: If the model has fewer positions.
    """
    most = most_tokens(config)
    if most is not None and max_length > most:
        raise InputError(f"max_length={max_length} is more than the {most} tokens that the model reads; give less")


def check_tokenizer_files(folder: str, name: str, vocabularies: Iterable[str] = ()) -> None:
    """Refuse a model without the files of its tokenizer, in whose place transformers makes up a few tokens.

    Args:
        folder: Folder, or name on the hub.
        name: What the user called it.
        vocabularies: Files that the class of its tokenizer reads, where it is known.

    Raises:
        InputError: If no file of a vocabulary is there.
    """
    if has_file(folder, "tokenizer.json"):
        return
    if not any(has_file(folder, file) for file in sorted({*vocabularies, *_VOCABULARIES})):
        raise InputError(
            f"{name!r} has no tokenizer files (such as tokenizer.json); copy them there from the model that it was "
            "made from, or save the tokenizer with tokenizer.save_pretrained"
        )
    if has_file(folder, "vocab.json") and not has_file(folder, "merges.txt"):
        raise InputError(
            f"{name!r} has the vocab.json of a tokenizer, but not its merges.txt; copy it there from the model that it "
            "was made from"
        )


def has_file(folder: str, file: str) -> bool:
    """Tell whether a model, in a folder or on the hub, has a file."""
    if Path(folder).exists():
        return (Path(folder) / file).is_file()
    try:
        found = cached_file(
            folder, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
        )
    except OSError:  # no such name can be on the hub
        return False
    return found is not None


def check_rows(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, name: str) -> None:
    """Refuse a tokenizer that gives ids for which the model has no rows; more rows than tokens are fine.

    Raises:
        InputError: If there is such an id.
    """
    rows = getattr(config.get_text_config(), "vocab_size", None)
    last = max(tokenizer.get_vocab().values(), default=-1)
    if isinstance(rows, int) and last >= rows:
        raise InputError(
            f"the tokenizer of {name!r} has {last + 1} tokens, but the model has rows for only {rows}; if tokens were "
            "added, call model.resize_token_embeddings(len(tokenizer)) and save the model again, else copy the "
            "tokenizer files from the model that it was made from"
        )


def without_padding(config: PreTrainedConfig, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a padded batch without the columns of padding that a model has no positions for.

    Rows are padded to a multiple of eight tokens, and the positions of some models are none.

    Args:
        config: Config of the model.
        inputs: input_ids and attention_mask, and what else its forward takes of each token, (B, L).

    Raises:
        InputError: If rows are longer than the model reads, or, on a CPU, have ids that it has no rows for: they were
            made for another model.
    """
    ids, most = inputs["input_ids"], most_tokens(config)
    rows = getattr(config.get_text_config(), "vocab_size", None)
    # on a GPU the highest id would have to be waited for
    if ids.device.type == "cpu" and isinstance(rows, int) and ids.numel() and ids.max() >= rows:
        raise InputError(
            f"a row has the token id {int(ids.max())}, and the model has rows for only {rows} tokens; call "
            "model.resize_token_embeddings(len(tokenizer)), or use the model's own tokenizer"
        )
    if most is None or ids.shape[1] <= most:
        return dict(inputs)
    longest = int(inputs["attention_mask"].sum(1).max())
    if longest > most:
        raise InputError(
            f"a row has {longest} tokens, and the model reads {most}; tokenise with max_length={most} or less"
        )
    return {name: values[:, :most] for name, values in inputs.items()}


def check_reads(model: PreTrainedModel, name: str, run: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Refuse a model that cannot be given token ids and an attention mask alone, by giving it a few.

    Args:
        model: The model, in evaluation mode.
        name: What the user called it.
        run: Gives the model what it reads.

    Raises:
        InputError: If that fails.
    """
    config = model.config
    if model.main_input_name == "pixel_values":
        return
    if config.model_type == "xmod" and config.default_language is None:
        languages = ", ".join(config.languages)
        raise InputError(
            f"{name!r} is an X-MOD model whose language is unknown; set default_language in its config.json to one of: "
            f"{languages}"
        )
    if config.model_type == "nystromformer" and config.num_landmarks != config.segment_means_seq_len:
        raise InputError(
            f"{name!r} approximates attention by {config.num_landmarks} landmarks, so it reads only rows of exactly "
            f"{config.segment_means_seq_len} tokens; set num_landmarks={config.segment_means_seq_len} in its "
            "config.json, which makes the attention exact and changes no weight"
        )
    if getattr(config, "attention_type", None) == "block_sparse":
        return  # BigBird reads rows of any length; a short one would turn its sparse attention off for good
    length = min(_PROBE_LENGTH, most_tokens(config) or _PROBE_LENGTH)
    ids = torch.ones((1, length), dtype=torch.long, device=model.device)
    what = f"{name!r} is a {config.model_type} model, which cannot be given tokens alone"
    with (
        torch.inference_mode(),
        torch.random.fork_rng(),
        library_errors(what, "use BERT, RoBERTa, DeBERTa, ELECTRA, ModernBERT or the like", Exception),
    ):
        run({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
