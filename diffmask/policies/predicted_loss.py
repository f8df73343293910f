"""Hard patches: prefer what is predicted to be hard, by a small network that learns from the losses of the run."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffmask.core.errors import InputError
from diffmask.core.policy import Policy
from diffmask.core.types import Scores, UnitMask
from diffmask.core.units import Units

LEARNING_RATE = 0.01
_WIDTH = 64
SHIFTS = (1, 3, 7, 17, 41, 97, 197, 419, 811)
"""How far apart the two units of a compared pair lie: nine comparisons for each unit, because all would be too many."""
_DECAYS = (0.9, 0.99)


class PredictedLoss(Policy):
    """Prefer units whose loss is predicted to be high (after hard patches mining, Wang et al. 2023).

    As there, what is learned is which of two units of a row has the higher loss, because losses fall during training
    while their order hardly changes: with scores s, the loss is the cross entropy of sigmoid(s_i - s_j) with "i lost
    more than j". Unlike there, the scores come from a small network over each unit's appearance, and not from a decoder
    on an averaged copy of the whole model, which would cost a second forward pass; and pairs are sampled.

    Args:
        name: Name of the units' feature that is read, (B, U, D).
        dim: D.
        learning_rate: Learning rate of Adam.
        seed: Seed of the network's first weights.
    """

    def __init__(self, name: str, dim: int, learning_rate: float = LEARNING_RATE, seed: int = 0):
        if not learning_rate > 0.0:
            raise InputError(
                f"the predictor's learning rate {learning_rate:g} must be above 0; {LEARNING_RATE} is usual"
            )
        self._name, self._rate = name, learning_rate
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            last = nn.Linear(_WIDTH, 1, bias=False)
            self._network = nn.Sequential(nn.Linear(dim, _WIDTH), nn.GELU(), last)
        nn.init.zeros_(last.weight)  # no preference before anything is learned
        self._moments = torch.zeros(2, self._flat(self._network.parameters()).numel())
        self._num_steps = torch.zeros(())
        self._accuracy = torch.zeros(())
        self._restart()

    def _restart(self) -> None:
        # in the optimiser step so far: the sum of gradients, the number of pairs, and of pairs in the right order
        self._gradient = torch.zeros_like(self._moments[0])
        self._pairs = torch.zeros(2, dtype=torch.float64, device=self._moments.device)

    @staticmethod
    def _flat(tensors) -> Tensor:
        return torch.cat([tensor.flatten() for tensor in tensors])

    def score(self, units: Units) -> Scores:
        """Return the network's scores: differences are log odds that one loss is higher than the other."""
        features = self._features(units)
        with torch.no_grad():
            return self._network(features)[..., 0]

    def observe(self, units: Units, masked: UnitMask, loss: Tensor) -> None:
        """Compare the losses of units of a row, and sum up what the network should change."""
        features = self._features(units)
        with torch.enable_grad(), torch.autocast(features.device.type, enabled=False):
            scores = self._network(features)[..., 0]
            total, right, count = scores.new_zeros(()), scores.new_zeros(()), scores.new_zeros(())
            # rolling the whole row compares each unit with the one `shift` places before it: no list of pairs is needed
            for shift in SHIFTS[: max(1, sum(shift < scores.shape[1] for shift in SHIFTS))]:
                both = masked & masked.roll(shift, 1) & (loss != loss.roll(shift, 1))
                harder = (loss > loss.roll(shift, 1)).float()
                margin = scores - scores.roll(shift, 1)
                total = total + F.binary_cross_entropy_with_logits(margin, harder, both.float(), reduction="sum")
                right = right + (both & ((margin > 0) == (harder > 0))).sum()
                count = count + both.sum()
            gradients = torch.autograd.grad(total, list(self._network.parameters()))
        self._gradient += self._flat(gradients)
        self._pairs += torch.stack([count, right]).double().detach()

    def learn(self, total: Callable[[Tensor], Tensor]) -> None:
        """Take a step of Adam along the mean gradient over all pairs of all ranks."""
        pairs = total(self._pairs)
        gradient = total(self._gradient) / pairs[0].clamp_min(1).float()
        self._num_steps = self._num_steps + 1
        first, second = _DECAYS
        self._moments = torch.stack(
            [
                first * self._moments[0] + (1 - first) * gradient,
                second * self._moments[1] + (1 - second) * gradient.square(),
            ]
        )
        mean = self._moments[0] / (1 - first**self._num_steps)
        square = self._moments[1] / (1 - second**self._num_steps)
        step = self._rate * mean / (square.sqrt() + 1e-8)
        with torch.no_grad():
            for parameter, part in self._parts(step):
                parameter -= part
        self._accuracy = (pairs[1] / pairs[0].clamp_min(1)).float()
        self._restart()

    def _parts(self, flat: Tensor) -> list[tuple[nn.Parameter, Tensor]]:
        parameters = list(self._network.parameters())
        pieces = flat.split([parameter.numel() for parameter in parameters])
        return [(parameter, piece.view_as(parameter)) for parameter, piece in zip(parameters, pieces, strict=True)]

    def report(self) -> dict[str, float]:
        """Return how often the network told which of two units was harder, in the last step."""
        return {"hard_patch_accuracy": float(self._accuracy)} if self._num_steps > 0 else {}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the network and the moments of its gradient."""
        return {
            "predicted_loss.weights": self._flat(self._network.parameters()).detach().clone(),
            "predicted_loss.moments": self._moments.clone(),
            "predicted_loss.steps": self._num_steps.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` returned.

        Raises:
            InputError: If it is the state of another policy.
        """
        super().load_state_dict(state)
        with torch.no_grad():
            for parameter, part in self._parts(state["predicted_loss.weights"].to(self._moments.device)):
                parameter.copy_(part)
        self._moments = state["predicted_loss.moments"].to(self._moments)
        self._num_steps = state["predicted_loss.steps"].to(self._num_steps)

    def _features(self, units: Units) -> Tensor:
        if self._name not in units.features:
            known = ", ".join(sorted(units.features)) or "none"
            raise ValueError(f"the units have no feature `{self._name}` (they have: {known})")
        features = units.features[self._name].float()
        if self._moments.device != features.device:
            device = features.device
            self._network.to(device)
            kept = (self._moments, self._num_steps, self._gradient, self._pairs)
            self._moments, self._num_steps, self._gradient, self._pairs = (tensor.to(device) for tensor in kept)
        return features
