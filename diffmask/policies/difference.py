"""Difference-Masking: prefer what makes the domain different (Wilf et al. 2023)."""

import torch
from torch import Tensor

from diffmask.core.policy import Policy
from diffmask.core.types import Scores
from diffmask.core.units import Units


class Difference(Policy):
    """Prefer units near the anchors of a domain: one score per type, gathered on the device.

    Args:
        type_scores: Score of each row of the type table, float (V,), finite.
        unknown_score: Score of units whose type is not in the table; by default the median of the table, so that they
            are neither preferred nor avoided.

    Raises:
        ValueError: If the table is empty or a score in it is not finite.
    """

    def __init__(self, type_scores: Tensor, unknown_score: float | None = None):
        if type_scores.dim() != 1 or type_scores.numel() == 0:
            raise ValueError(f"type_scores has shape {tuple(type_scores.shape)}; it must be (V,) with V >= 1")
        if not type_scores.isfinite().all():
            raise ValueError("type_scores holds values that are not finite; make the anchors again")
        unknown = type_scores.median() if unknown_score is None else torch.tensor(unknown_score)
        self._table = torch.cat([unknown.reshape(1).to(type_scores), type_scores]).float()

    def score(self, units: Units) -> Scores:
        """Return the table's score of each unit's type."""
        if units.types is None:
            raise ValueError("difference masking needs units with types; tokenise the text with the anchors' types")
        if self._table.device != units.types.device:
            self._table = self._table.to(units.types.device)
        return self._table.index_select(0, (units.types + 1).flatten()).view(units.types.shape)
