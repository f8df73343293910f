"""Reading clips into rows, one process: against a plain decord loop with the same transform, and with score maps.

diffmask bench clips [CLIPS]
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from diffmask.bench.timing import fastest
from diffmask.video.clip import Clip
from diffmask.video.dataset import ClipDataset, Sampling
from diffmask.video.grid import Grid
from diffmask.video.maps import make_maps
from diffmask.video.render import encode
from diffmask.video.row_maps import CachedMaps

GRID = Grid(8, 14, 14, 2, 16)
STRIDE = 2
NUM_CLIPS, NUM_FRAMES, HEIGHT, WIDTH = 8, 64, 240, 320


def run(clips: Sequence[Clip], scratch: Path, *, rounds: int = 3) -> list[dict[str, Any]]:
    """Return one row per contender: milliseconds a clip, rows a second, and the ratio to the plain loop.

    All take 16 frames of 224 pixels of the same places of the same clips, by decord, in one thread.

    Args:
        clips: What is read.
        scratch: Folder for score maps.
        rounds: Turns of each contender; the fastest run counts.
    """
    clips = [clip for clip in clips if clip.reader == "decord"]
    sampling = Sampling(GRID, stride=STRIDE)
    paths = make_maps(clips, _Brightness(), scratch)
    maps = {"score": CachedMaps({clip.path: path for clip, path in zip(clips, paths, strict=True) if path})}
    data = ClipDataset(clips, sampling)
    scored = ClipDataset(clips, sampling, maps=maps)
    contenders = {
        "decord loop": lambda: [_plain(clip) for clip in clips],
        "diffmask, rows of clips": lambda: [data[row] for row in range(len(data))],
        "diffmask, with score maps": lambda: [scored[row] for row in range(len(scored))],
    }
    times = fastest(contenders, rounds)
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
    """A scorer whose maps cost nothing to make; how they are read is what counts."""

    key = "brightness"

    def score(self, frames: Tensor) -> Tensor:
        """Return the mean brightness of 14 x 14 parts of each frame."""
        grey = frames.float().mean(3)[:, None]
        return torch.nn.functional.adaptive_avg_pool2d(grey, (GRID.rows, GRID.columns))[:, 0]


def _plain(clip: Clip) -> Tensor:
    """Return a row as people write it by hand: decord, a crop from torchvision, no index, no retries."""
    import decord

    reader = decord.VideoReader(clip.path, num_threads=1)
    indices = [min(place * STRIDE, len(reader) - 1) for place in range(GRID.num_frames)]
    frames = torch.from_numpy(reader.get_batch(indices).asnumpy()).permute(0, 3, 1, 2)
    height, width = frames.shape[2:]
    side = round(math.sqrt(0.75) * min(height, width))
    size = [GRID.rows * GRID.patch_size] * 2
    cropped = functional.resized_crop(frames, 0, 0, side, side, size, antialias=True)
    return functional.horizontal_flip(cropped).contiguous()


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
