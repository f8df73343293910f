import pytest
import torch
from support.tiny_video import tiny_grid, tiny_videomae

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import linear_weights
from diffmask.core.schedule import Constant
from diffmask.policies.feature import Feature
from diffmask.policies.uniform import Uniform
from diffmask.video.adapter import FeatureTargets, VideoAdapter
from diffmask.video.features import APPEARANCE_DIM, Appearance, Embedded, FromRows, Motion
from diffmask.video.grid import Grid, unit_ids
from diffmask.video.targets import PixelTargets

GRID = Grid(4, 4, 4, 2, 8)
HALF = (0.5, 0.5, 0.5)
KINDS = [("patch", ()), ("tube", ()), ("frame", ()), ("block", (2, 2, 2)), ("cell", (2, 2))]


def make_batch(rows=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "frames": torch.randint(0, 256, (rows, 8, 3, 32, 32), generator=generator, dtype=torch.uint8),
        "sample_ids": torch.arange(rows),
        "score": torch.rand(rows, 4, 4, 4, generator=generator),
    }


def make_adapter(**settings):
    targets = settings.pop("targets", PixelTargets(2, 8, HALF, HALF))
    return VideoAdapter(GRID, HALF, HALF, targets, **({"features": (FromRows("score"),)} | settings))


@pytest.mark.parametrize(("kind", "size"), KINDS)
def test_units_are_scored_by_the_mean_of_their_patches(kind, size):
    batch = make_batch()
    units = make_adapter(kind=kind, size=size).units(batch, 0)
    scores = Feature("score").score_whole(units)
    ids = unit_ids(GRID, kind, size)
    for row in range(3):
        for unit in range(int(ids.max()) + 1):
            expected = batch["score"][row].flatten()[ids == unit].mean()
            assert scores[row, unit].item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize(("kind", "size"), KINDS)
def test_what_is_masked_is_hidden_and_predicted(kind, size):
    batch = make_batch()
    adapter = make_adapter(kind=kind, size=size)
    units = adapter.units(batch, 0)
    masked = Masker(Uniform(), Constant(0.5), uniform=True)(units, 0, 1)
    inputs = adapter.corrupt(batch, units, masked, 0)
    assert torch.equal(inputs["masked"], units.to_positions(masked))
    assert torch.equal(adapter.predicted(inputs), inputs["masked"])
    assert inputs["masked"].sum(1).tolist() == [32] * 3
    assert torch.allclose(inputs["frames"], batch["frames"].float() / 127.5 - 1, atol=1e-6)
    assert inputs["targets"].shape == (3, 32, 2 * 8 * 8 * 3)


@pytest.mark.parametrize("decoder", ["random", "cell"])
def test_a_part_of_what_is_hidden_is_decoded_the_same_number_in_every_row(decoder):
    batch = make_batch(40)
    adapter = make_adapter(decoded_share=0.5, decoder=decoder, seed=3)
    units = adapter.units(batch, 0)
    masked = Masker(Uniform(), Constant(0.75), uniform=True)(units, 0, 1)
    inputs = adapter.corrupt(batch, units, masked, 5)
    decoded = adapter.predicted(inputs)
    assert decoded.sum(1).tolist() == [24] * 40
    assert not (decoded & ~inputs["masked"]).any()
    assert torch.equal(decoded, adapter.predicted(adapter.corrupt(batch, units, masked, 5)))
    assert not torch.equal(decoded, adapter.predicted(adapter.corrupt(batch, units, masked, 6)))
    # two of the four places of each cell run through it; what is decoded lies on them as far as the number allows
    on_cells = unit_ids(GRID, "cell", (2, 2)) % 4 < 2
    share = (decoded & on_cells).sum() / decoded.sum()
    most = torch.minimum((inputs["masked"] & on_cells).sum(1), torch.tensor(24)).sum() / decoded.sum()
    assert share == pytest.approx(most.item()) if decoder == "cell" else share == pytest.approx(0.5, abs=0.05)


def test_losses_are_those_of_the_predicted_patches():
    model = tiny_videomae()
    assert tiny_grid(model) == GRID
    batch, adapter = make_batch(), make_adapter(decoded_share=0.5)
    units = adapter.units(batch, 0)
    inputs = adapter.corrupt(batch, units, Masker(Uniform(), Constant(0.75), uniform=True)(units, 0, 1), 0)
    losses = adapter.losses(model, inputs)
    assert losses.shape == (int(adapter.predicted(inputs).sum()),)
    assert losses.isfinite().all()


def test_motion_finds_what_moves():
    batch = make_batch(1)
    batch["frames"][:] = 100
    for t in range(8):
        batch["frames"][0, t, :, 8:16, 2 * t : 2 * t + 8] = 250
    found = Motion()(batch, GRID)["motion"].view(4, 4, 4)
    assert (found[:, 1] > 0).any(1).all()
    assert (found[:, [0, 2, 3]] == 0).all()


def test_appearance_says_what_a_patch_looks_like():
    batch = make_batch(2)
    batch["frames"][0, :, 0, :8, :8] = 255  # a red corner
    found = Appearance()(batch, GRID)["appearance"]
    assert found.shape == (2, 64, APPEARANCE_DIM)
    assert torch.allclose(found.mean(1), torch.zeros(2, APPEARANCE_DIM), atol=1e-4)
    assert found[0, :, 0].view(4, 16).argmax(1).eq(0).all()
    one = {name: value[:1] for name, value in batch.items()}
    assert torch.allclose(Appearance()(one, GRID)["appearance"], found[:1], atol=1e-5)


class Colours:
    """An embedder: the mean colour of quarters of a frame."""

    key, dim = "colours", 3

    def grid(self, height, width):
        return 2, 2

    def embed(self, frames):
        means = frames.float().permute(0, 3, 1, 2)
        return torch.nn.functional.adaptive_avg_pool2d(means, 2).permute(0, 2, 3, 1)


class Red:
    def score(self, embeddings):
        return embeddings[:, 0]


def test_one_pass_of_an_embedder_serves_scores_and_targets():
    batch = make_batch(2)
    batch["frames"][1, :, 0, 16:, 16:] = 255
    found = Embedded(Colours(), Red())(batch, GRID)
    assert found["embedding"].shape == (2, 64, 3)
    assert torch.allclose(found["difference"], found["embedding"][..., 0], atol=1e-3)
    assert found["difference"].view(2, 4, 4, 4)[1].flatten(1).argmax(1).eq(15).all()
    middle = batch["frames"][0, 3, 0, :16, :16].float().mean()  # of the second patch in time the second frame
    assert found["difference"].view(2, 4, 4, 4)[0, 1, 0, 0].item() == pytest.approx(middle.item(), abs=1e-3)
    adapter = make_adapter(features=(Embedded(Colours()),), targets=FeatureTargets())
    units = adapter.units(batch, 0)
    inputs = adapter.corrupt(batch, units, Masker(Uniform(), Constant(0.5), uniform=True)(units, 0, 1), 0)
    assert inputs["targets"].shape == (2, 32, 3)
    hidden = [units.features["embedding"][row][inputs["masked"][row]] for row in range(2)]
    assert torch.allclose(inputs["targets"], torch.nn.functional.layer_norm(torch.stack(hidden), (3,)), atol=1e-5)


def test_high_scores_are_hidden_more_often():
    batch = make_batch(200)
    units = make_adapter(kind="patch").units(batch, 0)
    masked = Masker(Feature("score"), Constant(0.5), weighting=linear_weights, uniform=True)(units, 0, 1)
    scores = batch["score"].flatten(1)
    assert scores[masked].mean() > scores[~masked].mean() + 0.2


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match=r"decoded_share=0 is outside \(0, 1\]; 0.5 decodes every second one"):
        make_adapter(decoded_share=0.0)
    with pytest.raises(InputError, match="unknown decoder 'all'; choose from: random, cell"):
        make_adapter(decoder="all")
