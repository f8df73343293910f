import pytest
import torch
from support.tiny import tiny_model, tiny_rows, tiny_tokenizer
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from diffmask.core.masker import Masker
from diffmask.core.schedule import Linear
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import text_adapter
from diffmask.text.collator import FollowEpochs, MaskingCollator, Visits


def collator(num_epochs=2, **settings):
    return MaskingCollator(text_adapter(tiny_tokenizer()), Masker(Uniform(), **settings), num_epochs)


def labels_by_row(loader, visits, epoch):
    """Labels of each row without its padding; rows are told apart by their place, as nothing is shuffled."""
    visits.set_epoch(epoch)
    rows = []
    for batch in loader:
        lengths = batch["attention_mask"].sum(1).tolist()
        rows += [row[:length].tolist() for row, length in zip(batch["labels"], lengths, strict=True)]
    return rows


@pytest.mark.parametrize("settings", [{"batch_size": 5}, {"batch_size": 8, "num_workers": 2}, {"batch_size": 24}])
def test_masks_depend_on_sample_and_epoch_alone(settings):
    visits = Visits(tiny_rows())
    reference = DataLoader(visits, batch_size=1, collate_fn=collator())
    loader = DataLoader(visits, collate_fn=collator(), **settings)
    assert labels_by_row(loader, visits, 1) == labels_by_row(reference, visits, 1)
    assert labels_by_row(loader, visits, 0) != labels_by_row(loader, visits, 1)


def test_workers_that_live_on_see_the_next_epoch():
    visits = Visits(tiny_rows())
    living = DataLoader(visits, batch_size=8, collate_fn=collator(), num_workers=1, persistent_workers=True)
    fresh = DataLoader(visits, batch_size=8, collate_fn=collator())
    for epoch in range(2):
        assert labels_by_row(living, visits, epoch) == labels_by_row(fresh, visits, epoch)


def test_schedules_move_once_an_epoch():
    visits = Visits(
        [{"input_ids": [7] * 60, "unit_ids": list(range(60)), "types": [0] * 60, "sample_id": s} for s in range(30)]
    )
    loader = DataLoader(visits, batch_size=8, collate_fn=collator(num_epochs=2, ratio=Linear(0.5, 0.1)))
    shares = [torch.tensor(labels_by_row(loader, visits, epoch)).ne(-100).double().mean().item() for epoch in (0, 1)]
    assert shares == pytest.approx([0.5, 0.3], abs=0.002)


def test_trains_with_the_trainers_defaults(tmp_path):
    args = TrainingArguments(str(tmp_path), max_steps=6, per_device_train_batch_size=8, use_cpu=True, disable_tqdm=True)
    assert args.remove_unused_columns
    seen = []
    visits, masking = Visits(tiny_rows()), collator()

    def collate(rows):
        seen.append((rows[0].epoch, len(rows)))
        return masking(rows)

    callbacks = [FollowEpochs(visits)]
    trainer = Trainer(tiny_model(), args, train_dataset=visits, data_collator=collate, callbacks=callbacks)
    assert trainer.train().training_loss > 0
    assert [epoch for epoch, _ in seen[:3]] == [0, 0, 0]
    assert [epoch for epoch, _ in seen[3:6]] == [1, 1, 1]
