"""ViT-MAE, an image model, on clips of one frame, with the forward of `diffmask.video.model.videomae`."""

from collections.abc import Collection, Iterable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.vit_mae.modeling_vit_mae import (
    ViTMAEForPreTrainingOutput,
    build_2d_sinusoidal_position_embedding,
)

from diffmask.video.model.videomae import embed_patches, feature_head, grid_of
from diffmask.video.units.grid import take_patches

DECODER_TABLE = "decoder.decoder_pos_embed"


class ViTMAEForPreTraining(transformers.ViTMAEForPreTraining):
    """The class of transformers, with a second way through it: given `visible` and `predicted`, indices of patches.

    Without a checkpoint the tables of positions are the sinusoids of the paper; transformers 5.23 leaves them at zero,
    so that the decoder could not tell one hidden patch from another.

    Attributes:
        feature_head: Predicts features in the place of pixels, where the config has a `feature_dim`.
    """

    def __init__(self, config: transformers.ViTMAEConfig):
        super().__init__(config)
        self.feature_head = feature_head(config)
        self.pixel_head.requires_grad_(self.feature_head is None)
        _fill_tables(_position_tables(self))

    @property
    def pixel_head(self) -> nn.Module:
        """Predicts pixels."""
        return self.decoder.decoder_pred

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        pixel_values: Tensor,
        *args: Any,
        visible: Tensor | None = None,
        predicted: Tensor | None = None,
        **kwargs: Any,
    ) -> ViTMAEForPreTrainingOutput:
        """Return predictions of the predicted patches (B, P, C) as `logits`, or what the inherited forward returns.

        Args:
            pixel_values: Normalised clips of one frame (B, 1, channels, H, W); images for the inherited forward.
            args: For the inherited forward.
            visible: Positions of the visible patches, int64 (B, V).
            predicted: Positions of the patches to predict, int64 (B, P).
            kwargs: For the inherited forward.
        """
        if visible is None or predicted is None:
            return super().forward(pixel_values, *args, **kwargs)
        decoder = self.decoder
        states = decoder.decoder_embed(self._encode(pixel_values, visible))
        table = decoder.decoder_pos_embed[0]
        # the class token is the first of states and of tables
        states = torch.cat([states[:, :1] + table[0], states[:, 1:] + table[visible + 1]], dim=1)
        hidden = torch.cat([states, (decoder.mask_token + table[predicted + 1]).to(states.dtype)], dim=1)
        for layer in decoder.decoder_layers:
            hidden = layer(hidden)
        head = self.pixel_head if self.feature_head is None else self.feature_head
        return ViTMAEForPreTrainingOutput(logits=head(decoder.decoder_norm(hidden[:, states.shape[1] :])))

    def _encode(self, frames: Tensor, visible: Tensor) -> Tensor:
        embeddings = self.vit.embeddings
        pixels = take_patches(frames, grid_of(self, frames), visible, channels_first=True)
        table = embeddings.position_embeddings[0]
        states = embed_patches(embeddings.patch_embeddings.projection, pixels) + table[visible + 1]
        token = (embeddings.cls_token + table[0]).expand(len(states), -1, -1)
        states = torch.cat([token.to(states.dtype), states], dim=1)
        for layer in self.vit.layers:
            states = layer(states)
        return self.vit.layernorm(states)


def _position_tables(model: transformers.ViTMAEForPreTraining) -> tuple[nn.Parameter, nn.Parameter]:
    """Return the tables of positions of the encoder and of the decoder, which are not trained."""
    return model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed


@torch.no_grad()
def _fill_tables(tables: Iterable[nn.Parameter]) -> None:
    """Fill tables of positions with their sinusoids, and leave them untrained."""
    for table in tables:
        table.copy_(sinusoids(table))
        table.requires_grad_(False)


def sinusoids(table: Tensor) -> Tensor:
    """Return the fixed positions for a table of this size, (1, 1 + rows * columns, D), class token first."""
    side = round((table.shape[1] - 1) ** 0.5)
    grid = build_2d_sinusoidal_position_embedding(side, side, table.shape[2], cls_token=True)
    # released weights have columns before rows
    return grid.roll(table.shape[2] // 2, dims=1)[None]


def settle_tables(model: ViTMAEForPreTraining, missing: Collection[str], side: int) -> None:
    """Make the tables of positions of a loaded model right for images of a size.

    Args:
        model: Just loaded.
        missing: What its checkpoint lacked; transformers leaves a table among it at zero, and trains it.
        side: Patches in height and in width. Tables of sinusoids are made again, learned ones interpolated.
    """
    encoder, decoder = _position_tables(model)
    _fill_tables([decoder] if DECODER_TABLE in missing else [])
    for table in (encoder, decoder):
        table.requires_grad_(False)
    embeddings, patches = model.vit.embeddings, model.vit.embeddings.patch_embeddings
    if side * side == patches.num_patches:
        return
    image_size = side * patches.patch_size[0]
    embeddings.position_embeddings, model.decoder.decoder_pos_embed = _resized(encoder, side), _resized(decoder, side)
    patches.num_patches, patches.image_size = side * side, (image_size, image_size)
    embeddings.image_size = patches.image_size
    for config in (model.config, model.decoder.config):
        config.image_size = image_size


@torch.no_grad()
def _resized(table: Tensor, side: int) -> nn.Parameter:
    """Return a table for a square of patches of another side."""
    if torch.allclose(table, sinusoids(table).to(table), atol=1e-4):
        resized = sinusoids(table.new_empty(1, side * side + 1, table.shape[2])).to(table)
    else:
        old = round((table.shape[1] - 1) ** 0.5)
        square = table[:, 1:].unflatten(1, (old, old)).movedim(3, 1)
        square = F.interpolate(square, size=(side, side), mode="bicubic").flatten(2).movedim(1, 2)
        resized = torch.cat([table[:, :1], square], dim=1)
    return nn.Parameter(resized, requires_grad=False)
