"""The masked forward pass: its losses, and pictures of what a model makes of the hidden patches."""

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor
from torch.nn.functional import mse_loss

from diffmask.core.errors import InputError
from diffmask.core.types import PositionMask
from diffmask.video.model.autoencoders import VideoMAEForPreTraining, ViTMAEForPreTraining
from diffmask.video.model.load import LoadedVideo
from diffmask.video.units.grid import Grid, PatchCounts, find_places


def masked_losses(
    model: torch.nn.Module,
    frames: Tensor,
    masked: PositionMask,
    predicted: PositionMask,
    targets: Tensor,
    *,
    counts: PatchCounts | None = None,
) -> Tensor:
    """Return the mean squared error of each predicted patch, in row-major order, float32 (N,).

    With all masked patches predicted the mean is the loss of the stock class; patches that are hidden and not
    predicted are given to neither encoder nor decoder.

    Args:
        model: A model that `load_video_model` returned, wrapped (DDP, compiled) or not.
        frames: Normalised clips, (B, T, channels, H, W); T is 1 for an image model.
        masked: The hidden patches, the same number in every row.
        predicted: Those of them that are predicted, the same number in every row.
        targets: Targets of the predicted patches in each row's order (B, P, C), or of all patches (B, L, C).
        counts: These numbers, if the caller knows them; then nothing has to be read back from the device.

    Raises:
        InputError: If counts differ, nothing is visible, or something visible is to be predicted.
    """
    inner = extract_model_from_parallel(model, keep_torch_compile=False)
    assert isinstance(inner, VideoMAEForPreTraining | ViTMAEForPreTraining), "load the model with load_video_model"
    places = find_places(masked, predicted, counts)
    if targets.shape[1] != places.predicted.shape[1]:
        targets = targets.gather(1, places.predicted[..., None].expand(-1, -1, targets.shape[2]))
    predictions = model(frames, visible=places.visible, predicted=places.predicted).logits
    assert predictions.shape == targets.shape, f"predictions {predictions.shape}, targets {targets.shape}"
    return mse_loss(predictions.float(), targets.float(), reduction="none").mean(2).flatten()


_DECAY = 2.0
"""A visible patch that is one patch farther away counts less by the factor e to this power."""


@torch.no_grad()
def reconstruct(loaded: LoadedVideo, frames: Tensor, masked: PositionMask) -> Tensor:
    """Return clips in [0, 1] of the frames' shape: visible patches as they are, hidden ones as predicted.

    A model that predicts normalised pixels does not say a patch's colour and contrast. Published pictures take them
    from the hidden patch, and so show some of the truth; here they are means over the visible patches, in which near
    ones weigh most (in time as in space, with a patch as the unit of distance).

    Args:
        loaded: The model.
        frames: Clips as the model reads them, float (B, T, 3, H, W).
        masked: The hidden patches, the same number in every row.

    Raises:
        InputError: If the model predicts features.
    """
    if loaded.model.feature_head is not None:
        raise InputError(
            f"the model {loaded.name!r} predicts features, which cannot be shown as pictures; show its masks"
        )
    places = find_places(masked, masked)
    guesses = loaded.model(frames, visible=places.visible, predicted=places.predicted).logits.float()
    seen = loaded.grid.take_patches(frames, places.visible).float()
    near = _nearness(loaded.grid, places.visible, places.predicted)
    mean, deviation = (torch.einsum("bpv,bvic->bpic", near, each) for each in loaded.targets.statistics(seen))
    patches = torch.cat([seen, loaded.targets.read(guesses, mean, deviation)], dim=1)
    # from "visible ones first" back to the order of positions
    back = torch.cat([places.visible, places.predicted], dim=1).argsort(1)
    patches = patches.gather(1, back[..., None].expand_as(patches))
    return loaded.grid.put_patches(loaded.targets.shown(patches)).clamp(0, 1)


def _nearness(grid: Grid, visible: Tensor, hidden: Tensor) -> Tensor:
    """Return the weight of each visible patch (B, V) for each hidden one (B, P), float (B, P, V); rows sum to one."""
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in grid.shape), indexing="ij")
    places = torch.stack(axes, dim=-1).flatten(0, 2).to(visible.device)
    return (-_DECAY * torch.cdist(places[hidden], places[visible])).softmax(dim=2)
