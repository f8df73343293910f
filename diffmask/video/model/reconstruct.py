"""Pictures of what a model makes of hidden patches, with nothing of the truth in them."""

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import PositionMask
from diffmask.video.model.load import LoadedVideo
from diffmask.video.units.grid import Grid
from diffmask.video.units.patches import put_patches, take_patches
from diffmask.video.units.places import find_places

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
