"""Embeddings of the patches of frames: by a CLIP tower, by the student itself, or by what the pixels look like.

embedder = build_embedder("clip:ViT-B-16:weights.safetensors")
embedder.embed(frames)    # uint8 (T, H, W, 3) -> float32 (T, rows, columns, D)

Embeddings of patches from their pixels alone, for machines without weights: colour and texture, then PCA.

Raw pixels of patches make poor visual words: the same grass, shifted by four pixels or half as bright, is far from
itself. So a patch is described by what does not move with it: its hue and how colours spread, and in which directions
its edges run at two scales, whatever their contrast. Its surroundings are described in the same way.

Embeddings of patches by the model that is trained: the encoder of a VideoMAE.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.video.model.load import read_colours
from diffmask.video.score.openclip_load import hash_weights

if TYPE_CHECKING:
    from transformers import VideoMAEModel

    from diffmask.video.score.openclip_load import LoadedClip

KINDS = ("clip:MODEL:WEIGHTS", "student:FOLDER", "pixels")
BATCH_FRAMES = 16
_WIDEST = 3.0
"""Frames that are longer than so many times their other side are squeezed to it."""


class PatchEmbedder(Protocol):
    """What gives every patch of a frame an embedding."""

    @property
    def key(self) -> str:
        """What the embeddings depend on beside the frame: kind, weights, layer, size."""
        ...

    @property
    def dim(self) -> int:
        """D."""
        ...

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of patches in frames of this size."""
        ...

    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings float32 (T, rows, columns, D) of frames uint8 (T, H, W, 3), on the embedder's device."""
        ...


class ClipEmbedder:
    """Patches by a CLIP tower, projected into the space that it shares with text.

    Frames are resized to the tower's size at their short side and keep their shape where the tower can read that;
    positions are interpolated.

    Attributes:
        clip: The model with its tokenizer and statistics.
        layer: Block whose tokens are read, from 0, negative from the end; or `value`: what the last block would hand
            on if each patch attended to itself only (MaskCLIP, Zhou et al. 2022), the default. Tokens of the last block
            itself hold the whole frame rather than their patch: in a small model that was trained on digits in clutter,
            a caption finds its digit with an AUC of 0.97 by `value`, 0.14 to 0.30 by the last block.
        size: Pixels of the short side.
    """

    def __init__(self, clip: "LoadedClip", *, layer: int | str | None = None, size: int | None = None):
        self.clip = clip
        self.layer = clip.tower.check_layer(layer)
        self.size = size or clip.tower.image_size
        self.key = f"clip {clip.key} layer {self.layer} size {self.size}"
        self.dim = clip.tower.dim

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.clip.device

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of patches in frames of this size."""
        patch = self.clip.tower.patch_size
        if not self.clip.tower.any_shape:
            return self.clip.tower.image_size // patch, self.clip.tower.image_size // patch
        return fitted_grid(height, width, self.size, patch)

    @torch.inference_mode()
    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings of length one, float32 (T, rows, columns, D)."""
        rows, columns = self.grid(*frames.shape[1:3])
        patch = self.clip.tower.patch_size
        made = []
        for pixels in resized(frames, (rows * patch, columns * patch), self.device):
            tokens = self.clip.tower.patches(self.clip.normalise(pixels), self.layer)
            assert tokens.shape[1:3] == (rows, columns), f"{tuple(tokens.shape)} for {rows} x {columns} patches"
            made.append(F.normalize(tokens.float(), dim=-1))
        return torch.cat(made)

    @torch.inference_mode()
    def embed_text(self, texts: list[str]) -> Tensor:
        """Return embeddings of length one, float32 (A, D)."""
        tokens = self.clip.tokenizer(texts).to(self.device)
        return F.normalize(self.clip.model.encode_text(tokens).float(), dim=-1)


def build_embedder(
    spec: str,
    *,
    layer: int | str | None = None,
    size: int | None = None,
    device: str = "auto",
    basis: Mapping[str, Tensor] | None = None,
) -> PatchEmbedder:
    """Return the embedder that the user named.

    Args:
        spec: `clip:MODEL:WEIGHTS`, `clip:FOLDER`, `student:FOLDER` or `pixels`.
        layer: Which layer of the model is read; None is the embedder's own choice.
        size: Pixels of a frame's short side; None is what the model was trained with.
        device: auto, cpu, cuda, ...
        basis: What a `pixels` embedder was fitted to; without it, it has to be fitted first.

    Raises:
        InputError: If there is no such embedder or model, or it has no such layer.
    """
    kind, _, rest = spec.partition(":")
    if kind == "clip" and rest:
        from diffmask.video.score.openclip_load import load_clip

        return ClipEmbedder(load_clip(rest, device), layer=layer, size=size)
    if kind == "student" and rest:
        if size is not None:
            raise InputError(f"size={size} has no effect with {spec}, which reads frames of its own size; leave it out")
        return StudentEmbedder(rest, layer=layer, device=device)
    if spec == "pixels":
        if layer is not None:
            raise InputError(f"layer={layer} has no effect with the embedder pixels, which has no layers; leave it out")
        return PixelEmbedder(size=size or PixelEmbedder.SIZE, device=resolve_device(device), basis=basis)
    raise InputError(f"unknown embedder {spec!r}; choose from: {', '.join(KINDS)}")


def parse_layer(text: str | None) -> int | str | None:
    """Return the layer that a user wrote: a number, or the name of a way to read it."""
    if text is None:
        return None
    return int(text) if text.lstrip("-").isdigit() else text


def fitted_grid(height: int, width: int, size: int, patch_size: int) -> tuple[int, int]:
    """Return rows and columns of patches when the short side of a frame becomes `size` pixels.

    >>> fitted_grid(240, 320, 224, 16)
    (14, 19)
    """
    short = max(1, round(size / patch_size))
    long = max(short, round(size * min(max(height, width) / min(height, width), _WIDEST) / patch_size))
    return (short, long) if height <= width else (long, short)


def resized(frames: Tensor, size: tuple[int, int], device: torch.device) -> Iterator[Tensor]:
    """Yield frames of another size in batches, float32 (N, 3, height, width) in [0, 1].

    Args:
        frames: uint8 (T, H, W, 3).
        size: Height and width.
        device: Where they are resized.
    """
    assert frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[-1] == 3, (frames.dtype, frames.shape)
    for batch in frames.split(BATCH_FRAMES):
        pixels = batch.to(device).permute(0, 3, 1, 2).float() / 255
        if pixels.shape[2:] != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        yield pixels


NUM_DIRECTIONS = 8
MAX_FITTED = 50_000
_DARK, _FLAT = 0.05, 0.01
"""Below these, colour and contrast are noise: added where one divides by brightness or by edges."""


class PixelEmbedder:
    """Patches by colour and texture, centred and rotated by a PCA that is fitted to the clips.

    Attributes:
        size: Pixels of a frame's short side.
        basis: `mean`, `scale` (features,) and `components` (D, features); None until it is fitted.
    """

    SIZE, PATCH, DIM = 224, 16, 24

    def __init__(self, *, size: int = SIZE, device: torch.device | None = None, basis=None):
        self.size = size
        self.device = device or torch.device("cpu")
        self.basis: dict[str, Tensor] | None = None if basis is None else _checked(basis)

    @property
    def key(self) -> str:
        """What the embeddings depend on beside the frame."""
        digest = hashlib.sha256()
        for name, values in sorted(self._fitted().items()):
            digest.update(f"{name} {tuple(values.shape)}".encode())
            digest.update(values.numpy().tobytes())
        return f"pixels 1 {digest.hexdigest()} size {self.size}"

    @property
    def dim(self) -> int:
        """D."""
        return len(self._fitted()["components"])

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of patches in frames of this size."""
        return fitted_grid(height, width, self.size, self.PATCH)

    def fit(self, descriptions: Iterable[Tensor]) -> None:
        """Fit the basis.

        Args:
            descriptions: What `describe` returns of frames, any number of dimensions before the last.
        """
        from sklearn.decomposition import PCA

        rows = torch.cat([each.flatten(0, -2).cpu() for each in descriptions]).double()
        rows = rows[:: -(-len(rows) // MAX_FITTED)]
        mean, scale = rows.mean(0), rows.std(0, correction=0).clamp_min(1e-6)
        # a constant feature says nothing, whatever its noise
        scale = torch.where(scale > 1e-5, scale, torch.inf) * _group_sizes(rows.shape[1]).sqrt()
        standard = ((rows - mean) / scale).numpy()
        num_parts = min(self.DIM, *standard.shape)
        components = np.eye(num_parts, standard.shape[1])
        # frames of one colour have no directions of their own
        if standard.any():
            components = np.asarray(PCA(num_parts, svd_solver="full").fit(standard).components_)
        self.basis = _checked({"mean": mean, "scale": scale, "components": torch.from_numpy(components)})

    @torch.inference_mode()
    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings, float32 (T, rows, columns, D); zero is what is common in the clips."""
        basis = {name: values.to(self.device) for name, values in self._fitted().items()}
        return ((self.describe(frames) - basis["mean"]) / basis["scale"]) @ basis["components"].T

    @torch.inference_mode()
    def describe(self, frames: Tensor) -> Tensor:
        """Return what is seen in each patch, float32 (T, rows, columns, features)."""
        rows, columns = self.grid(*frames.shape[1:3])
        made = []
        for pixels in resized(frames, (rows * self.PATCH, columns * self.PATCH), self.device):
            own = torch.cat([_colours(pixels, self.PATCH), *_textures(pixels, self.PATCH)], dim=1)
            around = F.avg_pool2d(own, 3, stride=1, padding=1, count_include_pad=False)
            made.append(torch.cat([own, around], dim=1).permute(0, 2, 3, 1))
        return torch.cat(made)

    def _fitted(self) -> dict[str, Tensor]:
        assert self.basis is not None, "the pixel embedder was not fitted"
        return self.basis


def _colours(pixels: Tensor, patch: int) -> Tensor:
    """Return brightness, hue and saturation of patches, and how far they spread, (N, 6, rows, columns)."""
    red, green, blue = pixels.unbind(1)
    total = red + green + blue + 3 * _DARK
    channels = torch.stack([total / 3, (red - green) / total, (red + green - 2 * blue) / total], dim=1)
    means = F.avg_pool2d(channels, patch)
    spread = (F.avg_pool2d(channels.square(), patch) - means.square()).clamp_min(0).sqrt()
    return torch.cat([means, (spread + _FLAT).log()], dim=1)


def _textures(pixels: Tensor, patch: int) -> list[Tensor]:
    """Return how edges are spread over directions, and how strong they are, at two scales."""
    grey = pixels.mean(1, keepdim=True)
    return [_directions(grey, patch), _directions(F.avg_pool2d(grey, 2), patch // 2)]


def _directions(grey: Tensor, patch: int) -> Tensor:
    """Return shares of directions and log strength, (N, NUM_DIRECTIONS + 1, rows, columns)."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    strength = (across.square() + down.square()).sqrt()
    # an edge from dark to light is the same as one from light to dark
    place = torch.atan2(down, across) % math.pi / math.pi * NUM_DIRECTIONS
    below = place.floor()
    share = place - below
    low = below.long() % NUM_DIRECTIONS
    count, _, height, width = grey.shape
    shape = (count, height // patch, width // patch)
    patches = torch.arange(math.prod(shape), device=grey.device).view(count, 1, *shape[1:])
    first = patches.repeat_interleave(patch, 2).repeat_interleave(patch, 3) * NUM_DIRECTIONS
    # an edge between two directions counts for both
    bins = torch.cat([(first + low).flatten(), (first + (low + 1) % NUM_DIRECTIONS).flatten()])
    weights = torch.cat([(strength * (1 - share)).flatten(), (strength * share).flatten()])
    sums = torch.bincount(bins, weights, patches.numel() * NUM_DIRECTIONS).float() / patch**2
    sums = sums.view(*shape, NUM_DIRECTIONS).permute(0, 3, 1, 2)
    mean = F.avg_pool2d(strength, patch)
    return torch.cat([sums / (mean + _FLAT), (mean + _FLAT).log()], dim=1)


def _group_sizes(num_features: int) -> Tensor:
    """Return how many features share the subject of each, so that no subject counts for more because it has more."""
    texture = [NUM_DIRECTIONS] * NUM_DIRECTIONS + [1]
    own = [1, 2, 2, 1, 2, 2, *texture, *texture]
    assert num_features == 2 * len(own)
    return torch.tensor(own * 2, dtype=torch.float64)


def _checked(basis: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        found = {name: basis[name].detach().cpu().float().contiguous() for name in ("mean", "scale", "components")}
    except KeyError as error:
        raise InputError(f"the basis of the pixel embedder has no {error}; make the anchors again") from error
    assert found["components"].shape[1] == len(found["mean"]) == len(found["scale"])
    return found


class StudentEmbedder:
    """Patches by a VideoMAE encoder: its tokens.

    Frames that are embedded are far apart in time, so each is shown as a tubelet that stands still, and as many as the
    model reads follow each other. They are squeezed to the model's own square.

    Attributes:
        model: The encoder.
        layer: Block that is read, from 0, negative from the end.
    """

    def __init__(self, folder: str, *, layer: int | str | None = None, device: str = "auto", attention: str = "sdpa"):
        self.model, (self.mean, self.std) = _load_student(folder, device, attention)
        config = self.model.config
        depth = config.num_hidden_layers
        if layer is not None and (isinstance(layer, str) or not -depth <= layer < depth):
            raise InputError(f"layer {layer!r} is not of {folder}; give a number in [{-depth}, {depth - 1}]")
        self.layer = depth - 1 if layer is None else int(layer) % depth
        self.dim = config.hidden_size
        self.key = f"student {hash_weights(self.model)} layer {self.layer} mean {self.mean} std {self.std}"

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of patches, the same for all frames."""
        side = self.model.config.image_size // self.model.config.patch_size
        return side, side

    @torch.inference_mode()
    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings of length one, float32 (T, rows, columns, D)."""
        made = []
        for clip in still_clips(self.model, frames, self.mean, self.std):
            output = self.model(pixel_values=clip, output_hidden_states=True)
            tokens = output.hidden_states[self.layer + 1]
            if self.layer + 1 == self.model.config.num_hidden_layers:
                tokens = output.last_hidden_state
            made.append(tokens[0].unflatten(0, (-1, *self.grid(1, 1))))
        return F.normalize(torch.cat(made)[: len(frames)].float(), dim=-1)


def still_clips(model: "VideoMAEModel", frames: Tensor, mean: tuple[float, ...], std: tuple[float, ...]):
    """Yield clips (1, T, 3, H, W) in which each frame stands still for a tubelet; the last frame fills the last clip.

    Args:
        model: Its config says how many frames of what size it reads.
        frames: uint8 (T, H, W, 3).
        mean: Of the colours the model was trained with.
        std: Of the colours the model was trained with.
    """
    config: Any = model.config
    num_still = max(1, config.num_frames // config.tubelet_size)
    shift, scale = (torch.tensor(values, device=model.device)[:, None, None] for values in (mean, std))
    for start in range(0, len(frames), num_still):
        part = frames[start : start + num_still]
        part = torch.cat([part, part[-1:].expand(num_still - len(part), -1, -1, -1)])
        pixels = torch.cat(list(resized(part, (config.image_size, config.image_size), model.device)))
        yield ((pixels - shift) / scale).repeat_interleave(config.tubelet_size, dim=0)[None]


def _load_student(folder: str, device: str = "auto", attention: str = "sdpa"):
    """Return the encoder of a VideoMAE, and mean and standard deviation of the colours it was trained with.

    Args:
        folder: A folder of safetensors, or a hub name.
        device: Where it runs.
        attention: Which implementation; `eager` shows its weights.

    Raises:
        InputError: If it is not there, or is of another architecture.
    """
    from transformers import AutoConfig, VideoMAEModel

    target = resolve_device(device)
    advice = "give a folder that save_pretrained wrote, or --embedder pixels, which needs no weights"
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if config.model_type != "videomae":
            raise InputError(f"{folder} is a {config.model_type} model, not a VideoMAE; {advice}")
        # the type says nothing about the report
        loaded: Any = VideoMAEModel.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            attn_implementation=attention,
            output_loading_info=True,
            trust_remote_code=False,
        )
        model, report = cast(tuple[Any, dict[str, Any]], loaded)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).strip().splitlines()[0].rstrip(".")[:160]
        raise InputError(f"the VideoMAE {folder} cannot be read ({reason}); {advice}") from error
    if report["missing_keys"]:
        raise InputError(f"{folder} lacks weights of the encoder ({min(report['missing_keys'])}); {advice}")
    return model.eval().requires_grad_(False).to(target), read_colours(folder)
