"""Clips as rows: some frames of each, cropped, with the scores of what they show; a broken clip never ends a run.

Clips that failed while a run read them: noted by whichever process met them, counted and named at the end.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from diffmask.core.errors import InputError
from diffmask.core.noise import AUGMENT, keys, uniforms
from diffmask.video.clip.clip import Clip
from diffmask.video.read.readers import ReadError, open_reader
from diffmask.video.read.sampling import NUM_DRAWS, Crop, centre_crop, crop_frames, dense, random_crop, uniform
from diffmask.video.units.grid import Grid


class FailureLog:
    """A file of JSON lines that several processes append to.

    Args:
        path: The file; a run that is resumed goes on with it.
    """

    def __init__(self, path: Path):
        self.path = path

    def add(self, clip: str, reason: str, visit: int) -> None:
        """Note a clip that could not be read.

        Args:
            clip: Its path.
            reason: What went wrong.
            visit: Which visit of the data set it was for.
        """
        line = json.dumps({"clip": clip, "reason": reason, "visit": visit}) + "\n"
        # one write to a file opened for appending is not torn apart by other processes
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def read(self) -> dict[str, str]:
        """Return the clips that failed, each with its last reason; visits that a resumed run read again count once."""
        if not self.path.exists():
            return {}
        lines = self.path.read_text(encoding="utf-8").split("\n")
        entries = [json.loads(line) for line in lines[:-1]]  # what a full disk cut off has no end of line
        return {entry["clip"]: entry["reason"] for entry in entries}


Row = dict[str, Any]
MapOf = Callable[[Clip, Tensor, Crop, tuple[int, int]], Tensor]
"""Scores (T, rows, columns) of a clip at some times (fractions of it), as a crop of so many patches shows them."""
MOST_SUBSTITUTES = 20
"""Clips that are tried in the place of one that cannot be read."""
_SAMPLINGS = ("dense", "uniform")


@dataclass(frozen=True)
class Sampling:
    """How rows are made of a clip.

    Attributes:
        grid: Patches of a row; it tells the frames and pixels.
        kind: dense (every `stride`-th frame from some place on) or uniform (a frame of each of equal parts).
        stride: Frames from one to the next, for dense.
        clips_per_video: Rows of each clip in a pass over the data.
        repeats: Crops of what is decoded once (repeated augmentation, Hoffer et al. 2020); each is a row.
        crop_scale: Smallest and largest share of the frame's area.
        crop_ratio: Smallest and largest width over height.
        flip: Probability that a crop is mirrored.
        retries: How often a clip is read again before another takes its place.
        reader: Name of a reader, or `auto` for the one that the index found.
    """

    grid: Grid
    kind: str = "dense"
    stride: int = 4
    clips_per_video: int = 1
    repeats: int = 1
    crop_scale: tuple[float, float] = (0.5, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    retries: int = 2
    reader: str = "auto"

    def __post_init__(self):
        """Check what users set."""
        if self.kind not in _SAMPLINGS:
            raise InputError(f"unknown sampling {self.kind!r}; choose from: {', '.join(_SAMPLINGS)}")
        for name in ("stride", "clips_per_video", "repeats"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 1")
        if self.retries < 0:
            raise InputError(f"retries={self.retries} must be at least 0")
        if not 0.0 <= self.flip <= 1.0:
            raise InputError(f"flip={self.flip:g} is outside [0, 1]; it is the probability that a clip is mirrored")
        for name, most in (("crop_scale", 1.0), ("crop_ratio", float("inf"))):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0.0 < pair[0] <= pair[1] <= most:
                limit = " in (0, 1]" if most == 1.0 else " above 0"
                raise InputError(f"{name}={list(pair)} must be two numbers{limit}, the smaller first")

    @property
    def image_size(self) -> int:
        """Pixels of a row in height and width."""
        return self.grid.rows * self.grid.patch_size


class ClipDataset(Dataset):
    """Rows of clips: frames uint8 (T, 3, S, S) with a sample id and maps of scores.

    What is drawn of a clip - its place in time, crop and flip - is a function of the seed, the pass over the data and
    the row, so neither workers nor ranks nor a resume change it. An index is a visit: `pass * len(dataset) + row`.
    Readers are opened for each row, in the process that reads it.

    Args:
        clips: What is read.
        sampling: How rows are made.
        seed: Of what is drawn.
        maps: Scores by name, for the features of units.
        failures: Where clips that fail are noted; None raises at the first.
        augment: Draw; False takes the middle of the frame and even places in time, for evaluation.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        sampling: Sampling,
        *,
        seed: int = 0,
        maps: Mapping[str, MapOf] | None = None,
        failures: FailureLog | None = None,
        augment: bool = True,
    ):
        assert clips, "refuse an empty list of clips where it is read"
        self.clips = list(clips)
        self.sampling = sampling
        self.maps = dict(maps or {})
        self._seed, self._failures, self._augment = seed, failures, augment

    def __len__(self) -> int:
        """Return the rows of a pass over the data."""
        return len(self.clips) * self.sampling.clips_per_video

    def __getitem__(self, visit: int) -> list[Row]:
        """Return the crops of a visit's clip, or of another clip where that one cannot be read."""
        epoch, row = divmod(visit, len(self))
        reason = ""
        for attempt in range(MOST_SUBSTITUTES):
            clip = self.clips[self._clip_of(row, epoch, attempt)]
            found = self._tried(clip, epoch, row)
            if not isinstance(found, ReadError):
                return found
            if self._failures is None:
                raise InputError(f"{found}; take the clip out, or run `diffmask index` again") from found
            reason = str(found)
            self._failures.add(clip.path, reason, visit)
        raise InputError(
            f"{MOST_SUBSTITUTES} clips in a row could not be read, the last because of {reason}; check that the files "
            "are still there, or run `diffmask index` again"
        )

    def _tried(self, clip: Clip, epoch: int, row: int) -> list[Row] | ReadError:
        """Return the rows of a clip, or the last of the errors that each try ended with."""
        failure: ReadError | None = None
        for _ in range(self.sampling.retries + 1):
            try:
                return self._rows(clip, epoch, row)
            except ReadError as error:
                failure = error
        assert failure is not None
        return failure

    def _clip_of(self, row: int, epoch: int, attempt: int) -> int:
        """Return the clip of a row; another one after a failure, told by the row alone."""
        first = row // self.sampling.clips_per_video
        if attempt == 0:
            return first
        draw = uniforms(keys(self._seed, epoch, torch.tensor(row), stream=AUGMENT), torch.tensor(2**19 + attempt))
        return int(draw.item() * len(self.clips))

    def _rows(self, clip: Clip, epoch: int, row: int) -> list[Row]:
        draws = self._draws(epoch, row)
        with open_reader(clip, self.sampling.reader) as reader:
            indices = self._indices(reader.num_frames, float(draws[0, NUM_DRAWS]), row)
            frames = reader.read(indices)
        times = torch.tensor(indices, dtype=torch.float32).view(self.sampling.grid.frames, -1).mean(1)
        times = times / max(reader.num_frames - 1, 1)
        crops = [self._crop(frames.shape[1], frames.shape[2], each) for each in draws]
        first = row * len(crops)
        return [self._row(clip, frames, times, crop, first + repeat) for repeat, crop in enumerate(crops)]

    def _row(self, clip: Clip, frames: Tensor, times: Tensor, crop: Crop, sample_id: int) -> Row:
        grid = self.sampling.grid
        made = {"frames": crop_frames(frames, crop, self.sampling.image_size), "sample_id": sample_id}
        return made | {name: find(clip, times, crop, (grid.rows, grid.columns)) for name, find in self.maps.items()}

    def _draws(self, epoch: int, row: int) -> Tensor:
        """Return the uniforms of each crop of a row, float64 (repeats, N); the last of the first places it in time."""
        samples = row * self.sampling.repeats + torch.arange(self.sampling.repeats)[:, None]
        return uniforms(keys(self._seed, epoch, samples, stream=AUGMENT), torch.arange(NUM_DRAWS + 1)[None])

    def _indices(self, num_frames: int, place: float, row: int) -> list[int]:
        """Return the frames of a row; several rows of a clip divide it among them."""
        sampling = self.sampling
        part, parts = row % sampling.clips_per_video, sampling.clips_per_video
        place = (part + (place if self._augment else 0.5)) / parts
        if sampling.kind == "dense":
            return dense(num_frames, sampling.grid.num_frames, sampling.stride, place)
        return uniform(num_frames, sampling.grid.num_frames, place)

    def _crop(self, height: int, width: int, draws: Tensor) -> Crop:
        if not self._augment:
            return centre_crop(height, width)
        sampling = self.sampling
        return random_crop(
            height, width, draws[:NUM_DRAWS], scale=sampling.crop_scale, ratio=sampling.crop_ratio, flip=sampling.flip
        )
