"""A second objective that is learned in the same steps as the masked one, from rows of its own, in one gradient."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor

from diffmask.core.noise import ORDER, keys, row_uniforms

BESIDE = "beside"
"""Key under which a masked batch carries the rows of the second objective."""


class Objective(Protocol):
    """What a run learns in addition to masked prediction; `diffmask.text.model.end_task.EndTask` is one.

    Its parameters are part of the model that is trained, so that they are moved, saved, resumed and distributed with
    it.

    Attributes:
        rows: Rows to train on.
        held_out: Rows to evaluate on; may be empty.
        batch_size: Number of rows that join each micro-batch of a rank.
        weight: Factor of its loss in the sum of the two.
    """

    rows: Sequence[Any]
    held_out: Sequence[Any]
    batch_size: int
    weight: float

    def pad(self, rows: Sequence[Any], /) -> dict[str, Tensor]:
        """Make a batch of rows."""
        ...

    def outcome(self, batch: dict[str, Tensor], /, *, training: bool) -> Tensor:
        """Return the loss of each row, and 1 where the prediction is right or 0, float (N, 2)."""
        ...


class Beside:
    """The part of a trainer that learns a second objective in the same steps; without one it does nothing.

    A step takes the next rows of an endless order, a new permutation for each pass, which is a function of the seed
    alone: it does not depend on how a step is divided into micro-batches and over ranks, or on where a run was resumed.
    The loss is the mean over all of the step's rows, on all ranks.

    Args:
        objective: The second objective, or None.
        accelerator: The accelerator of the trainer.
        seed: Seed of the order of rows.
    """

    def __init__(self, objective: Objective | None, accelerator: Accelerator, seed: int):
        self._objective, self._accelerator, self._seed = objective, accelerator, seed
        self._orders: dict[int, list[int]] = {}
        self._restart()

    def _restart(self) -> None:
        # sums over rows of the loss and of right answers, the number of rows, the sum of the masked loss
        self._sums = torch.zeros(4, dtype=torch.float64)
        self._num_steps = 0

    def join(self, batches: Sequence[dict[str, Any]], step: int, accumulation: int) -> None:
        """Add to each micro-batch of a step the rows of the second objective."""
        objective, ranks = self._objective, self._accelerator.num_processes
        if objective is None:
            return
        for place, batch in enumerate(batches):
            block = (step * accumulation + place) * ranks + self._accelerator.process_index
            rows = [objective.rows[self._row(block * objective.batch_size + i)] for i in range(objective.batch_size)]
            share = torch.tensor(1.0 / (len(batches) * ranks * objective.batch_size))
            batch[BESIDE] = {"rows": objective.pad(rows), "share": share}
        self._num_steps += 1

    def _row(self, position: int) -> int:
        """Return the row at a place of the endless order."""
        num_rows = len(self._objective.rows) if self._objective is not None else 0
        epoch, place = divmod(position, num_rows)
        if epoch not in self._orders:
            noise = row_uniforms(keys(self._seed, epoch, torch.arange(num_rows), stream=ORDER))
            # a step may reach beyond the end of a pass, so the order of the pass before is kept too
            self._orders = {each: order for each, order in self._orders.items() if each >= epoch - 1}
            self._orders[epoch] = noise.argsort(stable=True).tolist()
        return self._orders[epoch][place]

    @contextmanager
    def within(self, model: torch.nn.Module, beside: dict[str, Any] | None) -> Iterator[list[Tensor]]:
        """Compute the outcome of a micro-batch's rows within the model's next forward pass; yield the list it goes to.

        It must be within, since DistributedDataParallel finds the parameters that a step uses by what forward returns.
        """
        outcomes: list[Tensor] = []
        if self._objective is None or beside is None:
            yield outcomes
            return
        objective = self._objective

        def run(_module: Any, _args: Any, output: Any) -> None:
            with self._accelerator.autocast():
                outcome = objective.outcome(beside["rows"], training=model.training)
            outcomes.append(outcome)
            output["loss"] = outcome[:, 0].sum()

        handle = model.register_forward_hook(run)
        try:
            yield outcomes
        finally:
            handle.remove()

    def add(self, loss: Tensor, outcomes: Sequence[Tensor], beside: dict[str, Any] | None) -> Tensor:
        """Return a micro-batch's masked loss plus the weighted loss of its other rows."""
        if self._objective is None or beside is None:
            return loss
        (outcome,) = outcomes
        ranks = self._accelerator.num_processes
        found = [*outcome.detach().sum(0), outcome.new_tensor(len(outcome)), loss.detach() / ranks]
        self._sums = self._sums.to(loss.device) + torch.stack(found).double()
        return loss + self._objective.weight * beside["share"] * ranks * outcome[:, 0].sum()

    def report(self) -> dict[str, float]:
        """Return the means since the last report, over all ranks, and start again."""
        if self._objective is None or not self._num_steps:
            return {}
        loss, right, number, masked = self._total(self._sums)
        figures = {
            "masked_loss": masked / self._num_steps,
            "task_loss": loss / max(number, 1),
            "task_accuracy": right / max(number, 1),
        }
        self._restart()
        return figures

    def evaluate(self, prefix: str) -> dict[str, float]:
        """Return mean loss and accuracy on the held-out rows, if there are any."""
        objective, this = self._objective, self._accelerator
        if objective is None or not objective.held_out:
            return {}
        rows = objective.held_out[this.process_index :: this.num_processes]
        sums = torch.zeros(3, dtype=torch.float64, device=this.device)
        for start in range(0, len(rows), objective.batch_size):
            batch = objective.pad(rows[start : start + objective.batch_size])
            with torch.no_grad(), this.autocast():
                outcome = objective.outcome({k: v.to(this.device) for k, v in batch.items()}, training=False)
            sums += torch.stack([*outcome.sum(0), outcome.new_tensor(len(outcome))]).double()
        loss, right, number = self._total(sums)
        return {f"{prefix}_task_loss": loss / number, f"{prefix}_task_accuracy": right / number}

    def _total(self, sums: Tensor) -> list[float]:
        total = self._accelerator.reduce(sums.to(self._accelerator.device), "sum")
        assert isinstance(total, Tensor)
        return total.tolist()
