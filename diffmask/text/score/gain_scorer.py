"""GainScorer: a model that says how much a task needs each token of a text, distilled from a classifier; its folder.

A folder holds the model as save_pretrained writes it, its tokenizer, and scorer.json, which says how the scorer was
made and how well it does.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoModelForTokenClassification, PreTrainedModel, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.files.folders import check_folder, replace_folder
from diffmask.text.model.load import load_tokenizer, load_weights
from diffmask.text.score.position_scores import MEAN, check_vocabulary, hash_model

_RECORD = "scorer.json"
_MAKE = "make it with: diffmask selective TASK --model MODEL -o FOLDER"


@dataclass(frozen=True, eq=False)
class GainScorer:
    """Score of each token: the log-odds that the task needs it. A unit has the mean over its tokens.

    Attributes:
        model: A token classifier of two labels, on its device, in evaluation mode; label 1 is "needed".
        tokenizer: Its tokenizer.
        record: What scorer.json says.
        key: What the scores depend on.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    record: dict[str, Any]
    key: str
    column: str = "gain"
    pooling: str = MEAN

    @torch.inference_mode()
    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the log-odds, float32 (B, L)."""
        device, most = self.model.device, self.tokenizer.model_max_length
        longest = int(attention_mask.sum(1).max()) if len(input_ids) else 0
        if longest > most:
            raise InputError(
                f"the scorer reads {most} tokens, but a row has {longest}; set data.max_length to what it reads"
            )
        scores = torch.zeros(input_ids.shape, device=device)
        if longest:
            ids, valid = input_ids[:, :longest].to(device), attention_mask[:, :longest].to(device)
            logits = self.model(input_ids=ids, attention_mask=valid).logits.float()
            scores[:, :longest] = logits[..., 1] - logits[..., 0]
        return scores


def load_gain(
    folder: str | Path | None, tokenizer: PreTrainedTokenizerBase | None = None, *, device: str = "auto"
) -> GainScorer:
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
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; {_MAKE}")
    if not (folder / _RECORD).is_file():
        raise InputError(f"folder {folder} has no {_RECORD}, so it is not one of a scorer; {_MAKE}")
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / _RECORD} is damaged ({error}); make the scorer again") from error
    target = resolve_device(device)
    own = load_tokenizer(str(folder))
    if tokenizer is not None:
        remedy = "make one with: diffmask selective TASK --model MODEL, of the model that is trained"
        check_vocabulary(f"the scorer {str(folder)!r}", own, tokenizer, remedy)
    model, fresh = load_weights(AutoModelForTokenClassification, str(folder))
    if fresh or model.config.num_labels != 2:
        raise InputError(f"the model in {folder} is not a scorer of tokens; {_MAKE}")
    model = cast(Any, model).eval().to(target)
    return GainScorer(model, own, record, hash_model(model))


def check_scorer_folder(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Return the folder if a scorer may be written there; see `folders.check_folder`."""
    # the files of a tokenizer differ from family to family, so it is the record that tells a scorer's folder
    names = os.listdir(folder) if (Path(folder) / _RECORD).is_file() else ()
    return check_folder(folder, "scorer", names, overwrite=overwrite)


def save_scorer(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, record: Mapping[str, Any]
) -> None:
    """Write a scorer's folder; it appears when it is complete, in the place of one that was there."""
    draft = folder.absolute().with_name(f".{folder.absolute().name}.{os.getpid()}.partial")
    try:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        (draft / _RECORD).write_text(text, encoding="utf-8")
        replace_folder(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
