"""Fine-tuning on clips."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedModel, VideoMAEForVideoClassification

from diffmask.config.evaluation import MULTI_LABEL, EvaluateSettings
from diffmask.core.errors import InputError, worker_errors
from diffmask.core.machine import fast_attention
from diffmask.evaluate.methods.predicted import Predicted
from diffmask.evaluate.methods.text import PROBLEMS, decode
from diffmask.evaluate.methods.tuner import Tuner
from diffmask.evaluate.methods.video_features import load_for, normalise, sampling_for
from diffmask.tasks.splits import Split
from diffmask.tasks.video_task import VideoTask
from diffmask.text.model.load import load_weights
from diffmask.train.layer_rates import layer_groups
from diffmask.video.read.dataset import ClipDataset


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


class VideoTuner(Tuner):
    """Fine-tunes one model of video on one task, for any seed and any share of its training clips."""

    sampling = "random"

    def __init__(self, folder: str, task: VideoTask, settings: EvaluateSettings, *, output: Path, progress: bool):
        super().__init__(task, settings, settings.video.finetune, output=output, progress=progress)
        self.folder, self.clips = folder, task.clips
        self.loaded = load_for(folder, settings.video)
        if self.loaded.model.config.model_type != "videomae":
            raise InputError(
                f"{folder!r} is a {self.loaded.model.config.model_type} model, which is not fine-tuned on clips; "
                "choose from: probe, attentive, knn"
            )
        self._normalise = normalise(self.loaded, torch.device("cpu"))
        self.collate, self.num_workers = self._batch, settings.video.num_workers

    def predict(self, train: Split, seed: int) -> Predicted:
        """Fine-tune and predict.

        Raises:
            InputError: If a clip cannot be read any more.
        """
        with worker_errors():
            return super().predict(train, seed)

    def load(self, device: torch.device) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """Return the model with a classifier of the task's labels, which reads the mean over the patches."""
        names = self.task.labels
        return load_weights(
            VideoMAEForVideoClassification,
            self.folder,
            num_frames=self.loaded.num_frames,
            image_size=self.loaded.image_size,
            use_mean_pooling=True,
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: row for row, name in enumerate(names)},
            problem_type=PROBLEMS[self.task.kind],
            **fast_attention(device, self.settings.precision),
        )

    def training_rows(self, split: Split, seed: int) -> LabelledViews:
        """Return random views of the clips, cropped and mirrored."""
        tuning = self.settings.video.finetune
        sampling = sampling_for(self.loaded, self.settings.video, crop_scale=tuning.crop_scale, flip=tuning.flip)
        clips = [self.clips[content] for content in split.texts]
        return LabelledViews(ClipDataset(clips, sampling, seed=seed), self._labels(split))

    def rows(self, split: str) -> tuple[LabelledViews, list[int]]:
        """Return the views of the clips, one below the other."""
        examples = self.task.splits[split]
        sampling = sampling_for(self.loaded, self.settings.video, clips_per_video=self.settings.video.num_views)
        clips = [self.clips[content] for content in examples.texts]
        views = ClipDataset(clips, sampling, augment=False)
        return LabelledViews(views, self._labels(examples)), list(range(len(clips)))

    def decode(self, logits: Any, rows: LabelledViews) -> list[Any]:
        """Return labels from the mean of the logits of a clip's views."""
        logits = logits[0] if isinstance(logits, tuple) else logits
        views = rows.views.sampling.clips_per_video
        return decode(np.asarray(logits).reshape(-1, views, logits.shape[-1]).mean(1), self.task.kind)

    def optimizer(self, model: PreTrainedModel, rate: float) -> torch.optim.Optimizer:
        """Return AdamW with a rate for each layer, and without decay of biases and norms."""
        tuning = self.settings.video.finetune
        return torch.optim.AdamW(layer_groups(model, rate, tuning.layer_decay, tuning.weight_decay), rate)

    def _labels(self, split: Split) -> list[Any]:
        if self.task.kind != MULTI_LABEL:
            return split.labels
        return [[float(number in label) for number in range(len(self.task.labels))] for label in split.labels]

    def _batch(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        frames = torch.stack([row["frames"] for row in rows])
        return {"pixel_values": self._normalise(frames), "labels": torch.tensor([row["labels"] for row in rows])}
