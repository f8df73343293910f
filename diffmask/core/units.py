"""The contract between adapters, which make units, and policies, which score them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from diffmask.core.types import PositionMask, SampleIds, Scores, Types, UnitIds, UnitMask


@dataclass(frozen=True)
class Units:
    """A batch divided into units, the smallest things that are masked whole.

    Attributes:
        unit_ids: Unit of each position; -1 for padding and special tokens. None if every position is a unit of its own,
            in the same place.
        eligible: Which units may be masked; also False for the padding of the unit axis.
        sample_ids: Identity of each row in its dataset, on which the noise depends.
        types: Row of each unit in a table of types, if units have types.
        features: Named values of each unit, (B, U) or (B, U, ...), that policies read: its class, the attention it
            receives, its embedding, ...
        parts: The smaller units of which these consist (the words of a span), over the same positions; None if there
            are none. Policies score the parts; a unit's score is the mean over its positions.
        part_units: Unit of each part, int (B, parts); -1 = none. Given with `parts`.

    Raises:
        ValueError: If shapes, dtypes or devices do not fit together.
    """

    unit_ids: UnitIds | None
    eligible: UnitMask
    sample_ids: SampleIds
    types: Types | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    parts: "Units | None" = None
    part_units: UnitIds | None = None

    def __post_init__(self):
        """Check the tensors here, once: everything later is derived from them."""
        rows, units = self.eligible.shape
        tensors = {"types": self.types, "sample_ids": self.sample_ids, **self.features}
        for name, value in tensors.items():
            shape = (rows,) if name == "sample_ids" else (rows, units)
            # a feature may have more dimensions: an embedding is (B, U, D)
            held = () if value is None else tuple(value.shape)[: 2 if name in self.features else None]
            if value is not None and held != shape:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}; with eligible {rows, units} it must be {shape}"
                )
        if self.unit_ids is not None and (self.unit_ids.dim() != 2 or self.unit_ids.shape[0] != rows):
            raise ValueError(f"unit_ids has shape {tuple(self.unit_ids.shape)}; it must be ({rows}, L)")
        if self.eligible.dtype != torch.bool:
            raise ValueError(f"eligible is {self.eligible.dtype}; it must be torch.bool (True = may be masked)")
        if (self.parts is None) != (self.part_units is None):
            raise ValueError("parts and part_units go together; give both, or neither")
        given = [self.unit_ids, self.eligible, self.part_units, *tensors.values()]
        devices = {tensor.device for tensor in given if tensor is not None}
        if len(devices) > 1:
            raise ValueError(f"units lie on several devices ({', '.join(sorted(map(str, devices)))}); move them to one")

    @property
    def num_positions(self) -> int:
        """Number of positions of a row, including padding."""
        return self.eligible.shape[1] if self.unit_ids is None else self.unit_ids.shape[1]

    @cached_property
    def lengths(self) -> Tensor:
        """Number of positions of each eligible unit, float32 (B, U); 0 where not eligible."""
        if self.unit_ids is None:
            return self.eligible.float()
        held = self.unit_ids >= 0
        counts = torch.zeros(self.eligible.shape, device=held.device)
        if counts.shape[1] == 0:
            return counts  # a batch of rows without any unit
        return counts.scatter_add_(1, self.unit_ids.clamp_min(0), held.float()) * self.eligible

    @property
    def smallest(self) -> "Units":
        """The units that policies score: the parts, or the units themselves."""
        return self if self.parts is None else self.parts

    def pool(self, scores: Scores) -> Scores:
        """Return the score of each unit, given those of `smallest`: the mean over the unit's positions."""
        if self.parts is None or self.part_units is None:
            return scores
        held = (self.part_units >= 0) & self.parts.eligible
        weighed = (scores * self.parts.lengths).masked_fill(~held, 0.0)
        sums = torch.zeros(self.eligible.shape, device=scores.device, dtype=weighed.dtype)
        if sums.shape[1] == 0:
            return sums
        sums.scatter_add_(1, self.part_units.clamp_min(0), weighed)
        return sums / self.lengths.clamp_min(1)

    def to_smallest(self, masked: UnitMask) -> UnitMask:
        """Spread a choice of units over `smallest`."""
        if self.parts is None or self.part_units is None:
            return masked
        if masked.shape[1] == 0:
            return torch.zeros_like(self.parts.eligible)
        return masked.gather(1, self.part_units.clamp_min(0)) & (self.part_units >= 0) & self.parts.eligible

    def to_positions(self, masked: UnitMask) -> PositionMask:
        """Spread a choice of units over their positions; positions without a unit are never masked."""
        if self.unit_ids is None:
            return masked
        if masked.shape[1] == 0:
            return torch.zeros_like(self.unit_ids, dtype=torch.bool)
        return masked.gather(1, self.unit_ids.clamp_min(0)) & (self.unit_ids >= 0)

    def of_positions(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the unit of each of some positions, int64 (N,)."""
        return columns if self.unit_ids is None else self.unit_ids[rows, columns]
