"""Clips as rows: some frames of each, cropped, with the scores of what they show; a broken clip never ends a run.

Clips that fail are noted in a file by whichever process met them, and counted and named at the end of the run.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from diffmask.config.limits import at_least, check_limits, share
from diffmask.core.errors import InputError, first_line
from diffmask.core.noise import AUGMENT, keys, uniforms
from diffmask.video.clip.clip import Clip, ReadError
from diffmask.video.read.readers import open_reader
from diffmask.video.read.sampling import NUM_DRAWS, Crop, dense, uniform
from diffmask.video.units.grid import Grid


class FailureLog:
    """A file of JSON lines that several processes append to.

    Args:
        path: The file; a run that is resumed appends to it.
    """

    def __init__(self, path: Path):
        self.path = path

    def add(self, clip: str, reason: str, visit: int) -> None:
        """Note a clip that could not be read.

        Args:
            clip: Path of the clip.
            reason: What went wrong.
            visit: Index of the data set that was asked for.
        """
        line = json.dumps({"clip": clip, "reason": reason, "visit": visit}) + "\n"
        # one write to a file opened for appending is not torn apart by other processes
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def read(self) -> dict[str, str]:
        """Return the clips that failed, each with the last reason.

        Raises:
            InputError: If a line is damaged; a last one that a full disk cut off is left out.
        """
        if not self.path.exists():
            return {}
        try:
            entries = [json.loads(line) for line in self.path.read_bytes().split(b"\n")[:-1]]
            return {entry["clip"]: str(entry["reason"]) for entry in entries}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{self.path} is damaged ({first_line(error)}); delete it") from error


Row = dict[str, Any]
MapOf = Callable[[Clip, Tensor, Crop, tuple[int, int]], Tensor]
"""Scores (T, rows, columns) of a clip at some times (fractions of it), in a crop of (rows, columns) patches."""
_SAMPLINGS = ("dense", "uniform")
_MOST_SUBSTITUTES = 20
"""Clips that are tried in place of one that cannot be read."""


@dataclass(frozen=True)
class Sampling:
    """How rows are made of a clip.

    Attributes:
        grid: Patches of a row, which say how many frames and pixels it has.
        kind: dense (every `stride`-th frame from some place on) or uniform (a frame of each of equal parts).
        stride: Distance from one frame to the next, for dense.
        clips_per_video: Rows of each clip in a pass over the data.
        repeats: Crops of what is decoded once (repeated augmentation, Hoffer et al. 2020); each is a row.
        crop_scale: Smallest and largest share of the frame's area.
        crop_ratio: Smallest and largest width over height.
        flip: Probability that a crop is mirrored.
        retries: How often a clip is read again before another takes its place.
        reader: Name of a reader, or `auto` for the reader that the index chose for each clip.
    """

    grid: Grid
    kind: str = "dense"
    stride: Annotated[int, at_least(1)] = 4
    clips_per_video: Annotated[int, at_least(1)] = 1
    repeats: Annotated[int, at_least(1)] = 1
    crop_scale: tuple[float, float] = (0.5, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: Annotated[float, share("it is the probability that a clip is mirrored")] = 0.5
    retries: Annotated[int, at_least(0)] = 2
    reader: str = "auto"

    def __post_init__(self):
        """Check what users set."""
        if self.kind not in _SAMPLINGS:
            raise InputError(f"unknown sampling {self.kind!r}; choose from: {', '.join(_SAMPLINGS)}")
        check_limits(self)
        for name, most in (("crop_scale", 1.0), ("crop_ratio", float("inf"))):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0.0 < pair[0] <= pair[1] <= most:
                limit = " in (0, 1]" if most == 1.0 else " above 0"
                raise InputError(f"{name}={list(pair)} must be two numbers{limit}, the smaller first")

    @property
    def image_size(self) -> int:
        """Pixels of a row in height and width."""
        return self.grid.rows * self.grid.patch_size

    def frame_indices(self, num_frames: int, place: float) -> list[int]:
        """Return the frames of a row; `place` in [0, 1) says where in a clip of `num_frames` frames they lie."""
        if self.kind == "dense":
            return dense(num_frames, self.grid.num_frames, self.stride, place)
        return uniform(num_frames, self.grid.num_frames, place)


Span = tuple[float, float]
"""Seconds from the start of a clip at which a part of it begins and ends."""
_ROUNDING = 1e-6
"""Share of a frame by which a time may miss it."""


def frames_of_span(clip: Clip, span: Span) -> range:
    """Return the frames that are shown in a part of a clip, at least one; all of them if its rate is not known.

    A frame is shown from its own time until that of the next one.

    Args:
        clip: The clip.
        span: The part; what lies outside of the clip is cut off.
    """
    rate = clip.fps or (clip.num_frames / clip.duration if clip.duration else 0.0)
    if not rate:
        return range(clip.num_frames)
    first = min(max(0, math.floor(span[0] * rate + _ROUNDING)), clip.num_frames - 1)
    stop = min(math.ceil(span[1] * rate - _ROUNDING), clip.num_frames)
    return range(first, max(first + 1, stop))


class ClipDataset(Dataset):
    """Rows of clips: frames uint8 (T, 3, S, S) with a sample id and maps of scores.

    What is drawn at random of a clip (its place in time, crop and flip) depends on the seed, the pass over the data
    and the row only, so neither workers nor ranks nor a resume change it. An index is a visit, `pass * len(dataset) +
    row`. A reader is opened for each row, in the process that reads it.

    Args:
        clips: The clips that are read.
        sampling: How rows are made of them.
        spans: The part that is shown of each, or None for all of it. Rows then say in `shown` which entry of `clips`
            they show, which may be another one's in place of a clip that cannot be read.
        seed: Seed of what is drawn at random.
        maps: Scores by name, for the features of units.
        failures: Where clips that fail are noted; None raises at the first.
        augment: Draw at random; False takes the middle of the frame and even places in time, for evaluation.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        sampling: Sampling,
        *,
        spans: Sequence[Span | None] | None = None,
        seed: int = 0,
        maps: Mapping[str, MapOf] | None = None,
        failures: FailureLog | None = None,
        augment: bool = True,
    ):
        assert clips, "refuse an empty list of clips where it is read"
        assert spans is None or len(spans) == len(clips), f"{len(spans)} spans of {len(clips)} clips"
        self.clips = list(clips)
        self.spans = None if spans is None else list(spans)
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
        for attempt in range(_MOST_SUBSTITUTES):
            shown = self._clip_of(row, epoch, attempt)
            clip = self.clips[shown]
            result = self._tried(shown, epoch, row)
            if not isinstance(result, ReadError):
                return result
            if self._failures is None:
                raise InputError(f"{result}; take the clip out, or run `diffmask index` again") from result
            reason = str(result)
            self._failures.add(clip.path, reason, visit)
        raise InputError(
            f"{_MOST_SUBSTITUTES} clips in a row could not be read, the last because of {reason}; check that the files "
            "are still there, or run `diffmask index` again"
        )

    def _tried(self, shown: int, epoch: int, row: int) -> list[Row] | ReadError:
        """Return the rows that show an entry of the clips, or the error of the last try."""
        failure: ReadError | None = None
        for _ in range(self.sampling.retries + 1):
            try:
                return self._rows(shown, epoch, row)
            except ReadError as error:
                failure = error
        assert failure is not None
        return failure

    def _clip_of(self, row: int, epoch: int, attempt: int) -> int:
        """Return which clip a row shows: its own, or after a failure another that only the row and seed decide."""
        first = row // self.sampling.clips_per_video
        if attempt == 0:
            return first
        draw = uniforms(keys(self._seed, epoch, torch.tensor(row), stream=AUGMENT), torch.tensor(2**19 + attempt))
        return int(draw.item() * len(self.clips))

    def _rows(self, shown: int, epoch: int, row: int) -> list[Row]:
        clip, draws = self.clips[shown], self._draws(epoch, row)
        with open_reader(clip, self.sampling.reader) as reader:
            span = None if self.spans is None else self.spans[shown]
            within = range(reader.num_frames) if span is None else frames_of_span(clip, span)
            indices = [within[index] for index in self._indices(len(within), float(draws[0, NUM_DRAWS]), row)]
            frames = reader.read(indices)
        times = torch.tensor(indices, dtype=torch.float32).view(self.sampling.grid.frames, -1).mean(1)
        times = times / max(reader.num_frames - 1, 1)
        crops = [self._crop(frames.shape[1], frames.shape[2], each) for each in draws]
        first = row * len(crops)
        rows = [self._row(clip, frames, times, crop, first + repeat) for repeat, crop in enumerate(crops)]
        return rows if self.spans is None else [each | {"shown": shown} for each in rows]

    def _row(self, clip: Clip, frames: Tensor, times: Tensor, crop: Crop, sample_id: int) -> Row:
        grid = self.sampling.grid
        shown = {"frames": crop.of_frames(frames, self.sampling.image_size), "sample_id": sample_id}
        return shown | {name: find(clip, times, crop, (grid.rows, grid.columns)) for name, find in self.maps.items()}

    def _draws(self, epoch: int, row: int) -> Tensor:
        """Return random numbers for each crop of a row, float64 (repeats, N); the last of the first is its time."""
        samples = row * self.sampling.repeats + torch.arange(self.sampling.repeats)[:, None]
        return uniforms(keys(self._seed, epoch, samples, stream=AUGMENT), torch.arange(NUM_DRAWS + 1)[None])

    def _indices(self, num_frames: int, place: float, row: int) -> list[int]:
        """Return the frames of a row, of those that may be shown; several rows of a clip divide them among them."""
        parts = self.sampling.clips_per_video
        place = (row % parts + (place if self._augment else 0.5)) / parts
        return self.sampling.frame_indices(num_frames, place)

    def _crop(self, height: int, width: int, draws: Tensor) -> Crop:
        if not self._augment:
            return Crop.centre(height, width)
        scale, ratio = self.sampling.crop_scale, self.sampling.crop_ratio
        return Crop.random(height, width, draws[:NUM_DRAWS], scale=scale, ratio=ratio, flip=self.sampling.flip)
