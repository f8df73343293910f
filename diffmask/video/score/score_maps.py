"""Score maps: what a scorer says about the frames of a clip, computed once and kept in half precision.

paths = make_maps(clips, anchors.scorer("auto"), Path("cache"))
scores = read_map(paths[0])

Scores that rows bring along: score maps that were made once, and boxes; both seen through the row's crop.
"""

import hashlib
import logging
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.files.folders import draft
from diffmask.video.clip.clip import Clip, ReadError
from diffmask.video.read.readers import Reader, open_reader
from diffmask.video.read.sampling import Crop, crop_map
from diffmask.video.score.boxes import Boxes, box_map

FORMAT = 1
"""Part of the names of maps; to be raised when the maps of the same clips change."""
FRAMES_PER_SECOND, LEAST_FRAMES, MOST_FRAMES = 2.0, 8, 64
CHUNK_FRAMES = 8
"""Frames that are held at a time: 64 of a large clip would not fit."""
_MAX = torch.finfo(torch.float16).max

logger = logging.getLogger(__name__)


class FrameScorer(Protocol):
    """What gives every patch of a frame a score."""

    @property
    def key(self) -> str:
        """What the scores depend on beside the frame: a hash of weights and settings."""
        ...

    def score(self, frames: Tensor) -> Tensor:
        """Return scores, float (K, rows, columns), finite, higher = masked more often, of uint8 (K, H, W, 3)."""
        ...


@dataclass(frozen=True, eq=False)
class _ScoreMap:
    """Scores of patches of some frames of a clip, over the whole upright frame.

    Attributes:
        values: float16 (K, rows, columns).
        times: Where the frames are in the clip, float32 (K,) in [0, 1].
    """

    values: Tensor
    times: Tensor


def make_maps(
    clips: Sequence[Clip], scorer: FrameScorer, cache: str | Path, *, progress: bool = False
) -> list[Path | None]:
    """Return the map of each clip, in their order, made where it is not there yet or is damaged.

    A clip that cannot be read is named in the log and has None; it ends nothing. A map appears when it is complete, so
    work that was interrupted goes on where it was, and several processes may share the folder.

    Args:
        clips: The clips.
        scorer: Gives the scores.
        cache: Folder of the maps; created where missing.
        progress: Show a progress bar.

    Raises:
        InputError: If the cache folder cannot be written.
    """
    from tqdm import tqdm

    folder = Path(cache)
    _check_folder(folder)
    made: list[Path | None] = []
    for clip in tqdm(clips, desc="score maps", unit="clip", disable=None if progress else True, leave=False):
        path = map_path(clip, scorer.key, folder)
        if not _is_whole(path):
            try:
                _write(path, _score_clip(clip, scorer))
            except ReadError as error:
                logger.warning("%s has no score map, since it cannot be read: %s", clip.path, error)
                path = None
        made.append(path)
    return made


def map_path(clip: Clip, key: str, cache: str | Path) -> Path:
    """Return where the map of a clip is kept: another file, another scorer or another format is another name."""
    identity = f"{FORMAT} {os.path.abspath(clip.path)} {clip.size} {clip.mtime} {clip.rotation} {key}"
    return Path(cache) / f"map-{hashlib.sha256(identity.encode()).hexdigest()[:32]}.safetensors"


def read_map(path: str | Path) -> _ScoreMap:
    """Read a map.

    Raises:
        InputError: If it is missing or damaged.
    """
    found = _read(Path(path))
    if isinstance(found, str):
        raise InputError(f"the score map {path} {found}; make the maps again, with the same command")
    return found


def map_frames(num_frames: int, duration: float) -> list[int]:
    """Return the frames of a clip that are scored: evenly, two per second, 8 to 64, the first and the last among them.

    Args:
        num_frames: Of the clip.
        duration: Of the clip in seconds; 0 where it is not known.
    """
    wanted = min(max(round(duration * FRAMES_PER_SECOND), LEAST_FRAMES), MOST_FRAMES, num_frames)
    if wanted < 2:
        return [0] * min(1, num_frames)
    return [round(index * (num_frames - 1) / (wanted - 1)) for index in range(wanted)]


def _frame_times(indices: Sequence[int], num_frames: int) -> Tensor:
    """Return where frames are in a clip, float32 (K,) in [0, 1]; 0 in a clip of one frame."""
    return torch.tensor(indices, dtype=torch.float32) / max(1, num_frames - 1)


def read_chunks(reader: Reader, indices: Sequence[int]) -> Iterator[Tensor]:
    """Yield frames of a clip a few at a time, uint8 (K, H, W, 3)."""
    for start in range(0, len(indices), CHUNK_FRAMES):
        yield reader.read(indices[start : start + CHUNK_FRAMES])


def _score_clip(clip: Clip, scorer: FrameScorer) -> _ScoreMap:
    with open_reader(clip) as reader:
        indices = map_frames(reader.num_frames, clip.duration)
        if not indices:
            raise ReadError(clip.path, "it has no frames")
        scores = torch.cat([scorer.score(frames).float().cpu() for frames in read_chunks(reader, indices)])
        times = _frame_times(indices, reader.num_frames)
    assert scores.ndim == 3 and scores.isfinite().all(), f"{scorer.key} gave a score that is not finite"
    return _ScoreMap(scores.clamp(-_MAX, _MAX).half(), times)


def _write(path: Path, scores: _ScoreMap) -> None:
    from safetensors.torch import save

    tensors = {"values": scores.values.contiguous(), "times": scores.times.contiguous()}
    content = save(tensors, {"crc32": str(_checksum(scores))})
    # the folder may hold the maps of a hundred thousand clips: it is not listed for each of them
    with draft(path, tidy=False) as new:
        new.write_bytes(content)


def _is_whole(path: Path) -> bool:
    if not path.exists():
        return False
    found = _read(path)
    if isinstance(found, str):
        logger.warning("%s %s and is made again", path, found)
    return not isinstance(found, str)


def _read(path: Path) -> _ScoreMap | str:
    """Return the map, or what is wrong with its file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return "is not there"
    try:
        with safe_open(path, "pt") as file:
            found = _ScoreMap(file.get_tensor("values"), file.get_tensor("times"))
            written = (file.metadata() or {}).get("crc32")
    except (SafetensorError, OSError) as error:
        return f"is damaged ({str(error).splitlines()[0].rstrip('.')})"
    return found if written == str(_checksum(found)) else "is damaged (its checksum differs)"


def _checksum(scores: _ScoreMap) -> int:
    shape = np.array(scores.values.shape, dtype=np.int64)
    checksum = zlib.crc32(shape.tobytes())
    for values in (scores.values, scores.times):
        checksum = zlib.crc32(values.contiguous().numpy().tobytes(), checksum)
    return checksum


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        reason = "may not be written" if isinstance(error, PermissionError) else "is not a folder"
        raise InputError(f"the cache folder {folder} {reason}; name another one") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"the cache folder {folder} may not be written; name another one")


class CachedMaps:
    """Score maps of clips.

    Args:
        paths: Of the map of each clip, by the clip's path.
    """

    def __init__(self, paths: Mapping[str, Path]):
        self._paths = dict(paths)

    def has(self, clip: Clip) -> bool:
        """Tell whether there is a map of a clip."""
        return clip.path in self._paths

    def __call__(self, clip: Clip, times: Tensor, crop: Crop, shape: tuple[int, int]) -> Tensor:
        """Return the scores of what a row shows, float (T', rows, columns)."""
        found = read_map(self._paths[clip.path])
        return crop_map(found.values, found.times, times, crop, shape)


class BoxMaps:
    """Boxes of clips: how much of each patch lies in one.

    Args:
        boxes: Of each clip that has some, by its path, as `match_boxes` returns them.
    """

    def __init__(self, boxes: Mapping[str, Boxes]):
        self._boxes = dict(boxes)

    def __call__(self, clip: Clip, times: Tensor, crop: Crop, shape: tuple[int, int]) -> Tensor:
        """Return the share of each patch in a box, float (T', rows, columns); zero for clips without boxes."""
        boxes = self._boxes.get(clip.path)
        return torch.zeros(len(times), *shape) if boxes is None else box_map(boxes, times, crop, *shape)
