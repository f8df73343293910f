import pytest
import torch
from support.tiny_video import stock_of, stock_output, tiny_frames, tiny_grid, tiny_masks, tiny_videomae, tiny_vit_mae

from diffmask.core.errors import InputError
from diffmask.video.model.forward import _nearness, masked_losses, reconstruct
from diffmask.video.model.load import LoadedVideo
from diffmask.video.model.targets import IMAGENET_MEAN, IMAGENET_STD, PixelTargets
from diffmask.video.units.grid import Grid, find_places

HALF = (0.5, 0.5, 0.5)


def loaded_of(model, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    return LoadedVideo("tiny", model, mean, std, ())


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("ratio", [0.5, 0.9])
@pytest.mark.parametrize(
    ("build", "changes"),
    [
        (tiny_videomae, {}),
        (tiny_videomae, {"num_frames": 4, "image_size": 48}),
        (tiny_videomae, {"num_frames": 3, "tubelet_size": 1, "patch_size": 16, "image_size": 64}),
        (tiny_vit_mae, {}),
        (tiny_vit_mae, {"image_size": 48}),
    ],
)
def test_the_loss_and_its_gradients_are_those_of_the_stock_class(build, changes, ratio, normalised):
    model = build(norm_pix_loss=normalised, **changes)
    stock, loaded, frames = stock_of(model), loaded_of(model), tiny_frames(model)
    masked, _ = tiny_masks(loaded.grid, num_masked=round(ratio * loaded.grid.num_positions))
    ours = masked_losses(model, frames, masked, masked, loaded.targets(frames)).mean()
    theirs = stock_output(stock, frames, masked)[0]
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    ours.backward()
    theirs.backward()
    for (name, parameter), other in zip(model.named_parameters(), stock.parameters(), strict=True):
        if parameter.requires_grad:
            assert torch.allclose(parameter.grad, other.grad, atol=1e-5), name


def slow_targets(frames, grid, mean, std, normalised):
    """Return the targets of one clip patch by patch."""
    found = []
    for t in range(grid.frames):
        for y in range(grid.rows):
            for x in range(grid.columns):
                size, times = grid.patch_size, slice(t * grid.tubelet, (t + 1) * grid.tubelet)
                patch = frames[times, :, y * size : (y + 1) * size, x * size : (x + 1) * size]
                colours = []
                for channel in range(3):
                    values = patch[:, channel].flatten() * std[channel] + mean[channel]
                    colours.append((values - values.mean()) / (values.std() + 1e-6) if normalised else values)
                found.append(torch.stack(colours, dim=1).flatten())
    return torch.stack(found)


@pytest.mark.parametrize("normalised", [True, False])
def test_targets_patch_by_patch(normalised):
    grid = Grid(2, 3, 4, 2, 8)
    frames = torch.randn(2, 4, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    targets = PixelTargets(grid.tubelet, grid.patch_size, mean, std, normalised)
    got = targets(frames)
    for row in range(2):
        assert torch.allclose(got[row], slow_targets(frames[row], grid, mean, std, normalised), atol=1e-5)
    positions = torch.tensor([[3, 5, 23], [0, 1, 7]])
    some = targets(frames, positions=positions)
    assert torch.allclose(some, got.gather(1, positions[..., None].expand(-1, -1, got.shape[2])), atol=1e-6)


def test_pixels_come_back_by_the_statistics_that_were_used():
    model = tiny_videomae(norm_pix_loss=False)
    grid = tiny_grid(model)
    pixels = torch.rand(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(each)[:, None, None] for each in (HALF, HALF))
    frames = (pixels - mean) / std
    truth = grid.take_patches(pixels)
    assert torch.allclose(loaded_of(model, HALF, HALF).targets(frames), truth, atol=1e-6)
    # the stock class takes ImageNet's, whatever the processor did
    theirs = loaded_of(model).targets(frames)
    assert (theirs - truth).abs().mean() > 0.05
    masked, _ = tiny_masks(grid, 2)
    loss = masked_losses(model, frames, masked, masked, theirs).mean()
    assert loss.item() == pytest.approx(stock_output(stock_of(model), frames, masked)[0].item(), abs=1e-5)


def test_half_precision_frames_have_float32_targets():
    frames = tiny_frames(tiny_videomae()).bfloat16()
    targets = PixelTargets(2, 8)(frames)
    assert targets.dtype == torch.float32
    assert torch.allclose(targets, PixelTargets(2, 8)(frames.float()))


def test_a_flat_patch_has_a_finite_target():
    for joint in (False, True):
        assert PixelTargets(2, 8, joint=joint)(torch.full((1, 2, 3, 16, 16), 0.3)).isfinite().all()


def test_patches_are_cut_and_put_together():
    grid = Grid(2, 3, 4, 2, 8)
    frames = torch.randn(2, 4, 3, 24, 32)
    whole = grid.take_patches(frames)
    assert torch.equal(grid.put_patches(whole), frames)
    positions = torch.randint(0, 24, (2, 5))
    expected = whole.gather(1, positions[..., None].expand(-1, -1, whole.shape[2]))
    assert torch.equal(grid.take_patches(frames, positions), expected)
    first = grid.take_patches(frames, positions, channels_first=True)
    assert torch.equal(first.unflatten(2, (3, -1)).transpose(2, 3).flatten(2), expected)


def smooth_clips(grid, batch=2):
    """Return clips whose colour changes slowly over the picture, with fine stripes whose contrast does too."""
    height, width = grid.rows * grid.patch_size, grid.columns * grid.patch_size
    x, y = torch.arange(width) / width, torch.arange(height)[:, None] / height
    picture = torch.stack([0.2 + 0.5 * x + 0 * y, 0.8 - 0.4 * y + 0 * x, 0.3 + 0.2 * (x + y)])
    picture = picture + 0.1 * (x + 0.2) * torch.tensor([1.0, -1.0]).repeat(width // 2)
    return picture.expand(batch, grid.num_frames, 3, height, width)


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("build", [tiny_videomae, tiny_vit_mae])
def test_a_perfect_prediction_gives_the_picture(build, normalised, monkeypatch):
    model = build(norm_pix_loss=normalised, image_size=64)
    loaded = loaded_of(model, HALF, (0.25, 0.25, 0.25))
    pixels = smooth_clips(loaded.grid)
    frames = (pixels - 0.5) / 0.25
    masked, _ = tiny_masks(loaded.grid, 2, num_masked=round(0.6 * loaded.grid.num_positions))
    truth = loaded.targets(frames, positions=find_places(masked, masked).predicted)
    monkeypatch.setattr(model, "forward", lambda *_, **__: type("Output", (), {"logits": truth}))
    pictures = reconstruct(loaded, frames, masked)
    assert pictures.shape == pixels.shape
    # the colours of hidden patches are guessed from those around, so nearly right only
    assert (pictures - pixels).abs().mean() < (0.05 if normalised else 1e-6)
    visible = loaded.grid.take_patches(pictures)[~masked] - loaded.grid.take_patches(pixels)[~masked]
    assert visible.abs().max() < 1e-5


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("build", [tiny_videomae, tiny_vit_mae])
def test_nothing_of_the_truth_is_in_a_picture(build, normalised):
    model = build(norm_pix_loss=normalised)
    loaded = loaded_of(model)
    frames = tiny_frames(model, 2)
    masked, _ = tiny_masks(loaded.grid, 2)
    patches = loaded.grid.take_patches(frames)
    patches[masked] = torch.randn_like(patches[masked]) * 3 + 2
    other = loaded.grid.put_patches(patches)
    assert not torch.equal(other, frames)
    assert torch.equal(reconstruct(loaded, other, masked), reconstruct(loaded, frames, masked))
    assert 0 <= reconstruct(loaded, frames, masked).min() <= reconstruct(loaded, frames, masked).max() <= 1


def test_near_patches_say_more():
    grid = Grid(2, 4, 4, 2, 8)
    visible, hidden = torch.tensor([[0, 1, 15, 16]]), torch.tensor([[2]])
    near = _nearness(grid, visible, hidden)
    assert near.shape == (1, 1, 4) and near.sum().item() == pytest.approx(1.0)
    # one step, two steps, two and one in time, three and one
    assert near[0, 0].argsort(descending=True).tolist() == [1, 0, 3, 2]
    assert (near[0, 0, 1] / near[0, 0, 0]).item() == pytest.approx(torch.tensor(2.0).exp().item(), rel=1e-5)


def test_features_have_no_pictures():
    model = tiny_videomae(feature_dim=12)
    masked, _ = tiny_masks(tiny_grid(model))
    with pytest.raises(InputError, match="the model 'tiny' predicts features, which cannot be shown as pictures"):
        reconstruct(loaded_of(model), tiny_frames(model), masked)
