"""How a run masks: what the trainer is handed, so that it knows neither modality nor policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from diffmask.core.masker import Masker
from diffmask.core.types import UnitMask
from diffmask.core.units import Units

Batch = Mapping[str, Any]


class Adapter(Protocol):
    """What a trainer needs of a modality; `diffmask.text.adapter.TextAdapter` is one."""

    def pad(self, rows: Sequence[Mapping[str, Any]], /) -> dict[str, Any]:
        """Make a batch of rows."""
        ...

    def units(self, batch: Batch, step: int, ratio: float = 1.0, /) -> Units:
        """Cut a batch into units, at an optimiser step that masks a share of the positions."""
        ...

    def corrupt(self, batch: Batch, units: Units, masked: UnitMask, step: int) -> dict[str, Any]:
        """Return the model's inputs, with labels."""
        ...

    def losses(self, model: torch.nn.Module, inputs: Batch) -> Tensor:
        """Return the loss of each masked position, row by row, float (N,)."""
        ...


@dataclass(frozen=True)
class Masking:
    """How a run masks.

    Attributes:
        adapter: The modality.
        masker: Masks of training.
        evaluation: Masks of evaluation: one fixed draw, the same for every policy that is compared.
        domain_types: Which types of the type table are the domain's own, bool (V,); evaluation reports their loss
            separately.
        layer_decay: Factor of the learning rate from each layer to the one below it; 1 trains all layers alike.
        evaluation_adapter: Cuts what is evaluated into units, the same for every policy that is compared; None is
            `adapter`.
    """

    adapter: Adapter
    masker: Masker
    evaluation: Masker
    domain_types: Tensor | None = None
    layer_decay: float = 1.0
    evaluation_adapter: Adapter | None = None


def by_unit(losses: Tensor, units: Units, masked: UnitMask) -> Tensor:
    """Return the mean loss over the positions of each masked unit, float (B, U), zero elsewhere.

    Args:
        losses: Loss of each masked position, row by row.
        units: The batch's units.
        masked: Which are masked.
    """
    rows, columns = units.to_positions(masked).nonzero(as_tuple=True)
    sums = torch.zeros(masked.shape, device=losses.device, dtype=losses.dtype)
    sums.index_put_((rows, units.of_positions(rows, columns)), losses, accumulate=True)
    return sums / units.lengths.clamp_min(1).to(sums)
