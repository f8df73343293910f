"""Which patches of each clip are visible and which are predicted, as indices of equal number in every row."""

from typing import NamedTuple

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import PositionMask


class Counts(NamedTuple):
    """How many patches of every clip are masked, and how many of those are predicted."""

    masked: int
    predicted: int


class Places(NamedTuple):
    """Positions in each row's order: the visible patches (B, V) and the predicted ones (B, P), int64."""

    visible: Tensor
    predicted: Tensor


def find_places(masked: PositionMask, predicted: PositionMask, counts: Counts | None = None) -> Places:
    """Return where the visible and the predicted patches are, by one sort.

    Args:
        masked: What is hidden, the same number in every row.
        predicted: The part of it that is predicted, the same number in every row.
        counts: These numbers, where the caller is sure of them: then nothing is read back from the device.

    Raises:
        InputError: If counts differ, nothing is visible, or something visible is to be predicted.
    """
    counts = check_counts(masked, predicted) if counts is None else counts
    # 0 visible, 1 hidden and left out, 2 predicted; a stable sort keeps each row's order within these
    order = (masked.to(torch.int8) + predicted.to(torch.int8)).argsort(dim=1, stable=True)
    num_positions = masked.shape[1]
    return Places(order[:, : num_positions - counts.masked], order[:, num_positions - counts.predicted :])


def check_counts(masked: PositionMask, predicted: PositionMask) -> Counts:
    """Return how many patches are masked and predicted in every row, read back from the device at once.

    Raises:
        InputError: As `find_places`.
    """
    hidden, wanted = masked.sum(1), predicted.sum(1)
    outside = (predicted & ~masked).sum()
    fewest, most, least, largest, outside = torch.stack(
        [hidden.min(), hidden.max(), wanted.min(), wanted.max(), outside]
    ).tolist()
    if fewest != most:
        raise InputError(
            f"the clips of a batch hide from {fewest} to {most} patches; every clip must hide the same number, "
            "so draw masks with uniform=True"
        )
    if least != largest:
        raise InputError(
            f"from {least} to {largest} hidden patches of a clip are to be predicted; it must be the same number in "
            "every clip, so draw the subset with uniform=True"
        )
    if outside:
        raise InputError(f"{outside} patches are to be predicted though they are visible; predict masked ones only")
    if fewest == masked.shape[1]:
        raise InputError(f"all {fewest} patches of the clips are masked; leave some visible (a lower mask ratio)")
    return Counts(fewest, least)
