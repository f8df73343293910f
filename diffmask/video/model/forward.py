"""The masked forward pass: hidden patches never reach the encoder, and only predicted ones reach the decoder."""

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor
from torch.nn.functional import mse_loss

from diffmask.core.types import PositionMask
from diffmask.video.model.videomae import VideoMAEForPreTraining
from diffmask.video.model.vit_mae import ViTMAEForPreTraining
from diffmask.video.units.places import Counts, find_places


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
