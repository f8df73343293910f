"""The clips of a run: which are trained on, which are held out."""

import hashlib
from collections.abc import Sequence
from typing import Any

from diffmask.config import VideoConfig
from diffmask.core.errors import InputError
from diffmask.video.clip import Clip
from diffmask.video.index import read_clips

_HEAD_BYTES = 1 << 16


def read_split(config: VideoConfig, *, progress: bool) -> tuple[list[Clip], list[Clip]]:
    """Return the clips to train on and those that are held out, chosen by their content.

    Raises:
        InputError: If there is no clip, or none is left to train on.
    """
    data = config.data
    training = read_clips(data.train, progress=progress)
    if data.split is not None:
        known = sorted({clip.split for clip in training if clip.split})
        training = [clip for clip in training if clip.split == data.split]
        if not training:
            given = ", ".join(known) or "none; give the index splits with `diffmask index --join`"
            raise InputError(f"no clip of data.train is of data.split={data.split!r}; its splits: {given}")
    if data.eval:
        return training, read_clips(data.eval, progress=progress)
    if not 0.0 <= data.eval_share < 1.0:
        raise InputError(f"data.eval_share={data.eval_share:g} is outside [0, 1); 0.05 holds out 5 % of the clips")
    held = {clip.path for clip in training if _content(clip) < data.eval_share * 2**32}
    kept = [clip for clip in training if clip.path not in held]
    if not kept:
        raise InputError(
            f"data.eval_share={data.eval_share:g} leaves none of {len(training)} clips to train on; lower it"
        )
    return kept, [clip for clip in training if clip.path in held]


def _content(clip: Clip) -> int:
    """Return 32 bits that the file's size and beginning decide, so that copies of a clip stand on one side."""
    try:
        with open(clip.path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        head = clip.path.encode()  # it is gone; reading it will say so
    return int.from_bytes(hashlib.blake2b(head + str(clip.size).encode(), digest_size=4).digest())


def describe_clips(clips: Sequence[Clip]) -> dict[str, Any]:
    """Return how many clips there are, and a hash of what they are."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.path}\0{clip.size}\0{clip.mtime}\n".encode())
    return {
        "number": len(clips),
        "hours": round(sum(clip.duration for clip in clips) / 3600, 3),
        "hash": digest.hexdigest(),
    }
