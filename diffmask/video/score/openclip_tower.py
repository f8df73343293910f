"""The image towers of CLIP models, which give one embedding per patch in the space that they share with text.

A tower is trained to give one embedding per image; each kind is asked in its own way for what it would say of a patch.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffmask.core.errors import InputError

_VALUE = "value"


class Tower(ABC):
    """An image tower that yields a grid of patches.

    Attributes:
        visual: The tower as open_clip builds it.
        name: What the user called the model, for messages.
        image_size: Pixels of a picture in height and in width.
        patch_size: Pixels of a patch.
        dim: Number of dimensions of a projected patch, D.
        any_shape: Whether pictures of another size and shape can be read.
    """

    image_size: int
    patch_size: int
    dim: int
    any_shape = True

    def __init__(self, visual: Any, name: str):
        self.visual, self.name = visual, name

    @staticmethod
    def of(visual: nn.Module, name: str) -> "Tower":
        """Return the tower of a model.

        Args:
            visual: The image tower as open_clip builds it.
            name: What the user called the model.

        Raises:
            InputError: If the tower yields no patches in the space of text.
        """
        from open_clip.modified_resnet import ModifiedResNet
        from open_clip.timm_model import TimmModel
        from open_clip.transformer import VisionTransformer

        kinds = {VisionTransformer: VitTower, ModifiedResNet: _ResNetTower, TimmModel: _TimmTower}
        for kind, tower in kinds.items():
            if isinstance(visual, kind):
                return tower(visual, name)
        kind = type(visual).__name__
        raise InputError(f"{name} has a tower of another kind ({kind}); use a ViT, ResNet or timm tower")

    def check_layer(self, layer: int | str | None) -> int | str:
        """Return the layer to read, or refuse it; None is the tower's own choice. Of most towers only the end is read.

        Raises:
            InputError: If the tower has no such layer.
        """
        if layer not in (None, _VALUE):
            raise InputError(
                f"layer {layer!r} cannot be read: only the end of the tower of {self.name} can; leave --layer out"
            )
        return _VALUE

    @abstractmethod
    def patches(self, pixels: Tensor, layer: int | str) -> Tensor:
        """Return projected patches (B, rows, columns, D) of normalised pixels (B, 3, H, W)."""


class VitTower(Tower):
    """The vision transformer of open_clip."""

    def __init__(self, visual: Any, name: str):
        super().__init__(visual, name)
        if visual.attn_pool is not None:
            raise InputError(
                f"the tower of {name} pools its patches by queries of its own, so single patches cannot be projected "
                "to the space of text; use a ViT, ResNet or SigLIP tower, or --embedder pixels"
            )
        self.image_size, self.patch_size = min(visual.image_size), visual.patch_size[0]
        self.dim = visual.output_dim
        self.blocks = list(visual.transformer.resblocks)

    def check_layer(self, layer: int | str | None) -> int | str:
        """Return a number from 0, or `value`."""
        depth = len(self.blocks)
        if layer is None:
            return _VALUE if self.has_attention else depth - 2 if depth > 1 else 0
        if layer == _VALUE:
            if not self.has_attention:
                raise InputError(f"the tower of {self.name} has no attention of the usual kind; give --layer a number")
            return _VALUE
        if isinstance(layer, str) or not -depth <= layer < depth:
            raise InputError(
                f"layer {layer!r} is not of the tower of {self.name}; give {_VALUE}, or a number in "
                f"[{-depth}, {depth - 1}]"
            )
        return layer % depth

    def patches(self, pixels: Tensor, layer: int | str) -> Tensor:
        """Return projected patches (B, rows, columns, D)."""
        last = len(self.blocks) - 1
        tokens = self.embed_tokens(pixels)
        # for `value` the blocks before the last run as they are, then the last one without its mixing of patches
        if layer != _VALUE or last > 0:
            tokens = self.tokens_after(tokens, last - 1 if layer == _VALUE else int(layer))
        tokens = tokens[:, 1:]
        if layer == _VALUE:
            tokens = _values(self.blocks[-1], tokens)
        tokens = self.visual.ln_post(tokens)
        if self.visual.proj is not None:
            tokens = tokens @ self.visual.proj
        return tokens.unflatten(1, self.grid(pixels))

    def grid(self, pixels: Tensor) -> tuple[int, int]:
        """Return rows and columns of patches."""
        return pixels.shape[2] // self.patch_size, pixels.shape[3] // self.patch_size

    def embed_tokens(self, pixels: Tensor) -> Tensor:
        """Return what goes into the first block, (B, 1 + rows * columns, width), class token first."""
        visual = self.visual
        tokens = visual.conv1(pixels).flatten(2).transpose(1, 2)
        first = visual.class_embedding.expand(len(tokens), 1, -1).to(tokens)
        tokens = torch.cat([first, tokens], dim=1)
        positions = _resize_positions(visual.positional_embedding, visual.grid_size, self.grid(pixels))
        return visual.ln_pre(tokens + positions.to(tokens))

    def tokens_after(self, tokens: Tensor, layer: int) -> Tensor:
        """Return what a block hands on, (B, 1 + rows * columns, width), given what goes into the first."""
        transformer = self.visual.transformer
        return transformer.forward_intermediates(tokens, indices=[layer], stop_early=True)[1][0]

    @property
    def has_attention(self) -> bool:
        """Whether the last block has attention of the usual kind, whose parts can be read."""
        return isinstance(getattr(self.blocks[-1], "attn", None), nn.MultiheadAttention)


class _ResNetTower(Tower):
    """The ResNet of open_clip, which pools by attention: each position is projected as if it alone were attended to."""

    patch_size = 32

    def __init__(self, visual: Any, name: str):
        super().__init__(visual, name)
        size = visual.image_size
        self.image_size = min(size) if isinstance(size, (tuple, list)) else size
        self.dim = visual.output_dim

    def patches(self, pixels: Tensor, layer: int | str) -> Tensor:
        output = self.visual.forward_intermediates(pixels, indices=[4], intermediates_only=True)
        grid = output["image_intermediates"][0].permute(0, 2, 3, 1)
        pool = self.visual.attnpool
        return pool.c_proj(pool.v_proj(grid))


class _TimmTower(Tower):
    """A trunk of timm: each position goes through the head alone, as if the trunk had given nothing else."""

    any_shape = False

    def __init__(self, visual: Any, name: str):
        super().__init__(visual, name)
        self.image_size = min(visual.image_size)
        device = next(visual.parameters()).device
        zeros = torch.zeros(1, 3, *visual.image_size, device=device)
        refusal = (
            f"the tower of {name} ({type(visual.trunk).__name__}) yields no grid of patches that its head can "
            "project one by one; use a ViT or ResNet tower of open_clip, or --embedder pixels"
        )
        if visual.image_size[0] != visual.image_size[1]:
            raise InputError(refusal)
        try:
            with torch.inference_mode():
                shape = self.patches(zeros, _VALUE).shape
        except (RuntimeError, AttributeError, TypeError, IndexError, AssertionError) as error:
            raise InputError(refusal) from error
        if shape[1] < 2 or shape[1] != shape[2]:
            raise InputError(refusal)
        self.patch_size, self.dim = self.image_size // shape[1], shape[3]

    def patches(self, pixels: Tensor, layer: int | str) -> Tensor:
        trunk = self.visual.trunk
        features = trunk.forward_features(pixels)
        prefix = getattr(trunk, "num_prefix_tokens", 0)
        if features.ndim == 3:
            tokens = features[:, prefix:]
            side = round(tokens.shape[1] ** 0.5)
            shape = (len(features), side, side)
            assert side * side == tokens.shape[1]
            # the patch in every place: a head reads it as the class token, or as the average of all tokens
            alone = tokens.flatten(0, 1)[:, None].expand(-1, prefix + 1, -1)
        else:
            channels_last = features.shape[-1] == trunk.num_features and features.shape[1] != trunk.num_features
            maps = features if channels_last else features.permute(0, 2, 3, 1)
            shape = maps.shape[:3]
            alone = maps.flatten(0, 2)
            alone = alone[:, None, None] if channels_last else alone[:, :, None, None]
        return self.visual.head(trunk.forward_head(alone)).unflatten(0, shape)


def _resize_positions(table: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Return a table of positions, class token first, interpolated for another grid, (1 + rows * columns, width)."""
    if grid == wanted:
        return table
    patches = table[1:].float().unflatten(0, grid).permute(2, 0, 1)[None]
    patches = F.interpolate(patches, wanted, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([table[:1].float(), patches[0].flatten(1).T])


def _values(block: Any, tokens: Tensor) -> Tensor:
    """Return what attention would hand on if every token attended to itself only.

    The softmax over one token is 1, so queries and keys do not matter: the last third of the joint projection is left.
    """
    attention = block.attn
    width = tokens.shape[-1]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias[2 * width :]
    values = F.linear(block.ln_1(tokens), attention.in_proj_weight[2 * width :], bias)
    return attention.out_proj(values)
