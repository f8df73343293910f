"""VideoAdapter, the face of video: crops of clips become units, and a mask of units becomes what a model sees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor

from diffmask.config.limits import Between, OneOf, check_limits
from diffmask.core.noise import PREDICT
from diffmask.core.select import select
from diffmask.core.types import PositionMask, UnitMask
from diffmask.core.units import Units
from diffmask.video.model.forward import masked_losses
from diffmask.video.model.targets import normalised
from diffmask.video.units.features import PatchFeature
from diffmask.video.units.grid import Grid, PatchCounts, find_places

Batch = Mapping[str, Any]
_DECODER_CELL = (2, 2)
"""Patches of a running cell, in height and width, by which a decoder `cell` chooses."""


class _Targets(Protocol):
    """What a model is to predict."""

    def __call__(self, frames: Tensor, units: Units, *, positions: Tensor | None = None) -> Tensor:
        """Return the targets of patches, float (B, P, C).

        Args:
            frames: Normalised frames, float (B, T, 3, H, W).
            units: The patches with their features.
            positions: The patches wanted, int64 (B, P); None takes all.
        """
        ...


@dataclass(frozen=True)
class VideoAdapter:
    """How clips are batched, cut into units, hidden and predicted.

    Attributes:
        grid: The patches of a clip.
        mean: Mean of red, green and blue, in [0, 1], that pixels are normalised by.
        std: Standard deviation of red, green and blue that they are normalised by.
        targets: What is predicted.
        kind: Kind of units: patch, tube, frame, block or cell.
        size: Patches of a block (time, height, width) or of a cell (height, width).
        features: What policies, or targets, read of each patch.
        decoded_share: Share of the masked patches that is decoded and has a loss, the same number in every row.
        decoder: Which patches these are: `random`, or `cell` for those on running cells first (VideoMAE V2).
        seed: Seed of that choice.
        positions: What its positions are called.
    """

    grid: Grid
    mean: Sequence[float]
    std: Sequence[float]
    targets: _Targets
    kind: str = "patch"
    size: tuple[int, ...] = ()
    features: tuple[PatchFeature, ...] = ()
    decoded_share: Annotated[float, Between(0, 1, "0.5 decodes every second one", without_low=True)] = 1.0
    decoder: Annotated[str, OneOf(("random", "cell"))] = "random"
    seed: int = 0
    positions: str = "patches"

    def __post_init__(self):
        """Check what users set."""
        check_limits(self)
        if self.decoder == "cell" and self.decoded_share < 1.0:
            self.grid.unit_ids("cell", _DECODER_CELL)  # refuses cells that do not divide the grid

    @cached_property
    def _unit_ids(self) -> Tensor:
        return self.grid.unit_ids(self.kind, self.size)

    @property
    def num_units(self) -> int:
        """Units of a clip."""
        return int(self._unit_ids.max()) + 1

    def pad(self, rows: Sequence[Sequence[Mapping[str, Any]]], /) -> dict[str, Tensor]:
        """Make a batch of rows, each the crops of one clip; all have one size, so nothing is padded."""
        crops = list(chain.from_iterable(rows))
        batch = {name: torch.stack([crop[name] for crop in crops]) for name in crops[0] if name != "sample_id"}
        return batch | {"sample_ids": torch.tensor([crop["sample_id"] for crop in crops])}

    def units(self, batch: Batch, step: int, ratio: float | Tensor = 1.0, /) -> Units:
        """Return the units of a batch; policies score patches, of which larger units are made.

        Args:
            batch: A batch as `pad` makes it.
            step: Optimiser step; units do not depend on it.
            ratio: Share of the positions that will be masked; units do not depend on it.
        """
        rows, device = len(batch["frames"]), batch["frames"].device
        eligible = torch.ones(rows, self.grid.num_positions, dtype=torch.bool, device=device)
        features = {name: value for find in self.features for name, value in find(batch, self.grid).items()}
        patches = Units(None, eligible, batch["sample_ids"], features=features)
        if self.kind == "patch":
            return patches
        ids = self._unit_ids.to(device).expand(rows, -1)
        return Units(ids, eligible[:, : self.num_units], batch["sample_ids"], parts=patches, part_units=ids)

    def corrupt(self, batch: Batch, units: Units, masked: UnitMask, step: int) -> dict[str, Any]:
        """Return normalised frames, which patches are hidden and which of them are predicted, and the targets."""
        frames = self.normalised(batch["frames"])
        hidden = units.to_positions(masked)
        predicted = self._predicted(hidden, units, step)
        places = find_places(hidden, predicted)
        targets = self.targets(frames, units.smallest, positions=places.predicted)
        # known from the shapes, so that the forward pass need not read it back from the device again
        num_masked = hidden.shape[1] - places.visible.shape[1]
        return {
            "frames": frames, "masked": hidden, "predicted": predicted, "targets": targets, "num_masked": num_masked
        }  # fmt: skip

    def normalised(self, frames: Tensor) -> Tensor:
        """Return uint8 frames (..., 3, H, W) as the model reads them."""
        return normalised(frames, self.mean, self.std)

    def _predicted(self, hidden: PositionMask, units: Units, step: int) -> PositionMask:
        if self.decoded_share == 1.0:
            return hidden
        weights = torch.ones(hidden.shape, device=hidden.device)
        if self.decoder == "cell":
            # weight zero comes last: first the patches on running cells, then others until every row has its number
            num_places = _DECODER_CELL[0] * _DECODER_CELL[1]
            places = self.grid.unit_ids("cell", _DECODER_CELL).to(hidden.device) % num_places
            weights *= places < round(self.decoded_share * num_places)
        patches = Units(None, hidden, units.sample_ids)
        share = self.decoded_share
        return select(weights, patches, share, seed=self.seed, step=step, uniform=True, stream=PREDICT)

    def predicted(self, inputs: Batch, /) -> PositionMask:
        """Return which patches are decoded."""
        return inputs["predicted"]

    def losses(self, model: torch.nn.Module, inputs: Batch) -> Tensor:
        """Return the mean squared error of each predicted patch, row by row, float32 (N,)."""
        counts = PatchCounts(inputs["num_masked"], inputs["targets"].shape[1])
        hidden, predicted = inputs["masked"], inputs["predicted"]
        return masked_losses(model, inputs["frames"], hidden, predicted, inputs["targets"], counts=counts)
