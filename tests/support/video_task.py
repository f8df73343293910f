"""A task of clips that a tiny model learns: a clip is red or blue, whatever moves in it."""

from pathlib import Path

import numpy as np

from diffmask.video.clip import Clip
from diffmask.video.index import write_index
from diffmask.video.render import encode

COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200)}
NUM_FRAMES = 10


def draw(label, seed):
    """Return frames of noise in a colour, with a white square that moves, uint8 (T, 32, 32, 3)."""
    random = np.random.default_rng(seed)
    frames = np.array(COLOURS[label]) + random.integers(-30, 30, (NUM_FRAMES, 32, 32, 1))
    top, left = random.integers(0, 20, 2)
    for number in range(NUM_FRAMES):
        frames[number, top : top + 8, (left + number) % 24 : (left + number) % 24 + 8] = 240
    return frames.clip(0, 255).astype(np.uint8)


def as_clip(path, label=None, split=None, **changes):
    """Return a clip as the index would, without probing it."""
    found = path.stat()
    facts = {"reader": "pyav", "num_frames": NUM_FRAMES, "fps": 12.0, "width": 32, "height": 32, "codec": "h264"}
    facts |= {"size": found.st_size, "mtime": found.st_mtime, "label": label, "split": split}
    return Clip(str(path), "ok", **(facts | changes))


def make_clips(folder, splits=(("train", 12), ("dev", 4), ("test", 6)), seed=0):
    """Encode clips, and return them as an index would hold them."""
    clips = []
    Path(folder).mkdir(parents=True)
    for split, number in splits:
        for place in range(number):
            label = list(COLOURS)[place % 2]
            path = Path(folder) / f"{split}-{place}.mp4"
            encode(draw(label, [seed, len(clips)]), path)
            clips.append(as_clip(path, label, split))
    return clips


def write_task(path, clips):
    """Write an index and return its path."""
    write_index(path, clips)
    return str(path)
