"""How a run masks: what the trainer is handed, so that it knows neither modality nor policy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from diffmask.core.masker import Masker
from diffmask.core.types import PositionMask, UnitMask
from diffmask.core.units import Units

Batch = Mapping[str, Any]


class _Adapter(Protocol):
    """What a trainer needs of a modality: `text.adapter.TextAdapter` and `video.adapter.VideoAdapter` are such."""

    @property
    def positions(self) -> str:
        """What its positions are called, in the plural."""
        ...

    def pad(self, rows: Sequence[Any], /) -> dict[str, Any]:
        """Make a batch of rows."""
        ...

    def units(self, batch: Batch, step: int, ratio: float = 1.0, /) -> Units:
        """Cut a batch into units, at an optimiser step that masks a share of the positions."""
        ...

    def corrupt(self, batch: Batch, units: Units, masked: UnitMask, step: int) -> dict[str, Any]:
        """Return the model's inputs, with labels."""
        ...

    def predicted(self, inputs: Batch, /) -> PositionMask:
        """Return which positions `losses` has a loss for, of what `corrupt` returned: all that are masked, or some."""
        ...

    def losses(self, model: torch.nn.Module, inputs: Batch) -> Tensor:
        """Return the loss of each predicted position, row by row, float (N,)."""
        ...


@dataclass(frozen=True)
class Masking:
    """How a run masks.

    Attributes:
        adapter: The modality.
        masker: Masks of training.
        evaluation: Masks of evaluation: one fixed draw, the same for every policy that is compared.
        domain: Tells which units are the domain's own; evaluation reports their loss separately.
        layer_decay: Factor of the learning rate from each layer to the one below it; 1 trains all layers alike.
        evaluation_adapter: Cuts what is evaluated into units, the same for every policy that is compared; None is
            `adapter`.
    """

    adapter: _Adapter
    masker: Masker
    evaluation: Masker
    domain: Callable[[Units], UnitMask] | None = None
    layer_decay: float = 1.0
    evaluation_adapter: _Adapter | None = None


def by_unit(losses: Tensor, units: Units, predicted: PositionMask) -> tuple[Tensor, Tensor]:
    """Return the mean loss of each unit, zero where nothing of it is predicted, and its predicted positions, (B, U).

    Args:
        losses: Loss of each predicted position, row by row.
        units: The batch's units.
        predicted: Which positions are predicted, bool (B, L).
    """
    rows, columns = predicted.nonzero(as_tuple=True)
    places = (rows, units.of_positions(rows, columns))
    sums = torch.zeros(units.eligible.shape, device=losses.device, dtype=losses.dtype)
    counts = torch.zeros_like(sums).index_put_(places, torch.ones_like(losses), accumulate=True)
    sums.index_put_(places, losses, accumulate=True)
    return sums / counts.clamp_min(1), counts
