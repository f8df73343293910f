"""Loss-weighted content: mask more of the classes of units that the model still finds hard (Yang et al. 2023, PTW)."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.policy import Policy, Weighting, log_weights
from diffmask.core.types import Scores, UnitMask
from diffmask.core.units import Units

MOMENTUM = 0.999
"""Momentum of a class's running loss (Yang et al. 2023)."""
_STEEPNESS = 2.0
"""How steeply the weight rises with the standard deviations that a class lies above the mean (Yang et al. 2023)."""


class LossWeighted(Policy):
    """Multiply the weights of another policy by a weight for each class of units, which follows the loss.

    The loss of class k is `L_k <- m L_k + (1 - m) l_k`, where l_k is the mean loss of its masked positions in an
    optimiser step on all ranks; classes without any keep their loss, and all start at 0. The weight of a class is
    `W_k = sigmoid(2 (L_k - mean L) / std L)`, with the standard deviation of a sample, and 1/2 where that is 0. Units
    without a class weigh 1/2.

    The published code passes once over the words in random order and takes each with probability W_k until the budget
    is full, which may run short. Here units are drawn in proportion to W_k, which is the limit of such rounds when they
    are repeated.

    In a run of some hundred steps a class that is rarely masked keeps a loss near 0, is taken for easy, and is masked
    still less. `corrected` divides each loss by `1 - m^n`, where n is the number of steps in which the class was seen,
    as Adam does with its averages (Kingma and Ba 2015), and gives a class that was never seen the mean of the others.
    This is ours, not published.

    Scores are logarithms of weights, to be turned back by `softmax_weights` at temperature 1.

    Args:
        names: The classes; `units.features["classes"]` holds the row of each unit in them, -1 = none.
        policy: Policy whose weights are multiplied; `Uniform` is what was published.
        weighting: How the scores of that policy become weights.
        momentum: m, in [0, 1).
        corrected: Whether losses are corrected for how often a class was seen.

    Raises:
        InputError: If there are fewer than two classes, or the momentum is outside its range.
    """

    def __init__(
        self,
        names: Sequence[str],
        policy: Policy,
        weighting: Weighting,
        momentum: float = MOMENTUM,
        *,
        corrected: bool = False,
    ):
        if len(names) < 2:
            raise InputError(f"loss-weighted masking was given {len(names)} classes; it needs at least two to compare")
        if not 0.0 <= momentum < 1.0:
            raise InputError(f"the momentum {momentum:g} is outside [0, 1); 0.999 is that of the paper")
        self.names = tuple(names)
        self._policy, self._weighting, self._momentum, self._corrected = policy, weighting, momentum, corrected
        self._losses = torch.zeros(len(self.names), dtype=torch.float64)
        self._times = torch.zeros(len(self.names), dtype=torch.float64)
        # sums of losses and positions by class in the optimiser step so far; the last column takes units of no class
        self._seen = torch.zeros(2, len(self.names) + 1, dtype=torch.float64)

    @property
    def losses(self) -> Tensor:
        """The running loss of each class, float64 (K,)."""
        if not self._corrected or not self._times.any():
            return self._losses
        seen = self._times > 0
        corrected = self._losses / (1 - self._momentum**self._times).where(seen, 1)
        return corrected.where(seen, corrected[seen].mean())

    def class_weights(self) -> Tensor:
        """Return the weight of each class, float64 (K,), in (0, 1)."""
        return class_weights(self.losses)

    def score(self, units: Units) -> Scores:
        """Return the logarithm of the policy's weight times that of the unit's class."""
        return self.score_whole(units)

    def score_whole(self, units: Units) -> Scores:
        """Return the same for units that may be made of parts, with the geometric mean of the weights of their classes.

        A product of weights is a sum of logarithms, which a mean over the parts keeps comparable between long and short
        units.
        """
        classes = self._classes(units.smallest)
        # a class of -1 reads the table's last entry, the weight of units without a class
        table = torch.cat([self.class_weights(), torch.full((1,), 0.5, dtype=torch.float64, device=classes.device)])
        scores = log_weights(self._policy, self._weighting, units)
        return scores + units.pool(table.log().to(scores.dtype)[classes])

    def observe(self, units: Units, masked: UnitMask, loss: Tensor) -> None:
        """Sum up losses and positions by class."""
        self._policy.observe(units, masked, loss)
        classes = self._classes(units).remainder(len(self.names) + 1).flatten()  # -1 becomes the last column
        positions = (units.lengths * masked).double()
        self._seen[0].index_add_(0, classes, (loss.double() * positions).flatten())
        self._seen[1].index_add_(0, classes, positions.flatten())

    def learn(self, total: Callable[[Tensor], Tensor]) -> None:
        """Move the losses of the classes that were seen."""
        self._policy.learn(total)
        sums, counts = total(self._seen)[:, :-1]
        moved = self._momentum * self._losses + (1 - self._momentum) * sums / counts.clamp_min(1)
        self._losses, self._times = moved.where(counts > 0, self._losses), self._times + (counts > 0)
        self._seen = torch.zeros_like(self._seen)

    def report(self) -> dict[str, float]:
        """Return the loss of each class."""
        losses = {f"class_loss/{name}": value for name, value in zip(self.names, self.losses.tolist(), strict=True)}
        return self._policy.report() | losses

    def state_dict(self) -> dict[str, Tensor]:
        """Return the losses of the classes, and what the inner policy has learned."""
        own = {"losses": self._losses.clone(), "times": self._times.clone(), "names": _hash(self.names)}
        return self._policy.state_dict() | {f"loss_weighted.{name}": value for name, value in own.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` returned.

        Raises:
            InputError: If it is the state of another policy, or of other classes.
        """
        state = dict(state)
        losses, times, names = (state.pop(f"loss_weighted.{name}", None) for name in ("losses", "times", "names"))
        if losses is None or times is None or names is None or not torch.equal(names.cpu(), _hash(self.names)):
            given = "no losses of classes" if losses is None else f"those of {losses.numel()} other classes"
            raise InputError(
                f"the checkpoint holds {given}, and this run weighs {len(self.names)} ({', '.join(self.names)}); "
                "resume with the policy and the classes that the run was started with"
            )
        self._policy.load_state_dict(state)
        self._losses, self._times = losses.to(self._losses), times.to(self._times)

    def _classes(self, units: Units) -> Tensor:
        if "classes" not in units.features:
            raise ValueError("loss-weighted masking needs units with the feature `classes`; annotate the text with it")
        classes = units.features["classes"]
        if self._losses.device != classes.device:
            kept = (self._losses, self._times, self._seen)
            self._losses, self._times, self._seen = (tensor.to(classes.device) for tensor in kept)
        return classes


def class_weights(losses: Tensor) -> Tensor:
    """Return the weight of each class from its running loss, float64 (K,), in (0, 1)."""
    deviation = losses.std()
    # divided by infinity, equal losses give weights of 1/2
    return torch.sigmoid(_STEEPNESS * (losses - losses.mean()) / deviation.where(deviation > 0, torch.inf))


def _hash(names: Sequence[str]) -> Tensor:
    """Return 63 bits that tell these classes from others, int64 (1,)."""
    digest = hashlib.blake2b("\n".join(names).encode(), digest_size=8).digest()
    return torch.tensor([int.from_bytes(digest, "big") >> 1])
