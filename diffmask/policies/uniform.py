"""Random masking: every unit is wanted equally."""

import torch

from diffmask.core.policy import Policy
from diffmask.core.types import Scores
from diffmask.core.units import Units


class Uniform(Policy):
    """No preference; the baseline of every comparison (BERT's masking, with exact counts)."""

    def score(self, units: Units) -> Scores:
        """Return zeros."""
        return torch.zeros(units.eligible.shape, device=units.eligible.device)
