import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from support.tiny_video import stock_of, stock_output, tiny_frames, tiny_grid, tiny_masks, tiny_videomae, tiny_vit_mae
from torch.nn.parallel import DistributedDataParallel

from diffmask.core.errors import InputError
from diffmask.video.model.forward import masked_losses
from diffmask.video.model.targets import PixelTargets
from diffmask.video.units.grid import PatchCounts, find_places


def random_targets(model, masked, seed=1):
    generator = torch.Generator().manual_seed(seed)
    width = getattr(model.config, "tubelet_size", 1) * 3 * model.config.patch_size**2
    return torch.randn(*masked.shape, width, generator=generator)


MODELS = {
    "8 frames": (tiny_videomae, {}),
    "4 frames of 48 pixels": (tiny_videomae, {"num_frames": 4, "image_size": 48}),
    "tubelets of one frame, a norm at the end": (
        tiny_videomae,
        {"num_frames": 3, "tubelet_size": 1, "use_mean_pooling": False},
    ),
    "wider patches, no biases": (tiny_videomae, {"patch_size": 16, "image_size": 64, "qv_bias": False}),
    "images": (tiny_vit_mae, {}),
    "images of 48 pixels": (tiny_vit_mae, {"image_size": 48}),
}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_and_gradients_are_those_of_the_stock_class(name, ratio, attention):
    build, changes = MODELS[name]
    ours = build(**changes, attn_implementation=attention)
    stock, frames, grid = stock_of(ours), tiny_frames(ours), tiny_grid(ours)
    masked, _ = tiny_masks(grid, num_masked=round(ratio * grid.num_positions))
    targets = random_targets(ours, masked)
    expected = (stock_output(stock, frames, masked)[1] - targets[masked].view(3, -1, targets.shape[2])).square()
    got = masked_losses(ours, frames, masked, masked, targets)
    assert got.dtype == torch.float32
    assert torch.allclose(got, expected.mean(2).flatten(), atol=1e-5)
    expected.mean().backward()
    got.mean().backward()
    for (parameter_name, parameter), other in zip(stock.named_parameters(), ours.parameters(), strict=True):
        if parameter_name != "vit.embeddings.position_embeddings" and "pos_embed" not in parameter_name:
            assert torch.allclose(parameter.grad, other.grad, atol=1e-6), parameter_name


def decode_slowly(model, frames, masked, predicted):
    """Return the predictions of one VideoMAE clip, from all patches' embeddings and a list of the decoder's tokens."""
    embedded = model.videomae.embeddings(frames, None)[0]
    visible = (~masked).nonzero()[:, 0].tolist()
    states = model.encoder_to_decoder(model.videomae.encoder(embedded[visible][None]).last_hidden_state)[0]
    table, wanted = model.position_embeddings[0], predicted.nonzero()[:, 0].tolist()
    tokens = [state + table[place] for state, place in zip(states, visible, strict=True)]
    tokens += [model.mask_token[0, 0] + table[place] for place in wanted]
    return model.decoder(torch.stack(tokens)[None], len(wanted)).logits[0]


def test_a_subset_is_decoded_without_the_rest():
    model = tiny_videomae()
    frames, grid = tiny_frames(model), tiny_grid(model)
    masked, predicted = tiny_masks(grid, num_masked=48, num_predicted=20)
    targets = random_targets(model, masked)
    got = masked_losses(model, frames, masked, predicted, targets).view(3, 20)
    for row in range(3):
        slow = decode_slowly(model, frames[row : row + 1], masked[row], predicted[row])
        expected = (slow - targets[row, predicted[row]]).square().mean(1)
        assert torch.allclose(got[row], expected, atol=1e-5)


def test_targets_of_all_patches_or_of_the_predicted_ones():
    model = tiny_videomae()
    frames, grid = tiny_frames(model), tiny_grid(model)
    masked, predicted = tiny_masks(grid, num_predicted=20)
    targets = random_targets(model, masked)
    whole = masked_losses(model, frames, masked, predicted, targets)
    chosen = targets[predicted].view(3, 20, -1)
    assert torch.equal(masked_losses(model, frames, masked, predicted, chosen), whole)


@pytest.mark.parametrize("build", [tiny_videomae, tiny_vit_mae])
def test_what_is_hidden_is_not_seen(build):
    model = build()
    frames, grid = tiny_frames(model), tiny_grid(model)
    masked, predicted = tiny_masks(grid, num_predicted=grid.num_positions // 3)
    targets = random_targets(model, masked)
    before = masked_losses(model, frames, masked, predicted, targets)
    hidden = masked.view(3, *grid.shape).repeat_interleave(grid.tubelet, 1)
    hidden = hidden.repeat_interleave(grid.patch_size, 2).repeat_interleave(grid.patch_size, 3)[:, :, None]
    other = torch.where(hidden, torch.randn_like(frames), frames)
    assert torch.equal(masked_losses(model, other, masked, predicted, targets), before)
    other = torch.where(hidden, frames, torch.randn_like(frames))
    assert not torch.isclose(masked_losses(model, other, masked, predicted, targets), before).any()


def test_the_inherited_forward_is_still_there():
    model = tiny_videomae()
    frames, (masked, _) = tiny_frames(model), tiny_masks(tiny_grid(model))
    assert torch.equal(model(frames, masked).loss, stock_output(stock_of(model), frames, masked)[0])
    model = tiny_vit_mae()
    noise = torch.rand(3, 16)
    assert torch.equal(
        model(tiny_frames(model)[:, 0], noise).loss, stock_of(model)(tiny_frames(model)[:, 0], noise).loss
    )


@pytest.mark.parametrize("build", [tiny_videomae, tiny_vit_mae])
def test_nothing_is_read_back_from_the_device(build):
    model = build()
    frames, (masked, predicted) = tiny_frames(model), tiny_masks(tiny_grid(model), num_predicted=5)
    counts = PatchCounts(int(masked[0].sum()), 5)
    targets = random_targets(model, masked)
    # a tensor on this device has no values to read
    moved = [tensor.to("meta") for tensor in (frames, masked, predicted, targets)]
    losses = masked_losses(model.to("meta"), *moved, counts=counts)
    assert losses.shape == (15,) and losses.device.type == "meta"
    losses.mean().backward()


@pytest.mark.gpu
def test_nothing_is_read_back_from_a_gpu():
    model = tiny_videomae().cuda()
    frames, (masked, predicted) = tiny_frames(model), tiny_masks(tiny_grid(model), num_predicted=5)
    inputs = [tensor.cuda() for tensor in (frames, masked, predicted, random_targets(model, masked))]
    expected = masked_losses(tiny_videomae(), *(tensor.cpu() for tensor in inputs))
    pixels = PixelTargets(2, 8)
    masked_losses(model, *inputs[:3], pixels(inputs[0]))  # moves the tables
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = masked_losses(model, *inputs, counts=PatchCounts(48, 5))
        (losses.mean() + pixels(inputs[0]).mean()).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.allclose(losses.cpu(), expected, atol=1e-3)


@pytest.mark.parametrize("build", [tiny_videomae, tiny_vit_mae])
def test_bfloat16_is_as_near_as_that_of_the_stock_class(build):
    model = build()
    stock, frames, (masked, _) = stock_of(model), tiny_frames(model), tiny_masks(tiny_grid(model))
    targets = random_targets(model, masked)
    exact = masked_losses(model, frames, masked, masked, targets)
    with torch.autocast("cpu", torch.bfloat16):
        ours = masked_losses(model, frames, masked, masked, targets)
        predictions = stock_output(stock, frames, masked)[1]
    theirs = (predictions - targets[masked].view(predictions.shape)).square().mean(2).flatten()
    assert ours.dtype == torch.float32
    assert 0 < (ours - exact).abs().mean() < 1.5 * (theirs - exact).abs().mean()
    ours.mean().backward()
    assert model.mask_token.grad.isfinite().all() if build is tiny_videomae else True


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("build", [tiny_videomae, tiny_vit_mae])
def test_gradient_checkpointing(build, reentrant):
    plain, saving = build().train(), build().train()
    saving.activation_checkpointing_enable({"use_reentrant": reentrant})
    frames, (masked, _) = tiny_frames(plain), tiny_masks(tiny_grid(plain))
    targets = random_targets(plain, masked)
    calls = []
    layer = saving.decoder.decoder_layers[0].layernorm_before
    layer.register_forward_hook(lambda *_: calls.append(1))
    for model in (plain, saving):
        masked_losses(model, frames, masked, masked, targets).mean().backward()
    assert len(calls) == 2  # run again in the backward pass
    for (name, parameter), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        if parameter.requires_grad:
            assert torch.allclose(parameter.grad, other.grad, atol=1e-6), name


@pytest.fixture
def group(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("changes", [{}, {"feature_dim": 12}])
@pytest.mark.parametrize("build", [tiny_videomae, tiny_vit_mae])
def test_distributed_data_parallel_reduces_every_gradient(group, build, changes):
    plain = build(**changes)
    wrapped = DistributedDataParallel(build(**changes))
    frames, (masked, predicted) = tiny_frames(plain), tiny_masks(tiny_grid(plain), num_predicted=5)
    targets = torch.randn(3, 5, 12) if changes else random_targets(plain, masked)
    reduced = []
    wrapped.register_comm_hook(None, lambda _, bucket: reduced.append(bucket.index()) or _done(bucket))
    for _ in range(2):  # a gradient that did not come is an error of the second step
        for model in (plain, wrapped):
            masked_losses(model, frames, masked, predicted, targets).mean().backward()
    assert reduced
    for (name, parameter), other in zip(plain.named_parameters(), wrapped.parameters(), strict=True):
        assert (parameter.grad is None) == (not parameter.requires_grad), name
        assert parameter.grad is None or torch.allclose(parameter.grad, other.grad, atol=1e-6), name


def _done(bucket):
    future = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future


@pytest.fixture
def no_accelerator():
    """Accelerate keeps one state for a process, and refuses another precision than the first."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("no_accelerator")
def test_what_accelerate_wraps_around_the_forward_stays():
    plain, model = tiny_videomae(), tiny_videomae()
    prepared = Accelerator(cpu=True, mixed_precision="bf16").prepare(model)
    frames, (masked, _) = tiny_frames(model), tiny_masks(tiny_grid(model))
    targets = random_targets(model, masked)
    with torch.autocast("cpu", torch.bfloat16):
        expected = masked_losses(plain, frames, masked, masked, targets)
    assert torch.equal(masked_losses(prepared, frames, masked, masked, targets), expected)


def test_a_model_of_another_class_is_refused():
    model = tiny_videomae()
    frames, (masked, _) = tiny_frames(model), tiny_masks(tiny_grid(model))
    with pytest.raises(AssertionError, match="load the model with load_video_model"):
        masked_losses(stock_of(model), frames, masked, masked, random_targets(model, masked))


def test_clips_of_another_size_are_refused():
    model = tiny_videomae()
    frames, (masked, _) = tiny_frames(tiny_videomae(num_frames=4)), tiny_masks(tiny_grid(model))
    with pytest.raises(AssertionError, match=r"clips are \(4, 3, 32, 32\), the model takes \(8, 3, 32, 32\)"):
        masked_losses(model, frames, masked, masked, random_targets(model, masked))


def test_places_are_in_order():
    masked = torch.tensor([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1]]).bool()
    predicted = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 0, 0, 1]]).bool()
    for counts in (None, PatchCounts(3, 2)):
        places = find_places(masked, predicted, counts)
        assert places.visible.tolist() == [[1, 4], [0, 3]]
        assert places.predicted.tolist() == [[2, 3], [1, 4]]


def test_counts_that_differ_are_refused():
    masked = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 1]]).bool()
    with pytest.raises(InputError, match="hide from 2 to 3 patches; every clip must hide the same number, so draw"):
        find_places(masked, masked)
    masked = torch.tensor([[1, 0, 1, 1], [1, 1, 0, 1]]).bool()
    with pytest.raises(InputError, match="from 2 to 3 hidden patches of a clip are to be predicted; it must be"):
        find_places(masked, masked & torch.tensor([[True, True, True, True], [True, False, True, True]]))
    with pytest.raises(InputError, match="1 patches are to be predicted though they are visible; predict masked ones"):
        find_places(masked, torch.tensor([[1, 0, 0, 0], [0, 0, 1, 0]]).bool())
    with pytest.raises(InputError, match="all 4 patches of the clips are masked; leave some visible"):
        find_places(torch.ones(2, 4).bool(), torch.ones(2, 4).bool())


def test_nothing_predicted_is_no_loss_and_still_a_gradient():
    model = tiny_videomae()
    frames, (masked, _) = tiny_frames(model), tiny_masks(tiny_grid(model))
    losses = masked_losses(model, frames, masked, torch.zeros_like(masked), random_targets(model, masked))
    assert losses.shape == (0,)
    losses.sum().backward()
