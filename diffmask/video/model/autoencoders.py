"""VideoMAE and ViT-MAE with a second forward: hidden patches never reach the encoder, and only some are decoded.

The stock classes mix up samples whose masks differ in number, read the mask back from the device several times a
step, and predict pixels only. Here patches are gathered by index, and a head may predict features instead.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.videomae.modeling_videomae import VideoMAEForPreTrainingOutput
from transformers.models.vit_mae.modeling_vit_mae import (
    ViTMAEForPreTrainingOutput,
    build_2d_sinusoidal_position_embedding,
)

from diffmask.video.units.grid import Grid

DECODER_TABLE = "decoder.decoder_pos_embed"
"""The parameter of a ViT-MAE with the positions of its decoder."""


class _ForwardOfParts(nn.Module, ABC):
    """What both models share. A subclass says how the predicted patches are decoded.

    Attributes:
        feature_head: Predicts features in place of pixels if the config has a `feature_dim`; the head for pixels is
            then kept as it is.
    """

    _output: type
    pixel_head: nn.Module

    def __init__(self, config: transformers.PreTrainedConfig):
        super().__init__(config)
        self.feature_head = _feature_head(config)
        # a parameter that trains and gets no gradient is an error in DistributedDataParallel
        self.pixel_head.requires_grad_(self.feature_head is None)

    def forward(
        self,
        pixel_values: Tensor,
        *args: Any,
        visible: Tensor | None = None,
        predicted: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return predictions of the predicted patches (B, P, C) as `logits`, or what the inherited forward returns.

        Args:
            pixel_values: Normalised clips, (B, T, channels, H, W), of one frame for ViT-MAE; or what the inherited
                forward takes.
            args: For the inherited forward.
            visible: Positions of the visible patches, int64 (B, V); without them the inherited forward is called.
            predicted: Positions of the patches to predict, int64 (B, P).
            kwargs: For the inherited forward.
        """
        if visible is None or predicted is None:
            return super().forward(pixel_values, *args, **kwargs)
        return self._output(logits=self.decode(self.encode(pixel_values, visible), visible, predicted))

    def decode(
        self,
        states: Tensor,
        visible: Tensor,
        predicted: Tensor,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return predictions of the predicted patches, (B, P, C).

        Args:
            states: What `encode` returned.
            visible: Positions of the visible patches, int64 (B, V).
            predicted: Positions of the patches to predict, int64 (B, P).
            change: Makes of the decoder's tokens (B, V + P, D), visible ones first, those that its layers read.
        """
        tokens = self._decoder_tokens(states, visible, predicted)
        head = self.pixel_head if self.feature_head is None else self.feature_head
        return head(self._decoded(tokens if change is None else change(tokens), predicted.shape[1]))

    @abstractmethod
    def encode(self, frames: Tensor, visible: Tensor) -> Tensor:
        """Return the states of the visible patches, (B, V, D), after the class token of models that have one."""

    @abstractmethod
    def _decoder_tokens(self, states: Tensor, visible: Tensor, predicted: Tensor) -> Tensor:
        """Return the tokens that the decoder's layers read, those of predicted patches last."""

    @abstractmethod
    def _decoded(self, tokens: Tensor, num_predicted: int) -> Tensor:
        """Return what the head reads of the predicted patches, (B, P, D)."""


# each has the name of the class that it extends, which is the architecture that save_pretrained notes
class VideoMAEForPreTraining(_ForwardOfParts, transformers.VideoMAEForPreTraining):
    """VideoMAE; given `visible` and `predicted`, only these patches are computed."""

    _output = VideoMAEForPreTrainingOutput

    @property
    def pixel_head(self) -> nn.Module:
        """Predicts pixels."""
        return self.decoder.head

    def encode(self, frames: Tensor, visible: Tensor) -> Tensor:
        """Return the states of the visible patches, (B, V, D)."""
        embeddings = self.videomae.embeddings
        patches = _embed_patches(self, embeddings.patch_embeddings.projection, frames, visible)
        # the table is a plain tensor: moved once, where the inherited forward copies it at every step
        embeddings.position_embeddings = embeddings.position_embeddings.to(patches.device)
        states = patches + embeddings.position_embeddings[0].to(patches.dtype)[visible]
        states = self.videomae.encoder(states).last_hidden_state
        return states if self.videomae.layernorm is None else self.videomae.layernorm(states)

    def _decoder_tokens(self, states: Tensor, visible: Tensor, predicted: Tensor) -> Tensor:
        states = self.encoder_to_decoder(states)
        self.position_embeddings = self.position_embeddings.to(states.device)
        table = self.position_embeddings[0].to(self.mask_token.dtype)
        return torch.cat([states + table[visible], self.mask_token + table[predicted]], dim=1)

    def _decoded(self, tokens: Tensor, num_predicted: int) -> Tensor:
        for layer in self.decoder.decoder_layers:
            tokens = layer(tokens)
        return self.decoder.norm(tokens[:, tokens.shape[1] - num_predicted :])


class ViTMAEForPreTraining(_ForwardOfParts, transformers.ViTMAEForPreTraining):
    """ViT-MAE, an image model, on clips of one frame; given `visible` and `predicted`, only these are computed.

    Without a checkpoint the tables of positions are the sinusoids of the paper; transformers 5.23 leaves them at zero,
    so that the decoder could not tell one hidden patch from another.
    """

    _output = ViTMAEForPreTrainingOutput

    def __init__(self, config: transformers.ViTMAEConfig):
        super().__init__(config)
        _fill_tables(self._position_tables())

    def _position_tables(self) -> tuple[nn.Parameter, nn.Parameter]:
        """Return the tables of positions of encoder and decoder, neither of which is trained."""
        return self.vit.embeddings.position_embeddings, self.decoder.decoder_pos_embed

    def settle_tables(self, missing: Collection[str], side: int) -> None:
        """Make the tables of positions fit the images: sinusoids are computed anew, learned tables interpolated.

        Args:
            missing: Parameters that the checkpoint lacks; transformers leaves a missing table at zero and trains it.
            side: Patches of an image in height and in width.
        """
        encoder, decoder = self._position_tables()
        _fill_tables([decoder] if DECODER_TABLE in missing else [])
        for table in (encoder, decoder):
            table.requires_grad_(False)
        embeddings, patches = self.vit.embeddings, self.vit.embeddings.patch_embeddings
        if side * side == patches.num_patches:
            return
        image_size = side * patches.patch_size[0]
        embeddings.position_embeddings = _resized(encoder, side)
        self.decoder.decoder_pos_embed = _resized(decoder, side)
        patches.num_patches, patches.image_size = side * side, (image_size, image_size)
        embeddings.image_size = patches.image_size
        for config in (self.config, self.decoder.config):
            config.image_size = image_size

    @property
    def pixel_head(self) -> nn.Module:
        """Predicts pixels."""
        return self.decoder.decoder_pred

    def encode(self, frames: Tensor, visible: Tensor) -> Tensor:
        """Return the states of the class token and the visible patches, (B, 1 + V, D)."""
        embeddings = self.vit.embeddings
        table = embeddings.position_embeddings[0]
        # the class token is the first of the states and of each table
        states = _embed_patches(self, embeddings.patch_embeddings.projection, frames, visible) + table[visible + 1]
        token = (embeddings.cls_token + table[0]).expand(len(states), -1, -1)
        states = torch.cat([token.to(states.dtype), states], dim=1)
        for layer in self.vit.layers:
            states = layer(states)
        return self.vit.layernorm(states)

    def _decoder_tokens(self, states: Tensor, visible: Tensor, predicted: Tensor) -> Tensor:
        decoder = self.decoder
        states, table = decoder.decoder_embed(states), decoder.decoder_pos_embed[0]
        states = torch.cat([states[:, :1] + table[0], states[:, 1:] + table[visible + 1]], dim=1)
        return torch.cat([states, (decoder.mask_token + table[predicted + 1]).to(states.dtype)], dim=1)

    def _decoded(self, tokens: Tensor, num_predicted: int) -> Tensor:
        for layer in self.decoder.decoder_layers:
            tokens = layer(tokens)
        return self.decoder.decoder_norm(tokens[:, tokens.shape[1] - num_predicted :])


def _embed_patches(
    model: transformers.PreTrainedModel, projection: nn.Conv2d | nn.Conv3d, frames: Tensor, visible: Tensor
) -> Tensor:
    """Return the embeddings of the visible patches, (B, V, D): by a matrix product of their pixels.

    The convolution over all patches costs a CPU ten times as much.
    """
    # a layer that an adapter has put in its place would be passed by
    assert isinstance(projection, nn.Conv2d | nn.Conv3d), f"patches are embedded by {type(projection).__name__}"
    config = model.config
    wanted = (getattr(config, "num_frames", 1), config.num_channels, config.image_size, config.image_size)
    assert frames.shape[1:] == wanted, f"clips are {tuple(frames.shape[1:])}, the model takes {wanted}"
    pixels = Grid.of(config, wanted[0], wanted[2]).take_patches(frames, visible, channels_first=True)
    weight = projection.weight.flatten(1)
    return F.linear(pixels.to(weight.dtype), weight, projection.bias)


def _feature_head(config: transformers.PreTrainedConfig) -> nn.Linear | None:
    """Return a fresh linear head for features if the config of a model has a `feature_dim`."""
    feature_dim = getattr(config, "feature_dim", None)
    if feature_dim is None:
        return None
    head = nn.Linear(config.decoder_hidden_size, feature_dim)
    nn.init.normal_(head.weight, std=config.initializer_range)
    nn.init.zeros_(head.bias)
    return head


@torch.no_grad()
def _fill_tables(tables: Iterable[nn.Parameter]) -> None:
    """Fill tables of positions with sinusoids that are not trained."""
    for table in tables:
        table.copy_(_sinusoids(table))
        table.requires_grad_(False)


def _sinusoids(table: Tensor) -> Tensor:
    """Return the sinusoids for a table of this size, (1, 1 + rows * columns, D), class token first."""
    side = round((table.shape[1] - 1) ** 0.5)
    grid = build_2d_sinusoidal_position_embedding(side, side, table.shape[2], cls_token=True)
    # the library puts the half for rows first, released weights the half for columns
    return grid.roll(table.shape[2] // 2, dims=1)[None]


@torch.no_grad()
def _resized(table: Tensor, side: int) -> nn.Parameter:
    """Return a table of positions for a square of `side` times `side` patches."""
    if torch.allclose(table, _sinusoids(table).to(table), atol=1e-4):
        resized = _sinusoids(table.new_empty(1, side * side + 1, table.shape[2])).to(table)
    else:
        old = round((table.shape[1] - 1) ** 0.5)
        square = table[:, 1:].unflatten(1, (old, old)).movedim(3, 1)
        square = F.interpolate(square, size=(side, side), mode="bicubic").flatten(2).movedim(1, 2)
        resized = torch.cat([table[:, :1], square], dim=1)
    return nn.Parameter(resized, requires_grad=False)
