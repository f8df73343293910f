"""What an evaluation takes of each row: its loss, and on how many positions, of all words and of the domain's."""

from collections.abc import Callable

import torch
from torch import Tensor

from diffmask.core.types import UnitMask
from diffmask.core.units import Units
from diffmask.train.masking import Batch, Masking, by_unit


def row_sums(masking: Masking, model: torch.nn.Module, batch: Batch, is_domain: Callable[[Units], UnitMask]) -> Tensor:
    """Return loss and number of predicted positions per row, of all units and of the domain's, float64 (B, 4)."""
    adapter = masking.evaluation_adapter or masking.adapter
    units = adapter.units(batch, 0)
    masked = masking.evaluation(units, 0, 1)
    inputs = adapter.corrupt(batch, units, masked, 0)
    units = units.smallest
    losses, counts = by_unit(adapter.losses(model, inputs), units, adapter.predicted(inputs))
    columns = [losses.double() * counts, counts.double()]
    domain = is_domain(units)
    return torch.stack([value.sum(1) for value in (*columns, *(value * domain for value in columns))], dim=1)
