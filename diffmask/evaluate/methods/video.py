"""The methods of an evaluation on clips, by name."""

from collections.abc import Callable
from pathlib import Path

from diffmask.config.evaluation import ATTENTIVE, FINETUNE, KNN, EvaluateSettings
from diffmask.evaluate.methods.attentive import AttentiveProber
from diffmask.evaluate.methods.frozen import Prober
from diffmask.evaluate.methods.neighbours import Neighbours
from diffmask.evaluate.methods.predicted import Predicted
from diffmask.evaluate.methods.video_features import encode_clips
from diffmask.evaluate.methods.video_finetune import VideoTuner
from diffmask.tasks.video_task import VideoTask

VIDEO_MODELS = ("videomae", "vit_mae")
"""Architectures whose examples are clips."""


def video_predictor(
    folder: str, task: VideoTask, settings: EvaluateSettings, *, output: Path, progress: bool
) -> Callable[[list[int], int], Predicted]:
    """Return what predicts from a choice of training clips and a seed; features are computed here, once.

    Args:
        folder: Of the model, or its name.
        task: The task.
        settings: How.
        output: Folder of the results, for drafts.
        progress: Show progress bars.

    Raises:
        InputError: If the model cannot be used, or a clip cannot be read.
    """
    if settings.method == FINETUNE:
        tuner = VideoTuner(folder, task, settings, output=output, progress=progress)
        return lambda rows, seed: tuner.predict(task.train.take(rows), seed)
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
