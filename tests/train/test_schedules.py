"""Training under the presets that decay to nothing: with the usual floor the loss is defined to the last step."""

from dataclasses import replace

import pytest
import torch
from support.training import make_trainer, steps

from diffmask.assemble.schedules import RATIO_FLOOR, build_schedule
from diffmask.assemble.training import check_training
from diffmask.config import ScheduleConfig, TrainingConfig
from diffmask.config.settings import LR_SCHEDULES
from diffmask.core.errors import InputError

NUM_STEPS = 24


def trained(folder, preset, **settings):
    trainer = make_trainer(folder, max_steps=NUM_STEPS, num_rows=48)
    ratio = build_schedule(ScheduleConfig(preset, **settings), "masking.ratio", RATIO_FLOOR)
    trainer.masking = replace(trainer.masking, masker=replace(trainer.masking.masker, ratio=ratio))
    trainer.train()
    return trainer, ratio


@pytest.mark.parametrize("preset", ["mrd-linear", "mrd-square-below", "mrd-tent", "mrd-warmup-decay"])
def test_the_loss_is_finite_from_the_first_step_to_the_last(tmp_path, preset):
    trainer, ratio = trained(tmp_path, preset)
    losses = steps(trainer, "loss")
    assert len(losses) == NUM_STEPS
    assert torch.isfinite(torch.tensor(losses)).all()
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())
    assert ratio((NUM_STEPS - 1) / NUM_STEPS) < 0.03


def test_the_ratio_that_is_reached_follows_the_schedule(tmp_path):
    trainer, ratio = trained(tmp_path, "mrd-cosine", normalise="mean", mean=0.3)
    reached = steps(trainer, "mask_ratio")
    planned = [ratio(step / NUM_STEPS) for step in range(NUM_STEPS)]
    assert sum(reached) / NUM_STEPS == pytest.approx(sum(planned) / NUM_STEPS, abs=0.03)
    # at least one unit a row is masked, which lifts the smallest ratios of short rows
    early = sum(reached[:6]) / 6
    assert early == pytest.approx(sum(planned[:6]) / 6, abs=0.06)
    assert early > 3 * sum(reached[-6:]) / 6


@pytest.mark.parametrize("warmup", [0, 0.5, 0.99])
@pytest.mark.parametrize("name", LR_SCHEDULES)
@pytest.mark.parametrize("num_steps", [1, 2])
def test_every_schedule_of_the_learning_rate_takes_a_step_or_two(tmp_path, name, num_steps, warmup):
    trainer = make_trainer(tmp_path, max_steps=num_steps, num_rows=8, lr_scheduler_type=name, warmup_steps=warmup)
    trainer.create_optimizer_and_scheduler(num_steps)
    rates = []
    for _ in range(num_steps + 1):
        rates += trainer.lr_scheduler.get_last_lr()[:1]
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    first = 0.0 if warmup and name != "constant" else 1e-3
    assert rates[0] == pytest.approx(first)
    assert all(0 <= rate <= 1e-3 for rate in rates)


def test_a_polynomial_needs_a_rate_above_its_end():
    settings = TrainingConfig(steps=1, lr_schedule="polynomial", learning_rate=1e-7, device="cpu")
    with pytest.raises(InputError, match="polynomial falls to 1e-07, so .*learning_rate=1e-07 must be above it;"):
        check_training(settings)
    check_training(replace(settings, learning_rate=1e-6))
