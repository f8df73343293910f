"""Embeddings of the patches of frames: by a model of OpenCLIP, by a VideoMAE, or by what the pixels look like.

embedder = build_embedder("clip:ViT-B-16:weights.safetensors")
embedder.embed(frames)    # uint8 (T, H, W, 3) -> float32 (T, rows, columns, D)
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.errors import InputError, library_errors
from diffmask.core.machine import resolve_device
from diffmask.files.blocks import shown
from diffmask.video.model.load import read_colours
from diffmask.video.score.openclip_load import hash_weights
from diffmask.video.units.features import PatchEmbedder

if TYPE_CHECKING:
    from diffmask.video.score.openclip_load import OpenClip

_KINDS = ("clip:MODEL:WEIGHTS", "student:FOLDER", "pixels")
_BATCH_FRAMES, _BATCH_TEXTS = 16, 256
_WIDEST = 3.0
"""Frames whose long side is more than this many times their short side are squeezed to that shape."""


class OpenClipEmbedder:
    """Patches by the image tower of a CLIP model, projected into the space that it shares with text.

    The short side of a frame is resized to the tower's size. Frames keep their shape if the tower can read it: then
    its table of positions is interpolated.

    Attributes:
        loaded: The model with its tokenizer and statistics.
        layer: Block whose tokens are read, from 0, negative from the end; or `value`: what the last block would pass
            on if each patch attended to itself only (MaskCLIP, Zhou et al. 2022), the default. Tokens of the last block
            itself hold the whole frame rather than their patch: in a small model that was trained on digits in clutter,
            a caption finds its digit with an AUC of 0.97 by `value`, 0.14 to 0.30 by the last block.
        size: Pixels of the short side.
    """

    def __init__(self, loaded: "OpenClip", *, layer: int | str | None = None, size: int | None = None):
        self.loaded, self.tower = loaded, loaded.tower
        self.layer = self.tower.check_layer(layer)
        self.size = size or self.tower.image_size
        self.key = f"clip {loaded.key} layer {self.layer} size {self.size}"
        self.dim = self.tower.dim

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of patches in frames of this size."""
        if not self.tower.any_shape:
            side = self.tower.image_size // self.tower.patch_size
            return side, side
        return _fitted_grid(height, width, self.size, self.tower.patch_size)

    def pixels(self, frames: Tensor) -> Iterator[Tensor]:
        """Yield frames uint8 (T, H, W, 3) in batches as the tower reads them, float32 (N, 3, height, width)."""
        rows, columns = self.grid(*frames.shape[1:3])
        patch = self.tower.patch_size
        for pixels in _resized(frames, (rows * patch, columns * patch), self.loaded.device):
            yield self.loaded.normalise(pixels)

    @torch.inference_mode()
    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings of length one, float32 (T, rows, columns, D)."""
        tokens = [self.tower.patches(pixels, self.layer).float() for pixels in self.pixels(frames)]
        assert tokens[0].shape[1:3] == self.grid(*frames.shape[1:3]), f"patches are {tuple(tokens[0].shape)}"
        return F.normalize(torch.cat(tokens), dim=-1)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Return embeddings of length one, float32 (A, D); of a longer text than the tower reads, those of its start.

        Raises:
            InputError: If the towers of the model do not share a space.
        """
        parts = [list(texts[start : start + _BATCH_TEXTS]) for start in range(0, len(texts), _BATCH_TEXTS)]
        tokens = (self.loaded.tokenizer(part).to(self.loaded.device) for part in parts)
        found = torch.cat([self.loaded.model.encode_text(each).float() for each in tokens])
        if found.shape[1:] != (self.dim,):
            raise InputError(
                f"the text tower of clip:{self.loaded.name} gives {found[0].numel()} numbers for a text, its image "
                f"tower {self.dim} for a patch, so texts and patches cannot be compared; give a CLIP whose towers "
                "share a space"
            )
        return F.normalize(found, dim=-1)

    def refuse_cut(self, texts: Sequence[str]) -> None:
        """Refuse texts whose end the text tower would not read.

        Raises:
            InputError: If one fills all of its tokens, or more.
        """
        tokens, longer = (self.loaded.tokenizer(list(each)) for each in (texts, [f"{text} x" for text in texts]))
        cut = [text for text, same in zip(texts, (tokens == longer).all(1).tolist(), strict=True) if same]
        if cut:
            raise InputError(
                f"{shown(cut[0])!r} has no room in the {tokens.shape[1]} tokens that the text tower of "
                f"clip:{self.loaded.name} reads; shorten it"
            )


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
        from diffmask.video.score.openclip_load import OpenClip

        return OpenClipEmbedder(OpenClip.load(rest, device), layer=layer, size=size)
    if kind == "student" and rest:
        if size is not None:
            raise InputError(f"size={size} has no effect with {spec}, which reads frames of its own size; leave it out")
        return StudentEmbedder(rest, layer=layer, device=device)
    if spec == "pixels":
        if layer is not None:
            raise InputError(f"layer={layer} has no effect with the embedder pixels, which has no layers; leave it out")
        return PixelEmbedder(size=size or PixelEmbedder.SIZE, device=resolve_device(device), basis=basis)
    raise InputError(f"unknown embedder {spec!r}; choose from: {', '.join(_KINDS)}")


def parse_layer(text: str | None) -> int | str | None:
    """Return the layer that a user wrote: a number, or the name of a way to read it."""
    if text is None:
        return None
    return int(text) if text.lstrip("-").isdigit() else text


def _fitted_grid(height: int, width: int, size: int, patch_size: int) -> tuple[int, int]:
    """Return rows and columns of patches when the short side of a frame becomes `size` pixels.

    >>> _fitted_grid(240, 320, 224, 16)
    (14, 19)
    """
    short = max(1, round(size / patch_size))
    long = max(short, round(size * min(max(height, width) / min(height, width), _WIDEST) / patch_size))
    return (short, long) if height <= width else (long, short)


def _resized(frames: Tensor, size: tuple[int, int], device: torch.device) -> Iterator[Tensor]:
    """Yield frames of another size in batches, float32 (N, 3, height, width) in [0, 1].

    Args:
        frames: uint8 (T, H, W, 3).
        size: Height and width.
        device: Where they are resized.
    """
    assert frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[-1] == 3, (frames.dtype, frames.shape)
    for batch in frames.split(_BATCH_FRAMES):
        pixels = batch.to(device).permute(0, 3, 1, 2).float() / 255
        if pixels.shape[2:] != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        yield pixels


_NUM_DIRECTIONS = 8
_MAX_FITTED = 50_000
_DARK, _FLAT = 0.05, 0.01
"""Below these, colour and contrast are noise; added to brightness and to edges wherever one divides by them."""


class PixelEmbedder:
    """Patches by colour and texture, then PCA fitted to the clips: for machines without weights.

    Raw pixels make poor visual words: the same grass, shifted by four pixels or half as bright, is far from itself.
    So a patch is described by what stays: its hue, how much its colours vary, and in which directions its edges run at
    two scales, independent of their contrast; and its surroundings in the same way.

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
        """What the embeddings depend on besides the frame."""
        digest = hashlib.sha256()
        for name, values in sorted(self._fitted().items()):
            digest.update(f"{name} {tuple(values.shape)}".encode())
            digest.update(values.numpy().tobytes())
        return f"pixels 1 {digest.hexdigest()} size {self.size}"

    @property
    def dim(self) -> int:
        """Number of dimensions, D."""
        return len(self._fitted()["components"])

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of patches in frames of this size."""
        return _fitted_grid(height, width, self.size, self.PATCH)

    def fit(self, descriptions: Iterable[Tensor]) -> None:
        """Fit the basis.

        Args:
            descriptions: What `describe` returns, with any number of dimensions before the last.
        """
        from sklearn.decomposition import PCA

        rows = torch.cat([each.flatten(0, -2).cpu() for each in descriptions]).double()
        rows = rows[:: -(-len(rows) // _MAX_FITTED)]
        mean, scale = rows.mean(0), rows.std(0, correction=0).clamp_min(1e-6)
        # a constant feature says nothing, so its noise is divided by infinity; and features of one subject together
        # weigh as much as one feature alone (see _subject_sizes)
        scale = torch.where(scale > 1e-5, scale, torch.inf) * _subject_sizes(rows.shape[1]).sqrt()
        standard = ((rows - mean) / scale).numpy()
        num_parts = min(self.DIM, *standard.shape)
        components = np.eye(num_parts, standard.shape[1])
        # frames of one colour have no directions of their own
        if standard.any():
            components = np.asarray(PCA(num_parts, svd_solver="full").fit(standard).components_)
        self.basis = _checked({"mean": mean, "scale": scale, "components": torch.from_numpy(components)})

    @torch.inference_mode()
    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings, float32 (T, rows, columns, D); zero is the average patch of the clips."""
        basis = {name: values.to(self.device) for name, values in self._fitted().items()}
        return ((self.describe(frames) - basis["mean"]) / basis["scale"]) @ basis["components"].T

    @torch.inference_mode()
    def describe(self, frames: Tensor) -> Tensor:
        """Return the features of each patch, float32 (T, rows, columns, features)."""
        rows, columns = self.grid(*frames.shape[1:3])
        made = []
        for pixels in _resized(frames, (rows * self.PATCH, columns * self.PATCH), self.device):
            own = torch.cat([_colours(pixels, self.PATCH), *_textures(pixels, self.PATCH)], dim=1)
            around = F.avg_pool2d(own, 3, stride=1, padding=1, count_include_pad=False)
            made.append(torch.cat([own, around], dim=1).permute(0, 2, 3, 1))
        return torch.cat(made)

    def _fitted(self) -> dict[str, Tensor]:
        assert self.basis is not None, "the pixel embedder was not fitted"
        return self.basis


def _colours(pixels: Tensor, patch: int) -> Tensor:
    """Return means and log deviations of brightness and of two axes of hue, (N, 6, rows, columns)."""
    red, green, blue = pixels.unbind(1)
    # colour differences over brightness do not change when the light does
    total = red + green + blue + 3 * _DARK
    channels = torch.stack([total / 3, (red - green) / total, (red + green - 2 * blue) / total], dim=1)
    means = F.avg_pool2d(channels, patch)
    deviations = (F.avg_pool2d(channels.square(), patch) - means.square()).clamp_min(0).sqrt()
    return torch.cat([means, (deviations + _FLAT).log()], dim=1)


def _textures(pixels: Tensor, patch: int) -> list[Tensor]:
    """Return in which directions edges run, and how strong they are, at two scales."""
    grey = pixels.mean(1, keepdim=True)
    return [_directions(grey, patch), _directions(F.avg_pool2d(grey, 2), patch // 2)]


def _directions(grey: Tensor, patch: int) -> Tensor:
    """Return each direction's share of a patch's edges, and their log strength, (N, directions + 1, rows, columns).

    It is a histogram of gradients: one bincount, in which each patch has a range of bins of its own.
    """
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    strength = (across.square() + down.square()).sqrt()
    # modulo half a turn: an edge from dark to light is the same as one from light to dark
    place = torch.atan2(down, across) % math.pi / math.pi * _NUM_DIRECTIONS
    below = place.floor()
    share = place - below
    low = below.long() % _NUM_DIRECTIONS
    count, _, height, width = grey.shape
    shape = (count, height // patch, width // patch)
    patches = torch.arange(math.prod(shape), device=grey.device).view(count, 1, *shape[1:])
    first = patches.repeat_interleave(patch, 2).repeat_interleave(patch, 3) * _NUM_DIRECTIONS
    # an edge between two directions counts for both, so that turning it a little changes little
    bins = torch.cat([(first + low).flatten(), (first + (low + 1) % _NUM_DIRECTIONS).flatten()])
    weights = torch.cat([(strength * (1 - share)).flatten(), (strength * share).flatten()])
    sums = torch.bincount(bins, weights, patches.numel() * _NUM_DIRECTIONS).float() / patch**2
    sums = sums.view(*shape, _NUM_DIRECTIONS).permute(0, 3, 1, 2)
    mean = F.avg_pool2d(strength, patch)
    return torch.cat([sums / (mean + _FLAT), (mean + _FLAT).log()], dim=1)


def _subject_sizes(num_features: int) -> Tensor:
    """Return the number of features that describe the same subject as each, so that all subjects count alike."""
    texture = [_NUM_DIRECTIONS] * _NUM_DIRECTIONS + [1]
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
    """Patches by the encoder of a VideoMAE: its tokens.

    Frames that are embedded are far apart in time, so each is shown as a tubelet that stands still, and as many as the
    model reads make a clip. They are squeezed to the model's own square.

    Attributes:
        model: The encoder.
        layer: Block whose tokens are read, from 0.
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
        """Return the rows and columns of patches, the same for all frames."""
        side = self.model.config.image_size // self.model.config.patch_size
        return side, side

    @torch.inference_mode()
    def embed(self, frames: Tensor) -> Tensor:
        """Return embeddings of length one, float32 (T, rows, columns, D)."""
        made = []
        for clip in self.still_clips(frames):
            output = self.model(pixel_values=clip, output_hidden_states=True)
            tokens = output.hidden_states[self.layer + 1]
            if self.layer + 1 == self.model.config.num_hidden_layers:
                tokens = output.last_hidden_state
            made.append(tokens[0].unflatten(0, (-1, *self.grid(1, 1))))
        return F.normalize(torch.cat(made)[: len(frames)].float(), dim=-1)

    def still_clips(self, frames: Tensor) -> Iterator[Tensor]:
        """Yield clips (1, T, 3, H, W) in which each frame uint8 (T, H, W, 3) stands still; the last fills the rest."""
        config, device = self.model.config, self.model.device
        num_still = max(1, config.num_frames // config.tubelet_size)
        shift, scale = (torch.tensor(values, device=device)[:, None, None] for values in (self.mean, self.std))
        for start in range(0, len(frames), num_still):
            part = frames[start : start + num_still]
            part = torch.cat([part, part[-1:].expand(num_still - len(part), -1, -1, -1)])
            pixels = torch.cat(list(_resized(part, (config.image_size, config.image_size), device)))
            yield ((pixels - shift) / scale).repeat_interleave(config.tubelet_size, dim=0)[None]


def _load_student(folder: str, device: str = "auto", attention: str = "sdpa"):
    """Return the encoder of a VideoMAE, and the mean and deviation of colours that it was trained with.

    Args:
        folder: A folder of safetensors, or a hub name.
        device: Where the model runs.
        attention: The implementation of attention; `eager` can return its weights.
    """
    from transformers import VideoMAEModel

    from diffmask.files.pretrained import quiet_loading, read_config, refuse_pickle

    target = resolve_device(device)
    advice = "give a folder that save_pretrained wrote, or --embedder pixels, which needs no weights"
    what = f"the VideoMAE {folder} cannot be read"
    with quiet_loading(), library_errors(what, advice, Exception):
        config = read_config(folder, folder, advice, what)
        if config.model_type != "videomae":
            raise InputError(f"{folder} is a {config.model_type} model, not a VideoMAE; {advice}")
        refuse_pickle(folder)
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
    if report["missing_keys"]:
        raise InputError(f"{folder} lacks weights of the encoder ({min(report['missing_keys'])}); {advice}")
    return model.eval().requires_grad_(False).to(target), read_colours(folder)
