"""Two groups of small clips that differ in one thing: a striped square, which moves over blots."""

import torch

from diffmask.video.index import read_clips, write_index
from diffmask.video.render import encode
from support.tiny_clip import clutter


def stripes(seed):
    """Return a clip of smooth blots with a striped square that moves, uint8 (T, SIZE, SIZE, 3), and without it."""
    generator = torch.Generator().manual_seed(seed)
    ground = (clutter(1, generator)[0] * 180).byte().permute(1, 2, 0)
    frames = ground.repeat(8, 1, 1, 1)
    square = ((torch.arange(24) // 3) % 2 * 200 + 40).byte()[None, :, None].expand(24, 24, 3)
    with_square = frames.clone()
    for frame in range(8):
        with_square[frame, 8 + 2 * frame : 32 + 2 * frame, 16:40] = square
    return with_square, frames


def write_groups(folder):
    """Write the clips with the square to `domain` and others without it to `general`, three each, and their indexes."""
    for name, first in (("domain", 0), ("general", 10)):
        (folder / name).mkdir()
        for number in range(3):
            frames = stripes(first + number)[name == "general"]
            encode(frames.numpy(), folder / name / f"{number}.mp4")
        write_index(folder / f"{name}.parquet", read_clips(folder / name))
    return folder
