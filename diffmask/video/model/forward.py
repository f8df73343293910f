"""The masked forward pass: hidden patches never reach the encoder, and only predicted ones reach the decoder.

Pictures of what a model makes of hidden patches, with nothing of the truth in them.
"""

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor
from torch.nn.functional import mse_loss

from diffmask.core.errors import InputError
from diffmask.core.types import PositionMask
from diffmask.video.model.load import LoadedVideo
from diffmask.video.model.videomae import VideoMAEForPreTraining
from diffmask.video.model.vit_mae import ViTMAEForPreTraining
from diffmask.video.units.grid import Counts, Grid, find_places, put_patches, take_patches


def masked_losses(
    model: torch.nn.Module,
    frames: Tensor,
    masked: PositionMask,
    predicted: PositionMask,
    targets: Tensor,
    *,
    counts: Counts | None = None,
) -> Tensor:
    """Return the mean squared error of each predicted patch, in row-major order, float32 (N,).

    With all masked patches predicted the mean is the loss of the stock class; patches that are hidden and not
    predicted are given to neither encoder nor decoder.

    Args:
        model: A model that `load_video_model` returned, wrapped (DDP, compiled) or not.
        frames: Normalised clips, (B, T, channels, H, W); T is 1 for an image model.
        masked: What is hidden, the same number in every row.
        predicted: The part of it that is predicted, the same number in every row.
        targets: Of the predicted patches in each row's order (B, P, C), or of all patches (B, L, C).
        counts: How many are masked and predicted, where the caller is sure: then nothing is read back from the device.

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


NEARNESS = 2.0
"""How fast the say of a visible patch falls with its distance: by this power of e for each patch of distance."""


@torch.no_grad()
def reconstruct(loaded: LoadedVideo, frames: Tensor, masked: PositionMask) -> Tensor:
    """Return clips in [0, 1] of the frames' shape: visible patches as they are, hidden ones as predicted.

    A model that predicts normalised pixels says nothing of a patch's colour and contrast. Taking them from the hidden
    patch would show the truth in place of the model, as published pictures do; here they are the means of those of
    the visible patches, near ones first (in time as in space, a patch being the unit of distance).

    Args:
        loaded: The model.
        frames: As the model reads them, float (B, T, 3, H, W).
        masked: What is hidden, the same number in every row.

    Raises:
        InputError: If the model predicts features.
    """
    if loaded.model.feature_head is not None:
        raise InputError(f"the model {loaded.name!r} predicts features, of which there are no pictures; show its masks")
    places = find_places(masked, masked)
    guesses = loaded.model(frames, visible=places.visible, predicted=places.predicted).logits.float()
    seen = take_patches(frames, loaded.grid, places.visible).float()
    near = nearness(loaded.grid, places.visible, places.predicted)
    mean, deviation = (torch.einsum("bpv,bvic->bpic", near, each) for each in loaded.targets.statistics(seen))
    patches = torch.cat([seen, loaded.targets.read(guesses, mean, deviation)], dim=1)
    back = torch.cat([places.visible, places.predicted], dim=1).argsort(1)
    patches = patches.gather(1, back[..., None].expand_as(patches))
    return put_patches(loaded.targets.shown(patches), loaded.grid).clamp(0, 1)


def nearness(grid: Grid, visible: Tensor, hidden: Tensor) -> Tensor:
    """Return how much each visible patch says of each hidden one, float (B, P, V), rows summing to one.

    Args:
        grid: The patches.
        visible: Positions, int64 (B, V).
        hidden: Positions, int64 (B, P).
    """
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in grid.shape), indexing="ij")
    places = torch.stack(axes, dim=-1).flatten(0, 2).to(visible.device)
    return (-NEARNESS * torch.cdist(places[hidden], places[visible])).softmax(dim=2)
