"""VideoMAE whose forward can leave masked patches out from the first layer on, and decode a subset of them."""

from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.videomae.modeling_videomae import VideoMAEForPreTrainingOutput

from diffmask.video.units.grid import Grid, take_patches


# it has the name of the class that it extends, so that this is the architecture that save_pretrained notes
class VideoMAEForPreTraining(transformers.VideoMAEForPreTraining):
    """The class of transformers, with a second way through it: given `visible` and `predicted`, indices of patches.

    Without them its forward is the inherited one. Pixels of visible patches alone are embedded, by a matrix product
    (the convolution over all patches costs a CPU ten times as much), and nothing is read back from the device.

    Attributes:
        feature_head: Predicts features in the place of pixels, where the config has a `feature_dim`; then the head
            for pixels is kept as it is.
    """

    def __init__(self, config: transformers.VideoMAEConfig):
        super().__init__(config)
        self.feature_head = feature_head(config)
        # a parameter that trains and gets no gradient is an error in DistributedDataParallel
        self.pixel_head.requires_grad_(self.feature_head is None)

    @property
    def pixel_head(self) -> nn.Module:
        """Predicts pixels."""
        return self.decoder.head

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        pixel_values: Tensor,
        bool_masked_pos: Tensor | None = None,
        visible: Tensor | None = None,
        predicted: Tensor | None = None,
        **kwargs: Any,
    ) -> VideoMAEForPreTrainingOutput:
        """Return predictions of the predicted patches (B, P, C) as `logits`, or what the inherited forward returns.

        Args:
            pixel_values: Normalised frames, (B, T, channels, H, W).
            bool_masked_pos: For the inherited forward.
            visible: Positions of the visible patches, int64 (B, V).
            predicted: Positions of the patches to predict, int64 (B, P).
            kwargs: For the inherited forward.
        """
        if visible is None or predicted is None:
            return super().forward(pixel_values, bool_masked_pos, **kwargs)  # pyright: ignore[reportArgumentType]
        states = self.encoder_to_decoder(self._encode(pixel_values, visible))
        self.position_embeddings = self.position_embeddings.to(states.device)
        table = self.position_embeddings[0].to(pixel_values.dtype)
        hidden = torch.cat([states + table[visible], self.mask_token + table[predicted]], dim=1)
        for layer in self.decoder.decoder_layers:
            hidden = layer(hidden)
        head = self.pixel_head if self.feature_head is None else self.feature_head
        return VideoMAEForPreTrainingOutput(logits=head(self.decoder.norm(hidden[:, visible.shape[1] :])))

    def _encode(self, frames: Tensor, visible: Tensor) -> Tensor:
        embeddings = self.videomae.embeddings
        pixels = take_patches(frames, grid_of(self, frames), visible, channels_first=True)
        patches = embed_patches(embeddings.patch_embeddings.projection, pixels)
        # the tables are plain tensors: moved once, where the inherited forward copies them at every step
        embeddings.position_embeddings = embeddings.position_embeddings.to(patches.device)
        states = patches + embeddings.position_embeddings[0].to(patches.dtype)[visible]
        states = self.videomae.encoder(states).last_hidden_state
        return states if self.videomae.layernorm is None else self.videomae.layernorm(states)


def grid_of(model: transformers.PreTrainedModel, frames: Tensor) -> Grid:
    """Return how a model cuts clips of the size that it is made for.

    Raises:
        InputError: If clips cannot be cut.
    """
    config = model.config
    wanted = (getattr(config, "num_frames", 1), config.num_channels, config.image_size, config.image_size)
    assert frames.shape[1:] == wanted, f"clips are {tuple(frames.shape[1:])}, the model takes {wanted}"
    return Grid.of(config, wanted[0], wanted[2])


def embed_patches(projection: nn.Conv2d | nn.Conv3d, pixels: Tensor) -> Tensor:
    """Return the embeddings of patches from their pixels, channels first, (B, V, D)."""
    # what an adapter has put in its place would be passed by
    assert isinstance(projection, nn.Conv2d | nn.Conv3d), f"patches are embedded by {type(projection).__name__}"
    weight = projection.weight.flatten(1)
    return F.linear(pixels.to(weight.dtype), weight, projection.bias)


def feature_head(config: transformers.PreTrainedConfig) -> nn.Linear | None:
    """Return a fresh linear head for features, if a model's config has a `feature_dim`."""
    feature_dim = getattr(config, "feature_dim", None)
    if feature_dim is None:
        return None
    head = nn.Linear(config.decoder_hidden_size, feature_dim)
    nn.init.normal_(head.weight, std=config.initializer_range)
    nn.init.zeros_(head.bias)
    return head
