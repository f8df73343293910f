"""Embeddings of patches by the model that is trained: the encoder of a VideoMAE."""

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.video.model.colours import read_colours
from diffmask.video.score.embedders import resized
from diffmask.video.score.openclip_load import hash_weights

if TYPE_CHECKING:
    from transformers import VideoMAEModel


class StudentEmbedder:
    """Patches by a VideoMAE encoder: its tokens.

    Frames that are embedded are far apart in time, so each is shown as a tubelet that stands still, and as many as the
    model reads follow each other. They are squeezed to the model's own square.

    Attributes:
        model: The encoder.
        layer: Block that is read, from 0, negative from the end.
    """

    def __init__(self, folder: str, *, layer: int | str | None = None, device: str = "auto", attention: str = "sdpa"):
        self.model, (self.mean, self.std) = load_student(folder, device, attention)
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


def load_student(folder: str, device: str = "auto", attention: str = "sdpa"):
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
