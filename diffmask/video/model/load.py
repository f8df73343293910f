"""Loading the video or image model that is continued, and the colours that it was trained with."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils.hub import cached_file

from diffmask.core.errors import InputError, library_errors
from diffmask.files.pretrained import quiet_loading, read_config, refuse_pickle
from diffmask.video.model.autoencoders import DECODER_TABLE, VideoMAEForPreTraining, ViTMAEForPreTraining
from diffmask.video.model.targets import IMAGENET_MEAN, IMAGENET_STD, PixelTargets
from diffmask.video.units.grid import Grid

_FILES = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")
_WHERE = "give a folder that save_pretrained wrote (with model.safetensors), or a hub name that can be reached"

_Colours = tuple[tuple[float, ...], tuple[float, ...]]


def read_colours(name: str) -> _Colours:
    """Return the mean and deviation by which the processor of a model normalises, ImageNet's if it has none.

    Args:
        name: Folder or hub name of the model.

    Raises:
        InputError: If it has a processor that cannot be understood.
    """
    for file in _FILES:
        path = cached_file(
            name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
        )
        settings = _settings(path) if path else {}
        for part in (settings, settings.get("video_processor"), settings.get("image_processor")):
            if isinstance(part, Mapping) and (colours := _colours(part, str(path))) is not None:
                return colours
    return IMAGENET_MEAN, IMAGENET_STD


def _settings(path: str) -> dict[str, Any]:
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # also raised for what is not UTF-8
        raise InputError(f"{path} is not JSON ({error}); correct it, or remove it for ImageNet's colours") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path} holds no settings of a processor; correct it, or remove it for ImageNet's colours")
    return settings


def _colours(settings: Mapping[str, Any], path: str) -> _Colours | None:
    """Return what a processor says of colours; None if it says nothing."""
    if settings.get("do_normalize") is False:
        return (0.0,) * 3, (1.0,) * 3
    values = {key: settings.get(key) for key in ("image_mean", "image_std")}
    if all(value is None for value in values.values()):
        return None
    mean, std = (_three(key, value, path) for key, value in values.items())
    if min(std) <= 0:
        raise InputError(f"{path} has image_std {values['image_std']!r}; give numbers above 0")
    return mean, std


def _three(key: str, value: Any, path: str) -> tuple[float, ...]:
    """Return a value for each of red, green and blue; as in a processor, one number stands for all three."""
    each = value if isinstance(value, list) else [value] * 3
    numbers = [number for number in each if isinstance(number, int | float) and not isinstance(number, bool)]
    if len(each) != 3 or len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise InputError(f"{path} has {key} {value!r}; give a number for each of red, green and blue")
    return tuple(map(float, numbers))


KINDS = {"videomae": VideoMAEForPreTraining, "vit_mae": ViTMAEForPreTraining}
_VideoModel = VideoMAEForPreTraining | ViTMAEForPreTraining


@dataclass(frozen=True)
class LoadedVideo:
    """A masked autoencoder, and what clips must be like for it.

    Attributes:
        name: What the user called it.
        model: The model, in evaluation mode.
        mean: Mean of red, green and blue in [0, 1]: its processor's, or ImageNet's if it has none.
        std: Standard deviation of red, green and blue, from the same place.
        missing: Parameters that the checkpoint lacks and that start at random: the decoder of an encoder that was
            saved alone, or a head for features.
    """

    name: str
    model: _VideoModel
    mean: tuple[float, ...]
    std: tuple[float, ...]
    missing: tuple[str, ...]

    @property
    def image_size(self) -> int:
        """Pixels of a clip in height and in width."""
        return self.model.config.image_size  # pyright: ignore[reportReturnType]

    @property
    def num_frames(self) -> int:
        """Frames of a clip; 1 for an image model."""
        return getattr(self.model.config, "num_frames", 1)

    @property
    def tubelet(self) -> int:
        """Frames of a patch."""
        return getattr(self.model.config, "tubelet_size", 1)

    @property
    def patch_size(self) -> int:
        """Pixels of a patch in height and in width."""
        return self.model.config.patch_size  # pyright: ignore[reportReturnType]

    @property
    def grid(self) -> Grid:
        """The patches of a clip."""
        return Grid.of(self.model.config, self.num_frames, self.image_size)

    @property
    def targets(self) -> PixelTargets:
        """The pixels that the model predicts, normalised as its class and config say."""
        config = self.model.config
        joint = config.model_type == "vit_mae"
        return PixelTargets(self.tubelet, self.patch_size, self.mean, self.std, config.norm_pix_loss, joint)

    def processor(self) -> Any:
        """Return a processor of transformers with these settings, to save beside the model."""
        from transformers import VideoMAEImageProcessor, ViTImageProcessor

        side = self.image_size
        colours: dict[str, Any] = {"image_mean": list(self.mean), "image_std": list(self.std)}
        square = {"height": side, "width": side}
        if isinstance(self.model, ViTMAEForPreTraining):
            return ViTImageProcessor(size=square, **colours)
        return VideoMAEImageProcessor(size={"shortest_edge": side}, crop_size=square, **colours)


def load_video_model(
    name: str,
    *,
    num_frames: int | None = None,
    image_size: int | None = None,
    attention: str | None = None,
    feature_dim: int | None = None,
) -> LoadedVideo:
    """Load a VideoMAE, or a ViT-MAE for clips of one frame, from a folder of safetensors or a hub name.

    The positions of a VideoMAE are sinusoids that no checkpoint holds, so they are made anew for any size, here and by
    the stock class that loads what is saved. Those of a ViT-MAE are in its checkpoint; for another size sinusoids are
    made anew, learned positions interpolated.

    Args:
        name: The model.
        num_frames: Frames of a clip; None takes the checkpoint's.
        image_size: Pixels of a clip in height and in width; None takes the checkpoint's.
        attention: `sdpa` (the default) or another implementation that transformers knows.
        feature_dim: Width of the features to predict in place of pixels, by a head that is loaded or starts fresh.

    Raises:
        InputError: If there is no such model, it is of another kind, its weights are not safetensors or do not fit its
            config, or clips of this size cannot be cut into its patches.
    """
    config = _config(name)
    kind = KINDS[config.model_type]
    if kind is ViTMAEForPreTraining and num_frames not in (None, 1):
        raise InputError(f"{name!r} is an image model, which takes clips of 1 frame, not of {num_frames}")
    frames = getattr(config, "num_frames", 1) if num_frames is None else num_frames
    side = config.image_size if image_size is None else image_size
    grid = Grid.of(config, frames, side)
    if kind is VideoMAEForPreTraining:
        config.num_frames, config.image_size = frames, side
    if feature_dim is not None:
        config.feature_dim = feature_dim
    elif hasattr(config, "feature_dim"):
        del config.feature_dim
    model, missing = _weights(kind, name, config, {} if attention is None else {"attn_implementation": attention})
    _settle_mask_token(model, missing)
    # loading makes every parameter trainable again
    model.pixel_head.requires_grad_(model.feature_head is None)
    if isinstance(model, ViTMAEForPreTraining):
        model.settle_tables(missing, grid.rows)
    mean, std = read_colours(name)
    return LoadedVideo(name, model, mean, std, tuple(key for key in missing if key != DECODER_TABLE))


def _settle_mask_token(model: _VideoModel, missing: list[str]) -> None:
    """Initialise a mask token that the checkpoint lacks; loading leaves it as the memory happened to be.

    The constructor would write zeros (VideoMAE), but loading skips what constructors write and initialises layers only.
    """
    for name, parameter in model.named_parameters():
        if name in missing and name.endswith("mask_token"):
            torch.nn.init.normal_(parameter, std=model.config.initializer_range)


def _config(name: str) -> Any:
    config: Any = read_config(name, name, _WHERE)
    if config.model_type not in KINDS:
        raise InputError(
            f"{name!r} is a {config.model_type} model, not a masked autoencoder that diffmask knows; "
            f"use one of: {', '.join(KINDS)}"
        )
    if config.num_channels != 3:
        raise InputError(f"{name!r} reads {config.num_channels} channels; use a model of 3 (red, green, blue)")
    for key in ("image_size", "patch_size"):
        size = getattr(config, key)
        if not isinstance(size, int) and len(set(size)) > 1:
            raise InputError(f"{name!r} has {key} {list(size)}, which is not square; use a model of square clips")
        setattr(config, key, size if isinstance(size, int) else size[0])
    return config


def _weights(kind: Any, name: str, config: Any, options: Mapping[str, Any]) -> tuple[_VideoModel, list[str]]:
    """Load a model in float32 and return it with the parameters that its checkpoint lacks."""
    refuse_pickle(name)
    with quiet_loading(), library_errors(f"no model in {name!r}", _WHERE, Exception):
        model, report = kind.from_pretrained(
            name,
            config=config,
            use_safetensors=True,
            output_loading_info=True,
            dtype="float32",
            # without it a head for features of another width is an error of torch
            ignore_mismatched_sizes=True,
            **options,
        )
    return model, _missing(name, model, report)


def _missing(name: str, model: _VideoModel, report: Mapping[str, Any]) -> list[str]:
    """Return the parameters that a checkpoint lacks; none of them may be the encoder's."""
    other = {str(each[0]) for each in report["mismatched_keys"]}
    if wrong := sorted(key for key in other if not key.startswith("feature_head.")):
        raise InputError(
            f"the weights in {name!r} have another size than its config says ({wrong[0]} and {len(wrong) - 1} more); "
            "the checkpoint is of another model"
        )
    missing = sorted(report["missing_keys"] | other)
    if encoder := [key for key in missing if key.startswith(model.base_model_prefix + ".")]:
        raise InputError(
            f"the weights in {name!r} lack {encoder[0]} and {len(encoder) - 1} more of the encoder; "
            "the checkpoint is of another model than its config says"
        )
    return missing
