"""Loading a VideoTextModel, or making one of a VideoMAE and a masked language model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from diffmask.core.errors import InputError, library_errors
from diffmask.files.pretrained import quiet_loading, read_config, refuse_pickle
from diffmask.text.model.load import load_masked_lm, load_tokenizer
from diffmask.video.model.autoencoders import VideoMAEForPreTraining
from diffmask.video.model.load import LoadedVideo, load_video_model, read_colours
from diffmask.video.model.targets import PixelTargets
from diffmask.video.units.grid import Grid
from diffmask.video_text.model.config import FUSIONS, VideoTextModelConfig
from diffmask.video_text.model.objectives import OBJECTIVES
from diffmask.video_text.model.video_text import VideoTextModel

_WHERE = "give a folder that save_pretrained wrote (with model.safetensors), or a hub name that can be reached"
_MAY_LACK = "video.feature_head."


@dataclass(frozen=True)
class LoadedVideoText:
    """A VideoTextModel, its tokenizer, and what clips must be like for it.

    Attributes:
        name: What the user called it; of one made of two parts, the VideoMAE's name.
        model: The model, in evaluation mode.
        tokenizer: Tokenizer of its texts.
        mean: Mean of red, green and blue in [0, 1] that clips are normalised by.
        std: Standard deviation of red, green and blue.
        missing: Parameters of the parts that their checkpoints lack and that start at random. The fusion of a model
            that was just made is fresh, too.
    """

    name: str
    model: VideoTextModel
    tokenizer: PreTrainedTokenizerBase
    mean: tuple[float, ...]
    std: tuple[float, ...]
    missing: tuple[str, ...]

    @property
    def video(self) -> LoadedVideo:
        """The VideoMAE within, for whatever reads or shows clips."""
        return LoadedVideo(self.name, self.model.video, self.mean, self.std, ())

    @property
    def grid(self) -> Grid:
        """The patches of a clip."""
        return self.video.grid

    @property
    def targets(self) -> PixelTargets:
        """The pixels that the model predicts."""
        return self.video.targets

    def processor(self) -> Any:
        """Return a processor of transformers for frames, to save beside the model."""
        return self.video.processor()

    def save(self, folder: str | Path) -> None:
        """Write the model with its tokenizer and its processor, for `load_video_text`."""
        with quiet_loading():
            for each in (self.model, self.tokenizer, self.processor()):
                each.save_pretrained(folder)

    def save_parts(self, folder: str | Path) -> None:
        """Write both parts for the classes of transformers, with tokenizer and processor: FOLDER/video, FOLDER/text."""
        with quiet_loading():
            self.model.save_parts(folder, self.tokenizer, self.processor())


def load_video_text(
    name: str,
    text_name: str | None = None,
    *,
    fusion: str | None = None,
    num_fusion_layers: int | None = None,
    num_frames: int | None = None,
    image_size: int | None = None,
    feature_dim: int | None = None,
    attention: str | None = None,
) -> LoadedVideoText:
    """Load a VideoTextModel, or make one of a VideoMAE and a masked language model.

    Args:
        name: A folder or hub name of either.
        text_name: Folder or hub name of the masked language model, beside a VideoMAE only.
        fusion: `cross` (the default of a model that is made), `bidirectional` or `merged`.
        num_fusion_layers: Number of blocks of fusion; 3 by default.
        num_frames: Frames of a clip; None takes the checkpoint's.
        image_size: Pixels of a clip in height and in width; None takes the checkpoint's.
        feature_dim: Width of the features to predict in place of pixels, by a head that is loaded or starts fresh.
        attention: `sdpa` (the default) or another implementation that transformers knows, for both parts.

    Raises:
        InputError: If there is no such model, it is of another kind or damaged, or a setting does not fit it.
    """
    _check_fusion(fusion, num_fusion_layers)
    built = {"fusion": fusion, "num_fusion_layers": num_fusion_layers}
    built = {key: value for key, value in built.items() if value is not None}
    sizes = {"num_frames": num_frames, "image_size": image_size, "feature_dim": feature_dim, "attention": attention}
    is_made = read_config(name, name, _WHERE).model_type == VideoTextModelConfig.model_type
    if is_made and text_name is not None:
        raise InputError(f"{name!r} is a VideoTextModel, which has its own text model; leave {text_name!r} out")
    if is_made:
        return _load_whole(name, built, **sizes)
    if text_name is None:
        raise InputError(f"{name!r} is no VideoTextModel; name the masked language model that reads the texts as well")
    return _load_parts(name, text_name, built, **sizes)


def _check_fusion(fusion: str | None, num_layers: int | None) -> None:
    if fusion is not None and fusion not in FUSIONS:
        raise InputError(f"unknown fusion {fusion!r}; choose from: {', '.join(FUSIONS)}")
    if num_layers is not None and num_layers < 1:
        raise InputError(f"num_fusion_layers={num_layers} is below 1; give at least one block, such as 3")


def _load_parts(name: str, text_name: str, built: Mapping[str, Any], **sizes: Any) -> LoadedVideoText:
    """Make a model of two parts."""
    video = load_video_model(name, **sizes)
    if not isinstance(video.model, VideoMAEForPreTraining):
        raise InputError(f"{name!r} is an image model, which does not see clips; give a VideoMAE")
    attention = sizes["attention"]
    text = load_masked_lm(text_name, **({} if attention is None else {"attn_implementation": attention}))
    if text.model.config.is_encoder_decoder:
        raise InputError(
            f"{text_name!r} has an encoder and a decoder, between which nothing can be fused; use BERT, RoBERTa, "
            "DeBERTa, ELECTRA, ModernBERT or the like"
        )
    config = VideoTextModelConfig(
        video_config=video.model.config.to_dict(), text_config=text.model.config.to_dict(), **built
    )
    model = VideoTextModel(config, video.model, text.model).eval()
    missing = [f"video.{key}" for key in video.missing] + [f"text.{key}" for key in text.fresh]
    return LoadedVideoText(name, model, text.tokenizer, video.mean, video.std, tuple(missing))


def _load_whole(
    name: str,
    built: Mapping[str, Any],
    *,
    num_frames: int | None,
    image_size: int | None,
    feature_dim: int | None,
    attention: str | None,
) -> LoadedVideoText:
    """Load a model that `save` wrote."""
    config: Any = read_config(name, name, _WHERE)
    for key, value in built.items():
        if getattr(config, key) != value:
            raise InputError(
                f"{name!r} has {key}={getattr(config, key)!r}, not {value!r}; leave it out, or make one of its parts"
            )
    seen = config.video_config
    seen.num_frames = num_frames or seen.num_frames
    seen.image_size = image_size or seen.image_size
    Grid.of(seen, seen.num_frames, seen.image_size)  # refuses clips that cannot be cut
    if feature_dim is not None:
        seen.feature_dim = feature_dim
    elif hasattr(seen, "feature_dim"):
        del seen.feature_dim
    options = {} if attention is None else {"attn_implementation": attention}
    model, missing = _weights(name, config, options)
    mean, std = read_colours(name)
    return LoadedVideoText(name, model, load_tokenizer(name), mean, std, missing)


def _weights(name: str, config: VideoTextModelConfig, options: Mapping[str, Any]) -> tuple[VideoTextModel, Any]:
    refuse_pickle(name)
    with quiet_loading(), library_errors(f"no model in {name!r}", _WHERE, Exception):
        loaded: Any = VideoTextModel.from_pretrained(
            name,
            config=config,
            use_safetensors=True,
            output_loading_info=True,
            dtype="float32",
            # without it a head for features of another width is an error of torch
            ignore_mismatched_sizes=True,
            **options,
        )
    model, report = loaded
    missing = sorted(report["missing_keys"] | {str(each[0]) for each in report["mismatched_keys"]})
    if wrong := [key for key in missing if not key.startswith(_MAY_LACK)]:
        raise InputError(
            f"the weights in {name!r} lack {wrong[0]} and {len(wrong) - 1} more, or have them in another size; the "
            "checkpoint is of another model than its config says"
        )
    model.train_for(OBJECTIVES)  # loading makes every parameter trainable again
    return model, tuple(missing)
