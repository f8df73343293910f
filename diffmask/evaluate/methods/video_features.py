"""Frozen features of clips: the last states of an encoder, of every patch or their mean, averaged over views."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from diffmask.config.evaluation import EvaluateSettings, VideoSettings
from diffmask.core.errors import InputError, worker_errors
from diffmask.core.free_memory import free_memory
from diffmask.core.machine import resolve_device
from diffmask.evaluate.methods.text_features import TYPES
from diffmask.evaluate.methods.video_views import view_batches
from diffmask.tasks.video_task import VideoTask
from diffmask.video.model.load import LoadedVideo, load_video_model
from diffmask.video.model.vit_mae import ViTMAEForPreTraining
from diffmask.video.read.dataset import Sampling


@dataclass(frozen=True)
class Encoded:
    """Features of clips, on the CPU.

    Attributes:
        rows: Row of each content.
        pooled: Mean over the patches, float32 (N, D).
        tokens: Of each patch, float16 (N, L, D); None if they were not asked for.
    """

    rows: dict[str, int]
    pooled: Tensor
    tokens: Tensor | None

    def of(self, contents: Sequence[str]) -> list[int]:
        """Return the rows of contents."""
        return [self.rows[content] for content in contents]


def load_for(folder: str, settings: VideoSettings) -> LoadedVideo:
    """Load a model for views of the settings' size.

    Raises:
        InputError: If there is no such model, or it does not take such views.
    """
    return load_video_model(folder, num_frames=settings.num_frames, image_size=settings.image_size)


def sampling_for(loaded: LoadedVideo, settings: VideoSettings, **changes: Any) -> Sampling:
    """Return how a model's views are made of clips."""
    return Sampling(loaded.grid, kind=settings.sampling, stride=settings.stride, reader=settings.reader, **changes)


def normalise(loaded: LoadedVideo, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return what makes float frames on a device, as the model knows them, of uint8 (B, T, 3, H, W)."""
    mean, std = (torch.tensor(each, device=device).view(3, 1, 1) for each in (loaded.mean, loaded.std))
    return lambda frames: (frames.to(device).float() / 255.0 - mean) / std


@torch.inference_mode()
def encode_clips(folder: str, task: VideoTask, settings: EvaluateSettings, *, tokens: bool, progress: bool) -> Encoded:
    """Return the features of all clips of a task, each file opened once.

    Args:
        folder: Of the model, or its name.
        task: The task.
        settings: How.
        tokens: Whether those of each patch are kept.
        progress: Show a progress bar.

    Raises:
        InputError: If the model cannot be loaded, a clip cannot be read any more, or the tokens do not fit in memory.
    """
    device, kind = resolve_device(settings.device), TYPES[settings.precision]
    loaded, video = load_for(folder, settings.video), settings.video
    encoder, ready = _encoder(loaded, device), normalise(loaded, device)
    rows = {content: row for row, content in enumerate(task.clips)}
    width = int(loaded.model.config.hidden_size)
    pooled = torch.empty(len(rows), width)
    kept = _empty_tokens(len(rows), loaded.grid.num_positions, width) if tokens else None
    start = 0
    sampling = sampling_for(loaded, video, clips_per_video=video.num_views)
    batches = view_batches(list(task.clips.values()), sampling, settings)
    with tqdm(total=len(rows), desc="features", unit="clip", disable=not progress) as bar, worker_errors():
        for frames in batches:
            with torch.autocast(device.type, kind, enabled=kind != torch.float32):
                states = encoder(ready(frames.flatten(0, 1)))
            states = states.float().unflatten(0, (-1, video.num_views)).mean(1)
            end = start + len(states)
            pooled[start:end] = states.mean(1).cpu()
            if kept is not None:
                kept[start:end] = states.half().cpu()
            bar.update(end - start)
            start = end
    assert start == len(rows)
    return Encoded(rows, pooled, kept)


def _encoder(loaded: LoadedVideo, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return what makes states of every patch (B, L, D) of normalised frames (B, T, 3, H, W)."""
    model: Any = loaded.model.to(device)  # pyright: ignore[reportArgumentType]
    model.eval()
    if isinstance(model, ViTMAEForPreTraining):
        model.config.mask_ratio = 0.0  # nothing is hidden, and rising noise keeps the order
        order = torch.arange(loaded.grid.num_positions, dtype=torch.float32, device=device)

        def encode(frames: Tensor) -> Tensor:
            states = model.vit(frames[:, 0], noise=order.expand(len(frames), -1)).last_hidden_state
            return states[:, 1:]  # without the class token

        return encode
    return lambda frames: model.videomae(frames).last_hidden_state


def _empty_tokens(num_clips: int, num_positions: int, width: int) -> Tensor:
    needed, free = 2 * num_clips * num_positions * width, free_memory()
    if free is not None and needed > 0.8 * free:
        raise InputError(
            f"the tokens of {num_clips:,} clips take {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free;"
            " use the method probe or knn, or give a smaller video.num_frames or video.image_size"
        )
    return torch.empty(num_clips, num_positions, width, dtype=torch.float16)
