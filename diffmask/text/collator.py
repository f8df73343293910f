"""A collator for people with their own loop; our own trainer masks on the device instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from diffmask.core.masker import Masker
from diffmask.text.adapter import TextAdapter


class _Visit(NamedTuple):
    """One row of a data set in one epoch. Not a dictionary, so no loop can drop the columns that it does not know."""

    row: Mapping[str, Any]
    epoch: int


class Visits(Dataset):
    """A tokenised data set whose rows know the epoch they are read in, for use with `MaskingCollator`.

    Call `set_epoch` before each epoch, as one does for a DistributedSampler; `FollowEpochs` does it for a Trainer.
    (Trainer and Accelerate call it too, but not on several ranks, nor after a resume.) The epoch is shared memory, so
    that workers which live on see it.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]):
        self._rows = rows
        self._epoch = torch.zeros(1, dtype=torch.long).share_memory_()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __getitem__(self, index: int) -> _Visit:
        """Return a row and the current epoch."""
        return _Visit(self._rows[index], int(self._epoch))

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is read next; its masks differ from those of every other."""
        self._epoch.fill_(epoch)


class FollowEpochs(TrainerCallback):
    """Tell rows the epoch that a Trainer is in: `Trainer(..., callbacks=[FollowEpochs(visits)])`."""

    def __init__(self, visits: Visits):
        self._visits = visits

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch."""
        self._visits.set_epoch(int(state.epoch or 0))


@dataclass(frozen=True)
class MaskingCollator:
    """Pad, mask and corrupt: what `DataCollatorForLanguageModeling` does, with any masker.

    Masks depend on seed, epoch, sample and unit only, not on the number of workers or the batch size. A schedule
    moves once an epoch; masking in the training loop itself (see `diffmask.train`) moves it every step.

    Attributes:
        adapter: How text is cut into units and corrupted.
        masker: What is masked.
        num_epochs: Length of training, for schedules.
    """

    adapter: TextAdapter
    masker: Masker
    num_epochs: int

    def __call__(self, visits: Sequence[_Visit]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask and labels, ready for any `AutoModelForMaskedLM`."""
        batch = self.adapter.pad([visit.row for visit in visits])
        epoch = visits[0].epoch
        units = self.adapter.units(batch, epoch, self.masker.ratios(batch["sample_ids"], epoch, self.num_epochs))
        return self.adapter.corrupt(batch, units, self.masker(units, epoch, self.num_epochs), epoch)
