"""One model of two: every weight lies on the line between the original's and the continued one's (WiSE-FT)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from transformers import PreTrainedModel

from diffmask.core.errors import InputError, library_errors
from diffmask.files.pretrained import quiet_loading


def load_continued(original: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Load the model of a run as one of the class of its original.

    Raises:
        InputError: If it cannot be read, or its weights are not those of the original by name and shape.
    """
    remedy = "give a run of `diffmask pretrain` that is complete"
    with quiet_loading(), library_errors(f"{folder} cannot be read", remedy, Exception):
        continued = type(original).from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    check_alike(original.state_dict(), continued.state_dict())
    return continued


def check_alike(original: Mapping[str, Tensor], continued: Mapping[str, Tensor]) -> None:
    """Refuse models that do not match.

    Raises:
        InputError: With the first name that one of them lacks, or that has another shape in each.
    """
    for name in dict.fromkeys([*original, *continued]):
        for held, other, lacking in ((original, continued, "continued"), (continued, original, "original")):
            if name in held and name not in other:
                raise InputError(f"the models do not match: the {lacking} one has no {name}; merge a run's own models")
        ours, theirs = tuple(original[name].shape), tuple(continued[name].shape)
        if ours != theirs:
            raise InputError(
                f"the models do not match: {name} is {ours} in the original and {theirs} in the continued one; merge "
                "models with the same vocabulary and sizes"
            )


@torch.no_grad()
def merge_into(
    model: PreTrainedModel,
    original: Mapping[str, Tensor],
    continued: Mapping[str, Tensor],
    share: float,
    fresh: Collection[str] = (),
) -> None:
    """Give a model the weights at a share of the way from the original to the continued one, one tensor at a time.

    At 0 and 1 they are those of the ends to the last bit. What is not a number with a point, such as a counter, is that
    of the continued one, and so is what the original lacks.

    Args:
        model: The model that is changed.
        original: Weights at 0.
        continued: Weights at 1.
        share: Of the way, in [0, 1].
        fresh: Names that the original lacks: a head, which only the run has trained.
    """
    state = model.state_dict()
    # of parameters that are one, such as a bias and that of the decoder, a checkpoint lacks one by name
    lacked = {state[name].data_ptr() for name in fresh if name in state}
    for name, weights in state.items():
        start, end = original[name], continued[name]
        if share == 1 or weights.data_ptr() in lacked or not weights.is_floating_point():
            weights.copy_(end)
        elif share == 0:
            weights.copy_(start)
        else:
            weights.copy_((1 - share) * start.to(weights) + share * end.to(weights))


@dataclass(frozen=True)
class Line:
    """The models between two.

    Attributes:
        model: One of them, which is moved along the line.
        original: Weights at its start.
        continued: Weights at its end.
        fresh: Names that the original lacks.
    """

    model: PreTrainedModel
    original: Mapping[str, Tensor]
    continued: Mapping[str, Tensor]
    fresh: Collection[str]

    @classmethod
    def between(cls, original: PreTrainedModel, folder: Path, fresh: Collection[str]) -> Self:
        """Return the line from a model, which is then moved, to the one in a folder.

        Raises:
            InputError: As `load_continued`.
        """
        continued = load_continued(original, folder).state_dict()
        start = {name: weights.detach().clone() for name, weights in original.state_dict().items()}
        return cls(original, start, continued, fresh)

    def go_to(self, share: float) -> None:
        """Move the model to a share of the way."""
        merge_into(self.model, self.original, self.continued, share, self.fresh)
