"""Tiny video models and clips, built in code: no network, no weights on disk."""

import copy

import torch
import transformers
from transformers import VideoMAEConfig, ViTMAEConfig

from diffmask.video.grid import Grid
from diffmask.video.videomae import VideoMAEForPreTraining
from diffmask.video.vit_mae import ViTMAEForPreTraining

SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 24,
    "patch_size": 8,
    "image_size": 32,
    # larger than usual, so that what a patch says is seen in what comes out
    "initializer_range": 0.15,
}


def tiny_videomae(seed=0, **changes):
    """Return a VideoMAE of 2 layers for 8 frames of 32 pixels: 4 x 4 x 4 patches of 2 x 8 x 8 pixels."""
    torch.manual_seed(seed)
    config = VideoMAEConfig(**(SIZE | {"num_frames": 8} | changes))
    return _trained(VideoMAEForPreTraining(config))


def tiny_vit_mae(seed=0, **changes):
    """Return a ViT-MAE of 2 layers for images of 32 pixels: 4 x 4 patches."""
    torch.manual_seed(seed)
    return _trained(ViTMAEForPreTraining(ViTMAEConfig(**(SIZE | changes))))


def _trained(model):
    """Fill what begins at zero, so that nothing drops out of a comparison."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", "token")):
                parameter.normal_(std=0.15)
    return model.eval()


def tiny_grid(model):
    """Return how a tiny model cuts its clips."""
    config = model.config
    tubelet = getattr(config, "tubelet_size", 1)
    side = config.image_size // config.patch_size
    return Grid(getattr(config, "num_frames", 1) // tubelet, side, side, tubelet, config.patch_size)


def tiny_frames(model, batch=3, seed=0):
    """Return normalised clips for a tiny model."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, getattr(config, "num_frames", 1), 3, config.image_size, config.image_size)
    return torch.randn(shape, generator=generator)


def tiny_masks(grid, batch=3, num_masked=None, num_predicted=None, seed=0):
    """Return a mask of the same number of patches in every row, and a part of it that is predicted."""
    num_masked = round(0.75 * grid.num_positions) if num_masked is None else num_masked
    num_predicted = num_masked if num_predicted is None else num_predicted
    order = torch.rand(batch, grid.num_positions, generator=torch.Generator().manual_seed(seed)).argsort(1)
    rank = order.argsort(1)
    return rank < num_masked, rank < num_predicted


def stock_of(model):
    """Return the class of transformers itself, with the same weights."""
    kind = getattr(transformers, type(model).__name__)
    assert type(model) is not kind
    stock = kind(copy.deepcopy(model.config)).train(model.training)
    stock.load_state_dict(model.state_dict())
    return stock


def stock_output(stock, frames, masked):
    """Return loss and predictions of the stock class for given masks, (B, masked patches, C)."""
    if stock.config.model_type == "videomae":
        output = stock(frames, bool_masked_pos=masked)
        return output.loss, output.logits
    # it hides the patches with the most noise, rounding as it likes
    stock.config.mask_ratio = masked[0].sum().item() / masked.shape[1]
    stock.vit.config.mask_ratio = stock.config.mask_ratio
    output = stock(frames[:, 0], noise=masked.float())
    assert torch.equal(output.mask.bool(), masked)
    return output.loss, output.logits[masked].view(len(masked), -1, output.logits.shape[-1])
