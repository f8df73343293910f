"""The masked step on clips (forward and backward) against the stock VideoMAEForPreTraining, on the same masks.

diffmask bench video
"""

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

from diffmask.bench import fastest
from diffmask.core.machine import resolve_device
from diffmask.core.masker import Masker
from diffmask.core.schedule import Constant
from diffmask.core.units import Units
from diffmask.policies.feature import Feature
from diffmask.video.model.autoencoders import VideoMAEForPreTraining
from diffmask.video.model.forward import masked_losses
from diffmask.video.model.targets import PixelTargets
from diffmask.video.units.grid import Grid

# width, layers and heads of the encoder; width and heads of the decoder, which has 4 layers, or 12 in the largest
SIZES = {"small": (384, 12, 6, 192, 3, 4), "base": (768, 12, 12, 384, 6, 4), "large": (1024, 24, 16, 512, 8, 12)}
MASKING = "masking with scores given, of the fastest step"
NUM_FRAMES, RATIO, DECODED_SHARE = 16, 0.9, 0.5


def run(
    config: transformers.VideoMAEConfig, device: str = "cpu", batch_size: int = 4, *, rounds: int = 6
) -> list[dict[str, Any]]:
    """Return one row per contender: milliseconds of a step, clips a second, and the ratio to the stock class.

    The last column is the difference between our loss and the stock class's, in float32. The last row is the masking
    call with scores given; its ratio is its share of the fastest step. On a GPU all steps run in bfloat16.

    Args:
        config: Config of the model, which starts with random weights.
        device: Device on which everything runs.
        batch_size: Number of clips in a step.
        rounds: Number of turns of each contender; the fastest run counts.
    """
    where = resolve_device(device)
    grid = Grid.of(config, config.num_frames, int(config.image_size))  # pyright: ignore[reportArgumentType]
    stock, ours = _models(config, where)
    frames = torch.randn(batch_size, config.num_frames, 3, *[grid.rows * grid.patch_size] * 2, device=where)
    masker, units = _masking(grid, batch_size, where)
    masked = masker(units, 0, 1)
    hidden = Units(None, masked, units.sample_ids, features=units.features)
    part = Masker(masker.policy, Constant(DECODED_SHARE), uniform=True)(hidden, 0, 1)
    targets = PixelTargets(grid.tubelet, grid.patch_size)

    def our_loss(predicted: Tensor) -> Tensor:
        return masked_losses(ours, frames, masked, predicted, targets(frames)).mean()

    steps = {
        "transformers VideoMAEForPreTraining": step_of(stock, lambda: stock(frames, masked).loss, where),
        "diffmask, all masked patches decoded": step_of(ours, lambda: our_loss(masked), where),
        "diffmask, half of them decoded": step_of(ours, lambda: our_loss(part), where),
    }
    with torch.no_grad():
        difference = abs(float(our_loss(masked)) - float(stock(frames, masked).loss))
    times = fastest(steps, rounds)
    masking = fastest({"": finished(lambda: masker(units, 0, 1), where)}, 4 * rounds)[""]
    return _rows(times, masking, batch_size, difference)


def _rows(times: dict[str, float], masking: float, batch_size: int, difference: float) -> list[dict[str, Any]]:
    baseline, all_decoded, _ = times
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "milliseconds": 1000 * seconds,
            "clips_per_second": batch_size / seconds,
            "ratio": times[baseline] / seconds,
            "loss_difference": difference if name == all_decoded else None,
        }
        for name, seconds in times.items()
    ]
    share = {"ratio": masking / min(times.values()), "loss_difference": None}
    return [*rows, {"name": MASKING, "milliseconds": 1000 * masking, "clips_per_second": None, **share}]


def make_config(size: str = "small", image_size: int = 112) -> transformers.VideoMAEConfig:
    """Return the config of a VideoMAE for 16 frames.

    Args:
        size: One of `SIZES`.
        image_size: Height and width in pixels.
    """
    width, layers, heads, decoder_width, decoder_heads, decoder_layers = SIZES[size]
    return transformers.VideoMAEConfig(
        num_frames=NUM_FRAMES,
        image_size=image_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        decoder_hidden_size=decoder_width,
        decoder_num_attention_heads=decoder_heads,
        decoder_intermediate_size=4 * decoder_width,
        decoder_num_hidden_layers=decoder_layers,
    )


def _models(config: transformers.VideoMAEConfig, device: torch.device) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return the stock class and ours, with the same weights."""
    torch.manual_seed(0)
    stock, ours = transformers.VideoMAEForPreTraining(config), VideoMAEForPreTraining(config)
    ours.load_state_dict(stock.state_dict())
    torch.nn.ModuleList([stock, ours]).to(device).train()
    return stock, ours


def _masking(grid: Grid, batch_size: int, device: torch.device) -> tuple[Masker, Units]:
    """Return a masker that hides the patches of high scores, and patches with random scores."""
    eligible = torch.ones(batch_size, grid.num_positions, dtype=torch.bool, device=device)
    scores = torch.randn(eligible.shape, generator=torch.Generator().manual_seed(1)).to(device)
    units = Units(None, eligible, torch.arange(batch_size, device=device), features={"scores": scores})
    return Masker(Feature("scores"), Constant(RATIO), uniform=True), units


def step_of(model: torch.nn.Module, loss: Callable[[], Tensor], device: torch.device) -> Callable[[], None]:
    """Return forward and backward of a loss, without the change of the weights."""

    def step() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
            value = loss()
        value.backward()

    return finished(step, device)


def finished(call: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Return the call, made to wait for what it has started on the device."""

    def run_and_wait() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run_and_wait
