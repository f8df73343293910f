"""The methods for clips: fine-tuning, and three that read frozen features.

Features are the last states of an encoder, of every patch or their mean, averaged over views; each clip is opened once
for all its views.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import PreTrainedModel, VideoMAEForVideoClassification

from diffmask.config.evaluation import (
    ATTENTIVE,
    FINETUNE,
    KNN,
    MULTI_LABEL,
    PROBE,
    EvaluateSettings,
    VideoSettings,
    VideoTextSettings,
)
from diffmask.core.errors import InputError, worker_errors
from diffmask.core.machine import free_memory, resolve_device
from diffmask.core.processes import check_guard
from diffmask.evaluate.methods.frozen import AttentiveProber, Neighbours, Prober
from diffmask.evaluate.methods.tuner import PRECISIONS, Tuner, decode
from diffmask.evaluate.modality import ModalityMethods, Predict
from diffmask.tasks.task import Split, Task
from diffmask.tasks.video_task import VideoTask, read_video_task
from diffmask.train.optimizer import parameter_groups
from diffmask.train.shared_memory import check_shared_memory
from diffmask.video.clip.clip import Clip, ReadError
from diffmask.video.model.autoencoders import ViTMAEForPreTraining
from diffmask.video.model.load import LoadedVideo, load_video_model
from diffmask.video.model.targets import normalised
from diffmask.video.read.dataset import ClipDataset, Sampling
from diffmask.video.read.readers import open_reader
from diffmask.video.read.sampling import Crop


class ClipMethods(ModalityMethods):
    """The methods for clips, and for images as clips of one frame."""

    name = "video"
    methods = (FINETUNE, PROBE, ATTENTIVE, KNN)
    read_by = {
        "probe.": PROBE,
        "video.attentive.": ATTENTIVE,
        "video.finetune.": FINETUNE,
        "video.neighbours": KNN,
    }
    unread = {"finetune.": "video.finetune.", "max_length": "", "video_text.": ""}
    without_effect = ("video.num_workers", "video.unreadable")

    def check(self, settings: EvaluateSettings, config: Any) -> None:
        """Refuse also a stride where frames are not taken by it."""
        super().check(settings, config)
        refuse_stride(settings.video, "video")

    def read_task(self, settings: EvaluateSettings, *, progress: bool) -> Task:
        """Read an index, a folder or a table of clips."""
        return read_video_task(settings, progress=progress)

    def predictor(
        self, folder: str, task: Task, settings: EvaluateSettings, *, output: Path, progress: bool
    ) -> Predict:
        """Return what fine-tunes, or what reads features that are computed here."""
        assert isinstance(task, VideoTask)
        if settings.method == FINETUNE:
            tuner = _ClipTuner(folder, task, settings, output=output, progress=progress)
            return tuner.predict
        encoded = encode_clips(folder, task, settings, tokens=settings.method == ATTENTIVE, progress=progress)
        rows = {name: encoded.of(split.texts) for name, split in task.splits.items()}
        if settings.method == ATTENTIVE:
            assert encoded.tokens is not None
            return AttentiveProber(encoded.tokens, rows, task, settings).predict
        if settings.method == KNN:
            return Neighbours({name: encoded.pooled[places] for name, places in rows.items()}, task, settings).predict
        features = {name: list(encoded.pooled[places].numpy()[:, None]) for name, places in rows.items()}
        # equal files fall into one fold
        return Prober(features, task.train.texts, task, settings).predict


def refuse_stride(settings: VideoSettings | VideoTextSettings, where: str) -> None:
    """Refuse a stride where frames are not taken by it.

    Args:
        settings: How clips are seen.
        where: Name of the group of these settings.

    Raises:
        InputError: If it is given with uniform sampling.
    """
    if settings.sampling == "uniform" and settings.stride != type(settings)().stride:
        raise InputError(
            f"{where}.stride={settings.stride} has no effect with {where}.sampling=uniform; it is for dense sampling, "
            "so leave one of them out"
        )


class _ClipViews(Dataset):
    """All views of each clip, uint8 (V, T, 3, S, S): those that `ClipDataset` takes without augmenting.

    Args:
        clips: What is read.
        sampling: How; `clips_per_video` says how many views there are.
    """

    def __init__(self, clips: Sequence[Clip], sampling: Sampling):
        self.clips, self.sampling = list(clips), sampling

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    def __getitem__(self, row: int) -> Tensor:
        """Return the views of a clip.

        Raises:
            InputError: If it cannot be read any more.
        """
        clip = self.clips[row]
        reason = ""
        for _ in range(self.sampling.retries + 1):
            try:
                return self._views(clip)
            except ReadError as error:
                reason = str(error)
        raise InputError(f"{reason}; take the clip out, or run `diffmask index` again")

    def _views(self, clip: Clip) -> Tensor:
        sampling, count = self.sampling, self.sampling.grid.num_frames
        with open_reader(clip, sampling.reader) as reader:
            places = [(view + 0.5) / sampling.clips_per_video for view in range(sampling.clips_per_video)]
            indices = [sampling.frame_indices(reader.num_frames, place) for place in places]
            frames = reader.read([index for view in indices for index in view])
        cropped = Crop.centre(*frames.shape[1:3]).of_frames(frames, sampling.image_size)
        return cropped.unflatten(0, (sampling.clips_per_video, count))


def _view_batches(clips: Sequence[Clip], sampling: Sampling, settings: EvaluateSettings) -> DataLoader:
    """Return batches of views of clips, uint8 (B, V, T, 3, S, S)."""
    video, views = settings.video, _ClipViews(clips, sampling)
    size = max(1, settings.eval_batch_size // video.num_views)
    return read_batches(views, torch.stack, size, video.num_workers, "video.num_workers")


def read_batches(
    views: Dataset, collate: Callable[[list], Tensor], batch_size: int, num_workers: int, setting: str
) -> DataLoader:
    """Return batches of views in order, read by this process or by others.

    Args:
        views: The views.
        collate: Makes a batch of them.
        batch_size: Views of a batch.
        num_workers: Processes that read; 0 reads in this one.
        setting: What asks for them, for messages.

    Raises:
        InputError: If processes cannot be started here, or their batches do not fit into shared memory.
    """
    if num_workers:
        check_guard(f"{setting}={num_workers}")
        check_shared_memory(views, collate, batch_size, num_workers, setting=setting)
    return DataLoader(
        views,
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=collate,
        # forked, a worker would inherit what the threads of decoders and of torch hold locked
        multiprocessing_context="spawn" if num_workers else None,
    )


@dataclass(frozen=True)
class _Encoded:
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


def _load_for(folder: str, settings: VideoSettings) -> LoadedVideo:
    """Load a model for views of the settings' size.

    Raises:
        InputError: If there is no such model, or it does not take such views.
    """
    return load_video_model(folder, num_frames=settings.num_frames, image_size=settings.image_size)


def _sampling_for(loaded: LoadedVideo, settings: VideoSettings, **changes: Any) -> Sampling:
    """Return how a model's views are made of clips."""
    return Sampling(loaded.grid, kind=settings.sampling, stride=settings.stride, reader=settings.reader, **changes)


@torch.inference_mode()
def encode_clips(folder: str, task: VideoTask, settings: EvaluateSettings, *, tokens: bool, progress: bool) -> _Encoded:
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
    device, kind = resolve_device(settings.device), PRECISIONS[settings.precision]
    loaded, video = _load_for(folder, settings.video), settings.video
    encoder = _encoder(loaded, device)
    rows = {content: row for row, content in enumerate(task.clips)}
    width = int(loaded.model.config.hidden_size)
    pooled = torch.empty(len(rows), width)
    kept = _empty_tokens(len(rows), loaded.grid.num_positions, width) if tokens else None
    start = 0
    sampling = _sampling_for(loaded, video, clips_per_video=video.num_views)
    batches = _view_batches(list(task.clips.values()), sampling, settings)
    with tqdm(total=len(rows), desc="features", unit="clip", disable=not progress) as bar, worker_errors():
        for frames in batches:
            with torch.autocast(device.type, kind, enabled=kind != torch.float32):
                states = encoder(normalised(frames.flatten(0, 1).to(device), loaded.mean, loaded.std))
            states = states.float().unflatten(0, (-1, video.num_views)).mean(1)
            end = start + len(states)
            pooled[start:end] = states.mean(1).cpu()
            if kept is not None:
                kept[start:end] = states.half().cpu()
            bar.update(end - start)
            start = end
    assert start == len(rows)
    return _Encoded(rows, pooled, kept)


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
    if needed > 0.8 * free:
        raise InputError(
            f"the tokens of {num_clips:,} clips take {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free;"
            " use the method probe or knn, or give a smaller video.num_frames or video.image_size"
        )
    return torch.empty(num_clips, num_positions, width, dtype=torch.float16)


class LabelledViews(Dataset):
    """Views of clips with labels; a pass over the training views draws other places and crops than the one before.

    Args:
        views: The views.
        labels: Of each clip.
    """

    def __init__(self, views: ClipDataset, labels: Sequence[Any]):
        self.views, self.labels, self.epoch = views, labels, 0

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.views)

    def set_epoch(self, epoch: int) -> None:
        """Note the pass over the data; the Trainer calls it."""
        self.epoch = epoch

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return the frames of a view, uint8 (T, 3, S, S), and the labels of its clip."""
        (made,) = self.views[self.epoch * len(self.views) + row]
        return {"frames": made["frames"], "labels": self.labels[row // self.views.sampling.clips_per_video]}


class _ClipTuner(Tuner):
    """Fine-tunes one model of video on one task, for any seed and any share of its training clips."""

    architecture = VideoMAEForVideoClassification
    sampling = "random"

    def __init__(self, folder: str, task: VideoTask, settings: EvaluateSettings, *, output: Path, progress: bool):
        super().__init__(folder, task, settings, settings.video.finetune, output=output, progress=progress)
        self.clips = task.clips
        self.loaded = _load_for(folder, settings.video)
        if self.loaded.model.config.model_type != "videomae":
            raise InputError(
                f"{folder!r} is a {self.loaded.model.config.model_type} model, which is not fine-tuned on clips; "
                "choose from: probe, attentive, knn"
            )
        self.collate, self.num_workers = self._batch, settings.video.num_workers

    def options(self) -> dict[str, Any]:
        """Return the size of the views, and that the classifier reads the mean over the patches."""
        size = {"num_frames": self.loaded.num_frames, "image_size": self.loaded.image_size}
        return size | {"use_mean_pooling": True}

    def training_rows(self, train: Sequence[int], seed: int) -> LabelledViews:
        """Return random views of the clips, cropped and mirrored."""
        split = self.task.train.take(train)
        tuning = self.settings.video.finetune
        sampling = _sampling_for(self.loaded, self.settings.video, crop_scale=tuning.crop_scale, flip=tuning.flip)
        clips = [self.clips[content] for content in split.texts]
        return LabelledViews(ClipDataset(clips, sampling, seed=seed), self._labels(split))

    def rows(self, split: str) -> tuple[LabelledViews, list[int]]:
        """Return the views of the clips, one below the other."""
        examples = self.task.splits[split]
        sampling = _sampling_for(self.loaded, self.settings.video, clips_per_video=self.settings.video.num_views)
        clips = [self.clips[content] for content in examples.texts]
        views = ClipDataset(clips, sampling, augment=False)
        return LabelledViews(views, self._labels(examples)), list(range(len(clips)))

    def decode(self, logits: Any, rows: LabelledViews) -> list[Any]:
        """Return labels from the mean of the logits of a clip's views."""
        views = rows.views.sampling.clips_per_video
        return decode(np.asarray(logits).reshape(-1, views, logits.shape[-1]).mean(1), self.task.kind)

    def optimizer(self, model: PreTrainedModel, rate: float) -> torch.optim.Optimizer:
        """Return AdamW with a rate for each layer, and without decay of biases and norms."""
        tuning = self.settings.video.finetune
        weights = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
        groups = parameter_groups(model, weights, rate, tuning.weight_decay, tuning.layer_decay)
        return torch.optim.AdamW(groups, rate)

    def _labels(self, split: Split) -> list[Any]:
        if self.task.kind != MULTI_LABEL:
            return split.labels
        return [[float(number in label) for number in range(len(self.task.labels))] for label in split.labels]

    def _batch(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        frames = torch.stack([row["frames"] for row in rows])
        return {
            "pixel_values": normalised(frames, self.loaded.mean, self.loaded.std),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }
