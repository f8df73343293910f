"""A model that says how much a task needs each token of a text, distilled from a classifier; and its folder.

A folder holds the model as save_pretrained writes it, its tokenizer, and scorer.json, which says how the scorer was
made and how good it is.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from transformers import AutoModelForTokenClassification, PreTrainedModel, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.files.folders import check_folder, draft
from diffmask.files.made_folder import read_record, write_record
from diffmask.text.model.load import load_tokenizer, load_weights
from diffmask.text.score.position_scores import MEAN, PositionScorer, check_vocabulary, hash_model

_RECORD = "scorer.json"
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.codes", "*.jinja")
"""What a scorer's folder holds: the files of a model, and of tokenizers of all families."""
_MAKE = "make it with: diffmask selective TASK --model MODEL -o FOLDER"


def gain_scorer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PositionScorer:
    """Return what scores tokens by the log-odds that the task needs them; a unit has the mean over its tokens.

    Args:
        model: A token classifier of two labels, on its device, in evaluation mode; label 1 is "needed".
        tokenizer: Its tokenizer.
    """
    return PositionScorer(
        "gain", MEAN, hash_model(model), model, tokenizer.model_max_length, "scorer", partial(_log_odds, model)
    )


def _log_odds(model: PreTrainedModel, input_ids: Tensor, valid: Tensor) -> Tensor:
    logits = model(input_ids=input_ids, attention_mask=valid).logits.float()
    return logits[..., 1] - logits[..., 0]


def load_gain(
    folder: str | Path | None, tokenizer: PreTrainedTokenizerBase | None = None, *, device: str = "auto"
) -> PositionScorer:
    """Load a scorer that `diffmask selective` made.

    Args:
        folder: The scorer's folder; None where the user named none, which is refused.
        tokenizer: Tokenizer of the model that is trained, whose vocabulary must be the scorer's; None checks nothing.
        device: Where the scorer runs.

    Raises:
        InputError: If the folder is not a scorer's, a file is missing or damaged, or it reads other token ids.
    """
    if folder is None:
        raise InputError(f"the policy `selective` needs a scorer; name its folder with masking.scorer, and {_MAKE}")
    folder = Path(folder)
    read_record(folder / _RECORD, (_RECORD,), "scorer", _MAKE)
    target = resolve_device(device)
    own = load_tokenizer(str(folder))
    if tokenizer is not None:
        remedy = "make one with: diffmask selective TASK --model MODEL, of the model that is trained"
        check_vocabulary(f"the scorer {str(folder)!r}", own, tokenizer, remedy)
    model, fresh = load_weights(AutoModelForTokenClassification, str(folder))
    if fresh or model.config.num_labels != 2:
        raise InputError(f"the model in {folder} is not a scorer of tokens; {_MAKE}")
    return gain_scorer(cast(Any, model).eval().to(target), own)


def check_scorer_folder(folder: str | Path, *, overwrite: bool = False, reads: Iterable[str | Path] = ()) -> Path:
    """Return the folder if a scorer may be written there; see `folders.check_folder`."""
    # the files of a tokenizer differ from family to family, so it is the record that tells a scorer's folder
    own = _FILES if (Path(folder) / _RECORD).is_file() else ()
    return check_folder(folder, "scorer", own, overwrite=overwrite, reads=reads)


def save_scorer(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, record: Mapping[str, Any]
) -> None:
    """Write a scorer's folder; it appears when it is complete, and replaces one that was there."""
    with draft(folder) as new:
        model.save_pretrained(new)
        tokenizer.save_pretrained(new)
        write_record(new / _RECORD, record)
