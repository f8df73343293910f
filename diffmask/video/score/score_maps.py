"""Score maps: the scores of the patches of a clip's frames, computed once and kept in half precision.

paths = make_maps(clips, anchors.scorer("auto"), Path("cache"))
maps = CachedMaps({clip.path: path for clip, path in zip(clips, paths) if path})

Rows read them, or boxes, through their own crop.
"""

import hashlib
import logging
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from diffmask.core.errors import InputError, first_line
from diffmask.files.cache import make_cache_folder
from diffmask.files.folders import draft
from diffmask.video.clip.clip import Clip, ReadError
from diffmask.video.read.readers import open_reader
from diffmask.video.read.sampling import Crop
from diffmask.video.score.boxes import Boxes

_FORMAT = 1
"""Part of the names of maps; raise it when the maps of the same clips change."""
_FRAMES_PER_SECOND, _LEAST_FRAMES, _MOST_FRAMES = 2.0, 8, 64
_MAX = torch.finfo(torch.float16).max

logger = logging.getLogger(__name__)


class FrameScorer(Protocol):
    """Gives every patch of a frame a score."""

    @property
    def key(self) -> str:
        """What the scores depend on besides the frame: a hash of weights and settings."""
        ...

    def score(self, frames: Tensor) -> Tensor:
        """Return scores, float (K, rows, columns), finite, higher = masked more often, of uint8 (K, H, W, 3)."""
        ...


@dataclass(frozen=True, eq=False)
class _ScoreMap:
    """Scores of patches of some frames of a clip, over the whole upright frame.

    Attributes:
        values: The scores, float16 (K, rows, columns).
        times: Where the frames lie in the clip, float32 (K,) in [0, 1].
    """

    values: Tensor
    times: Tensor


def make_maps(
    clips: Sequence[Clip], scorer: FrameScorer, cache: str | Path, *, progress: bool = False
) -> list[Path | None]:
    """Return the path of the map of each clip, in their order; maps that are missing or damaged are made.

    A clip that cannot be read is named in the log and has None. A map appears when it is complete, so interrupted work
    continues where it stopped, and several processes may share the folder.

    Args:
        clips: The clips.
        scorer: Gives the scores.
        cache: Folder of the maps; created if it is missing.
        progress: Show a progress bar.

    Raises:
        InputError: If the cache folder cannot be written.
    """
    from tqdm import tqdm

    folder = Path(cache)
    make_cache_folder(folder)
    made: list[Path | None] = []
    for clip in tqdm(clips, desc="score maps", unit="clip", disable=None if progress else True, leave=False):
        path = _map_path(clip, scorer.key, folder)
        if not _is_whole(path):
            try:
                _write(path, _score_clip(clip, scorer))
            except ReadError as error:
                logger.warning("%s has no score map, since it cannot be read: %s", clip.path, error)
                path = None
        made.append(path)
    return made


def _map_path(clip: Clip, key: str, cache: str | Path) -> Path:
    """Return where the map of a clip is kept; another file, scorer or format gives another name."""
    shown = f"{clip.rotation}{' mirrored' if clip.mirrored else ''}"
    identity = f"{_FORMAT} {os.path.abspath(clip.path)} {clip.size} {clip.mtime} {shown} {key}"
    return Path(cache) / f"map-{hashlib.sha256(identity.encode()).hexdigest()[:32]}.safetensors"


def _read_map(path: str | Path) -> _ScoreMap:
    """Read a map."""
    found = _read(Path(path))
    if isinstance(found, str):
        raise InputError(f"the score map {path} {found}; make the maps again, with the same command")
    return found


def _map_frames(num_frames: int, duration: float) -> list[int]:
    """Return the frames of a clip that are scored: evenly from the first to the last, two a second, 8 to 64 of them.

    Args:
        num_frames: Frames of the clip.
        duration: Seconds of the clip; 0 if unknown.
    """
    wanted = min(max(round(duration * _FRAMES_PER_SECOND), _LEAST_FRAMES), _MOST_FRAMES, num_frames)
    if wanted < 2:
        return [0] * min(1, num_frames)
    return [round(index * (num_frames - 1) / (wanted - 1)) for index in range(wanted)]


def _frame_times(indices: Sequence[int], num_frames: int) -> Tensor:
    """Return where frames lie in a clip, float32 (K,) in [0, 1]; 0 in a clip of one frame."""
    return torch.tensor(indices, dtype=torch.float32) / max(1, num_frames - 1)


def _score_clip(clip: Clip, scorer: FrameScorer) -> _ScoreMap:
    with open_reader(clip) as reader:
        indices = _map_frames(reader.num_frames, clip.duration)
        if not indices:
            raise ReadError(clip.path, "it has no frames")
        scores = torch.cat([scorer.score(frames).float().cpu() for frames in reader.read_chunks(indices)])
        times = _frame_times(indices, reader.num_frames)
    assert scores.ndim == 3 and scores.isfinite().all(), f"{scorer.key} gave a score that is not finite"
    # half precision has infinities where float32 has large numbers
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
        return f"is damaged ({first_line(error)})"
    return found if written == str(_checksum(found)) else "is damaged (its checksum differs)"


def _checksum(scores: _ScoreMap) -> int:
    shape = np.array(scores.values.shape, dtype=np.int64)
    checksum = zlib.crc32(shape.tobytes())
    for values in (scores.values, scores.times):
        checksum = zlib.crc32(values.contiguous().numpy().tobytes(), checksum)
    return checksum


class CachedMaps:
    """Score maps of clips, for rows.

    Args:
        paths: Path of the map of each clip, by the clip's path.
    """

    def __init__(self, paths: Mapping[str, Path]):
        self._paths = dict(paths)

    def has(self, clip: Clip) -> bool:
        """Tell whether there is a map of a clip."""
        return clip.path in self._paths

    def __call__(self, clip: Clip, times: Tensor, crop: Crop, shape: tuple[int, int]) -> Tensor:
        """Return the scores of what a row shows, float (T', rows, columns)."""
        scores = _read_map(self._paths[clip.path])
        return crop.of_map(scores.values, scores.times, times, shape)


class BoxMaps:
    """How much of each patch lies in a box, for rows.

    Args:
        boxes: Boxes of each clip that has some, by its path, as `match_boxes` returns them.
    """

    def __init__(self, boxes: Mapping[str, Boxes]):
        self._boxes = dict(boxes)

    def __call__(self, clip: Clip, times: Tensor, crop: Crop, shape: tuple[int, int]) -> Tensor:
        """Return the share of each patch in a box, float (T', rows, columns); zero for clips without boxes."""
        boxes = self._boxes.get(clip.path)
        return torch.zeros(len(times), *shape) if boxes is None else boxes.cover(times, crop, *shape)
