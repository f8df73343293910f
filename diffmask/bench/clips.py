"""Reading clips into rows in one process: against a plain decord loop with the same transform, and with score maps.

diffmask bench clips [CLIPS]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from diffmask.bench import IN_A_ROW, fastest
from diffmask.core.errors import InputError
from diffmask.demo.draw_clips import encode
from diffmask.video.clip.clip import Clip
from diffmask.video.read.dataset import ClipDataset, Sampling
from diffmask.video.read.readers import load_library
from diffmask.video.read.sampling import NUM_DRAWS
from diffmask.video.score.score_maps import CachedMaps, make_maps
from diffmask.video.units.grid import Grid

GRID = Grid(8, 14, 14, 2, 16)
STRIDE = 2
NUM_CLIPS, NUM_FRAMES, HEIGHT, WIDTH = 8, 64, 240, 320


def run(clips: Sequence[Clip], scratch: Path, *, rounds: int = 3) -> list[dict[str, Any]]:
    """Return one row per contender: milliseconds a clip, rows a second, and the ratio to the plain loop.

    All read the same frames and crops of the same clips in the same order, by decord, in one thread; their
    passes alternate.

    Args:
        clips: Clips to read.
        scratch: Folder for score maps.
        rounds: Number of rounds of three passes of each contender; the fastest pass counts.

    Raises:
        InputError: If decord is not installed, or reads none of the clips.
    """
    load_library("decord")
    read = [clip for clip in clips if clip.reader == "decord"]
    if not read:
        raise InputError(
            f"decord reads none of the {len(clips)} clips exactly, and the plain loop needs that; give other clips, "
            "or none at all to have some encoded"
        )
    clips, sampling = read, Sampling(GRID, stride=STRIDE)
    paths = make_maps(clips, _Brightness(), scratch)
    maps = {"score": CachedMaps({clip.path: path for clip, path in zip(clips, paths, strict=True) if path})}
    data = ClipDataset(clips, sampling)
    scored = ClipDataset(clips, sampling, maps=maps)
    places = [_place(data, row) for row in range(len(data))]
    contenders = {
        "decord loop": lambda: [_plain(place) for place in places],
        "diffmask, rows of clips": lambda: [data[row] for row in range(len(data))],
        "diffmask, with score maps": lambda: [scored[row] for row in range(len(scored))],
    }
    times = fastest(contenders, IN_A_ROW * rounds, in_a_row=1)
    return [
        {
            "name": name,
            "milliseconds": 1000 * seconds / len(clips),
            "rows_per_second": len(clips) / seconds,
            "ratio": times["decord loop"] / seconds,
        }
        for name, seconds in times.items()
    ]


class _Brightness:
    """A scorer whose maps cost nothing to make, since only reading them is timed."""

    key = "brightness"

    def score(self, frames: Tensor) -> Tensor:
        """Return the mean brightness of 14 x 14 parts of each frame."""
        grey = frames.float().mean(3)[:, None]
        return torch.nn.functional.adaptive_avg_pool2d(grey, (GRID.rows, GRID.columns))[:, 0]


@dataclass(frozen=True)
class _Place:
    """What a row shows of a clip: some frames, and a rectangle of them in pixels, possibly mirrored."""

    path: str
    indices: list[int]
    top: int
    left: int
    height: int
    width: int
    flip: bool


def _place(data: ClipDataset, row: int) -> _Place:
    """Return what the dataset draws for a row in its first pass, so that the plain loop need not draw it."""
    clip, draws = data.clips[row], data._draws(0, row)[0]
    height, width = clip.height, clip.width
    crop = data._crop(height, width, draws)
    top, left = round(crop.top * height), round(crop.left * width)
    down, across = max(1, round(crop.height * height)), max(1, round(crop.width * width))
    indices = data._indices(clip.num_frames, float(draws[NUM_DRAWS]), row)
    return _Place(clip.path, indices, top, left, down, across, crop.flip)


def _plain(place: _Place) -> Tensor:
    """Return a row as people write it by hand: decord, a crop from torchvision, no index, no retries."""
    import decord

    reader = decord.VideoReader(place.path, num_threads=1)
    frames = torch.from_numpy(reader.get_batch(place.indices).asnumpy()).permute(0, 3, 1, 2)
    at, size = (place.top, place.left, place.height, place.width), [GRID.rows * GRID.patch_size] * 2
    cropped = functional.resized_crop(frames, *at, size, antialias=True)
    return (functional.horizontal_flip(cropped) if place.flip else cropped).contiguous()


def make_clips(folder: Path) -> None:
    """Write clips of a soft picture that moves, of the size that data sets are often kept in."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(NUM_CLIPS):
        random = np.random.default_rng(number)
        slow, fast = random.uniform(0.02, 0.2, 2)
        frames = []
        for time in range(NUM_FRAMES):
            waves = np.sin(slow * (columns + 3 * time)) + np.sin(fast * (rows - 2 * time))
            noise = random.normal(0, 0.05, (HEIGHT, WIDTH))
            frames.append(np.stack([128 + 50 * (waves + noise) * (1 - 0.2 * c) for c in range(3)], 2).clip(0, 255))
        encode(np.stack(frames).astype(np.uint8), folder / f"clip-{number}.mp4")
