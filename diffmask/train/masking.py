"""How a run masks: what the trainer is given, so that it need not know modalities or policies."""

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
    """What a trainer needs of a modality; `text.adapter.TextAdapter` and `video.adapter.VideoAdapter` have it."""

    @property
    def positions(self) -> str:
        """The name of its positions in the plural, such as tokens."""
        ...

    def pad(self, rows: Sequence[Any], /) -> dict[str, Any]:
        """Make a batch of rows."""
        ...

    def units(self, batch: Batch, step: int, ratio: float = 1.0, /) -> Units:
        """Divide a batch into units, at an optimiser step that will mask the share `ratio` of its positions."""
        ...

    def corrupt(self, batch: Batch, units: Units, masked: UnitMask, step: int) -> dict[str, Any]:
        """Return the model's inputs, with labels."""
        ...

    def predicted(self, inputs: Batch, /) -> PositionMask:
        """Return for which positions `losses` returns a loss: all masked ones, or some of them."""
        ...

    def losses(self, model: torch.nn.Module, inputs: Batch) -> Tensor:
        """Return the loss of each predicted position, row by row, float (N,)."""
        ...


@dataclass(frozen=True)
class Masking:
    """How a run masks.

    Attributes:
        adapter: What makes batches, units and losses of the modality.
        masker: Draws the masks of training.
        evaluation: Draws the masks of evaluation: always the same, for every policy that is compared.
        domain: Tells which units belong to the domain; evaluation reports their loss separately.
        layer_decay: Factor of the learning rate from each layer to the one below it; 1 trains all layers alike.
        evaluation_adapter: Divides held-out rows into units, alike for every policy that is compared; None stands for
            `adapter`.
    """

    adapter: _Adapter
    masker: Masker
    evaluation: Masker
    domain: Callable[[Units], UnitMask] | None = None
    layer_decay: float = 1.0
    evaluation_adapter: _Adapter | None = None


def by_unit(losses: Tensor, units: Units, predicted: PositionMask) -> tuple[Tensor, Tensor]:
    """Return the mean loss of each unit and the number of its predicted positions, both (B, U) and 0 if there are none.

    Args:
        losses: Loss of each predicted position, row by row.
        units: Units of the batch.
        predicted: Which positions are predicted, bool (B, L).
    """
    rows, columns = predicted.nonzero(as_tuple=True)
    places = (rows, units.of_positions(rows, columns))
    sums = torch.zeros(units.eligible.shape, device=losses.device, dtype=losses.dtype)
    counts = torch.zeros_like(sums).index_put_(places, torch.ones_like(losses), accumulate=True)
    sums.index_put_(places, losses, accumulate=True)
    return sums / counts.clamp_min(1), counts
