from dataclasses import replace

import pytest
import torch

from diffmask.core.masker import Masker
from diffmask.core.schedule import Constant, Linear
from diffmask.policies.feature import Feature
from diffmask.policies.uniform import Uniform
from diffmask.report.clips.look import ClipLook, ShownClip, hidden_of_best
from diffmask.report.clips.preview import ClipPreview
from diffmask.video.adapter import VideoAdapter
from diffmask.video.model.targets import IMAGENET_MEAN, IMAGENET_STD, PixelTargets
from diffmask.video.units.features import FromRows
from diffmask.video.units.grid import Grid

GRID = Grid(2, 4, 4, 2, 8)


def batch(count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "frames": torch.randint(0, 256, (count, 4, 3, 32, 32), dtype=torch.uint8, generator=generator),
        "difference": torch.randn(count, 2, 4, 4, generator=generator),
        "sample_ids": torch.arange(count),
    }


SCORES = (FromRows("difference"),)


def adapter(kind="patch", features=SCORES):
    targets = PixelTargets(GRID.tubelet, GRID.patch_size)
    return VideoAdapter(GRID, IMAGENET_MEAN, IMAGENET_STD, targets=targets, kind=kind, features=features)


def look(kind="patch", ratio=0.5, **settings):
    masker = Masker(Feature("difference"), ratio=Constant(ratio), uniform=True, **settings)
    return ClipLook(masker, adapter(kind))


def random(ratio=0.5):
    return ClipLook(Masker(Uniform(), ratio=Constant(ratio), uniform=True), adapter("tube", ()), scores=False)


@pytest.mark.parametrize("kind", ["patch", "tube", "frame"])
def test_how_often_a_patch_is_hidden_is_that_of_a_slow_loop(kind):
    given, seen = batch(), look(kind, ratio=0.5)
    seen = replace(seen, masker=replace(seen.masker, ratio=Linear(0.75, 0.25)))
    readings = seen.read(given, 10)
    counts = torch.zeros(3, GRID.num_positions)
    for step in range(10):
        units = seen.adapter.units(given, step)
        mask = units.to_positions(seen.masker(units, step, 10))
        counts += mask
        if step == 0:
            assert torch.equal(mask, torch.stack([each.masked.flatten() for each in readings]))
    for row, each in enumerate(readings):
        assert torch.allclose(each.often.flatten(), counts[row] / 10)
        assert each.ratio == pytest.approx(float(counts[row].mean()) / 10)
        assert each.masked.shape == each.often.shape == each.scores.shape == GRID.shape


def test_scores_are_those_that_the_masks_are_drawn_by():
    given = batch()
    assert torch.equal(look("patch").read(given, 2)[1].scores, given["difference"][1])
    tube = look("tube").read(given, 2)[1].scores
    assert torch.allclose(tube, given["difference"][1].mean(0).expand(2, 4, 4))


def test_random_masking_has_no_scores():
    reading = random().read(batch(), 8)[0]
    assert reading.scores is None and reading.best is None and reading.ratio == pytest.approx(0.5)


def slow_hidden_of_best(scores, often, share):
    """The mean over all orders of equal scores, by drawing many of them."""
    generator, total = torch.Generator().manual_seed(0), 0.0
    count = max(1, round(share * scores.numel()))
    for _ in range(4000):
        order = torch.randperm(scores.numel(), generator=generator)
        best = order[scores.flatten()[order].argsort(descending=True, stable=True)[:count]]
        total += float(often.flatten()[best].mean())
    return total / 4000


@pytest.mark.parametrize("levels", [1, 2, 3, 100])
def test_the_best_scored_share_is_told_fairly_among_equals(levels):
    generator = torch.Generator().manual_seed(levels)
    scores = torch.randint(levels, (2, 4, 5), generator=generator).float()
    often = torch.rand(2, 4, 5, generator=generator)
    assert hidden_of_best(scores, often, 0.2) == pytest.approx(slow_hidden_of_best(scores, often, 0.2), abs=0.01)


def test_what_scores_high_is_hidden_more_and_less_where_it_is_to_be_shown():
    clips = [ShownClip(f"{number}.mp4", "", frames) for number, frames in enumerate(batch()["frames"])]
    looks = {"random-tube": random(), "hide": look(), "show": look(hide=False), "half": look(strength=Constant(0.5))}
    preview = ClipPreview.of(clips, batch(), looks, num_draws=40)
    best = {name: preview.mean(name, "best") for name in looks}
    assert best["random-tube"] is None
    assert best["hide"] > best["half"] > 0.5 > best["show"]
    assert {round(preview.mean(name, "ratio"), 6) for name in looks} == {0.5}


def test_the_drawn_mask_is_what_is_filled_in():
    seen = []

    def fill(given, masked):
        seen.append(masked)
        return torch.full_like(given["frames"], len(seen))

    clips = [ShownClip("a", "", frames) for frames in batch()["frames"]]
    preview = ClipPreview.of(clips, batch(), {"random-tube": random(), "hide": look()}, fill, num_draws=2)
    for place, readings in enumerate(preview.readings.values()):
        assert torch.equal(seen[place], torch.stack([each.masked.flatten() for each in readings]))
        assert all((each.reconstruction == place + 1).all() for each in readings)
