"""Views of clips for features: each clip is opened once for all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from diffmask.config.evaluation import EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.video.clip.clip import Clip, ReadError
from diffmask.video.read.crop import centre_crop, crop_frames
from diffmask.video.read.dataset import Sampling
from diffmask.video.read.readers import open_reader
from diffmask.video.read.sampling import dense, uniform


class ClipViews(Dataset):
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
            if sampling.kind == "dense":
                indices = [dense(reader.num_frames, count, sampling.stride, place) for place in places]
            else:
                indices = [uniform(reader.num_frames, count, place) for place in places]
            frames = reader.read([index for view in indices for index in view])
        cropped = crop_frames(frames, centre_crop(*frames.shape[1:3]), sampling.image_size)
        return cropped.unflatten(0, (sampling.clips_per_video, count))


def view_batches(clips: Sequence[Clip], sampling: Sampling, settings: EvaluateSettings) -> DataLoader:
    """Return batches of views of clips, uint8 (B, V, T, 3, S, S)."""
    video = settings.video
    return DataLoader(
        ClipViews(clips, sampling),
        batch_size=max(1, settings.eval_batch_size // video.num_views),
        num_workers=video.num_workers,
        collate_fn=torch.stack,
        # forked, a worker would inherit what the threads of decoders and of torch hold locked
        multiprocessing_context="spawn" if video.num_workers else None,
    )
