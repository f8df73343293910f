"""How a run masks: what the trainer is given, so that it need not know modalities or policies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from diffmask.core.masker import Choice, Drawn, Masker
from diffmask.core.types import PositionMask, UnitMask, Weights
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

    def units(self, batch: Batch, step: int, ratio: float | Tensor = 1.0, /) -> Units:
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


class Masks(Protocol):
    """What a trainer asks of how a run masks: `Masking`, or `video_text.masking.JointMasking` of two."""

    @property
    def sides(self) -> "Mapping[str, Masking]":
        """The maskings that it consists of, by name; the only one is called ""."""
        ...

    @property
    def weights(self) -> Mapping[str, float]:
        """By name, the weight of each loss in the sum: those of the sides, and others that a row has as a whole."""
        ...

    @property
    def layer_decay(self) -> float:
        """Factor of the learning rate from each layer to the one below it; 1 trains all layers alike."""
        ...

    @property
    def fixed(self) -> "Masks":
        """The masks of evaluation: always the same, for every policy that is compared."""
        ...

    def reseeded(self, seed: int) -> "Masks":
        """Return the same with other masks."""
        ...

    def pad(self, rows: Sequence[Any], /) -> dict[str, Any]:
        """Make a batch of rows."""
        ...

    def draw(self, batch: Batch, step: int, num_steps: int) -> Drawn:
        """Mask a batch at an optimiser step."""
        ...

    def predicted(self, inputs: Batch, side: str) -> PositionMask:
        """Return for which positions of a side there is a loss."""
        ...

    def losses(self, model: torch.nn.Module, inputs: Batch) -> Mapping[str, Tensor]:
        """Return each loss by its name: of every predicted position of a side, row by row; or of every row."""
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
        weights: The weight of its loss, which alone is trained on.
    """

    adapter: _Adapter
    masker: Masker
    evaluation: Masker
    domain: Callable[[Units], UnitMask] | None = None
    layer_decay: float = 1.0
    evaluation_adapter: _Adapter | None = None
    weights: Mapping[str, float] = field(default_factory=lambda: {"": 1.0}, init=False)

    @property
    def sides(self) -> "Mapping[str, Masking]":
        """Return this, the only one."""
        return {"": self}

    @property
    def fixed(self) -> "Masking":
        """The masks of evaluation."""
        plain = self.evaluation_adapter or self.adapter
        return replace(self, adapter=plain, masker=self.evaluation, evaluation_adapter=None)

    def reseeded(self, seed: int) -> "Masking":
        """Return the same with other masks."""
        return replace(self, masker=replace(self.masker, seed=seed))

    def pad(self, rows: Sequence[Any], /) -> dict[str, Any]:
        """Make a batch of rows."""
        return self.adapter.pad(rows)

    def choose(self, batch: Batch, step: int, num_steps: int) -> Choice:
        """Divide a batch into units, and choose those that are masked."""
        units, weights = self.weigh(batch, step, num_steps)
        return Choice(units, weights, self.masker.draw(weights, units, step, num_steps))

    def weigh(self, batch: Batch, step: int, num_steps: int) -> tuple[Units, Weights]:
        """Divide a batch into units, and return them with their weights."""
        units = self.adapter.units(batch, step, self.masker.ratios(batch.get("sample_ids"), step, num_steps))
        return units, self.masker.weights(units, step / num_steps)

    def draw(self, batch: Batch, step: int, num_steps: int) -> Drawn:
        """Mask a batch at an optimiser step."""
        choice = self.choose(batch, step, num_steps)
        inputs = self.adapter.corrupt(batch, choice.units, choice.masked, step)
        return Drawn(inputs, {"": choice}, self.adapter.predicted(inputs).sum()[None])

    def predicted(self, inputs: Batch, side: str) -> PositionMask:
        """Return for which positions there is a loss."""
        return self.adapter.predicted(inputs)

    def losses(self, model: torch.nn.Module, inputs: Batch) -> Mapping[str, Tensor]:
        """Return the loss of every predicted position, row by row."""
        return {"": self.adapter.losses(model, inputs)}


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
