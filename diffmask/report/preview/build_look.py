"""What a policy needs to look at a text, before training or in the middle of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from diffmask.assemble.modality import read_config
from diffmask.assemble.recipe import Ingredients
from diffmask.assemble.text import TextMasking, class_names
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.schedule import Constant
from diffmask.report.preview.look import Look
from diffmask.train.folder import read_policy

if TYPE_CHECKING:
    from diffmask.text.anchors.anchor_set import AnchorSet


def build_look(
    masking: TextMasking,
    tokenizer: PreTrainedTokenizerBase,
    anchors: "AnchorSet | None",
    *,
    progress: float | None = None,
) -> Look:
    """Return how a policy looks at a text.

    Args:
        masking: What the settings come to.
        tokenizer: Tokenizer of the model.
        anchors: The domain's words, if they are known.
        progress: Hold ratio and strength at this share of the training; None draws masks from all of it.

    Raises:
        InputError: If a setting cannot be used.
    """
    annotators = masking.annotators(anchors)
    masker = masking.masker(Ingredients(masking.config, anchors, class_names(annotators)))
    if progress is not None:
        masker = held_at(masker, progress)
    return Look(masker, masking.adapter(tokenizer), annotators, masking.scorers(tokenizer))


def held_at(masker: Masker, progress: float) -> Masker:
    """Return a masker whose schedules stay what they are at this share of the training.

    Raises:
        InputError: If the share is none.
    """
    if not 0.0 <= progress <= 1.0:
        raise InputError(f"the progress {progress:g} is outside [0, 1]; 0.5 is the middle of the training")
    return replace(
        masker,
        ratio=Constant(masker.ratio(progress)),
        strength=Constant(masker.strength(progress)),
        guided_share=Constant(masker.guided_share(progress)),
    )


def read_checkpoint(folder: Path) -> tuple[Any, float, dict]:
    """Return the settings of a run, how far it was at a checkpoint, and what its policy had learned by then.

    Raises:
        InputError: If the folder is no checkpoint of a run.
    """
    state, settings = folder / "trainer_state.json", folder.parent / "config.yaml"
    if not (state.exists() and settings.exists()):
        raise InputError(f"{folder} is no checkpoint of a run; give a folder such as runs/chemistry/checkpoint-500")
    try:
        trained = json.loads(state.read_text(encoding="utf-8"))
        progress = trained["global_step"] / max(trained["max_steps"], 1)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{state} is damaged ({error!r}); give another checkpoint of the run") from error
    return read_config(settings), progress, read_policy(folder)
