"""ViT-MAE, an image model, on clips of one frame, with the forward of `diffmask.video.videomae`."""

from collections.abc import Iterable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.models.vit_mae.modeling_vit_mae import (
    ViTMAEForPreTrainingOutput,
    build_2d_sinusoidal_position_embedding,
)

from diffmask.video.patches import take_patches
from diffmask.video.videomae import add_feature_head, embed_patches, grid_of


class ViTMAEForPreTraining(transformers.ViTMAEForPreTraining):
    """The class of transformers, with a second way through it: given `visible` and `predicted`, indices of patches.

    Without a checkpoint the tables of positions are the sinusoids of the paper; transformers 5.23 leaves them at zero,
    so that the decoder could not tell one hidden patch from another.

    Attributes:
        feature_head: Predicts features in the place of pixels, where the config has a `feature_dim`.
    """

    def __init__(self, config: transformers.ViTMAEConfig):
        super().__init__(config)
        self.feature_head = add_feature_head(self, self.decoder.decoder_pred)
        fill_tables(position_tables(self))

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
        head = decoder.decoder_pred if self.feature_head is None else self.feature_head
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


def position_tables(model: transformers.ViTMAEForPreTraining) -> tuple[nn.Parameter, nn.Parameter]:
    """Return the tables of positions of the encoder and of the decoder, which are not trained."""
    return model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed


@torch.no_grad()
def fill_tables(tables: Iterable[nn.Parameter]) -> None:
    """Fill tables of positions with their sinusoids, and leave them untrained."""
    for table in tables:
        table.copy_(sinusoids(table))
        table.requires_grad_(False)


def sinusoids(table: Tensor) -> Tensor:
    """Return the table of fixed positions of the size of another, (1, 1 + rows * columns, D), class token first."""
    side = round((table.shape[1] - 1) ** 0.5)
    grid = build_2d_sinusoidal_position_embedding(side, side, table.shape[2], cls_token=True)
    # released weights have columns before rows
    return grid.roll(table.shape[2] // 2, dims=1)[None]
