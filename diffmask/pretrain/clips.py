"""The clips of a run: which are trained on, which are held out."""

import hashlib
from collections.abc import Sequence
from typing import Any

from diffmask.config import VideoConfig
from diffmask.core.errors import InputError
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import read_clips

_HEAD_BYTES = 1 << 16


def read_split(config: VideoConfig, *, progress: bool) -> tuple[list[Clip], list[Clip]]:
    """Return the clips to train on and those that are held out, chosen by their content.

    Raises:
        InputError: If there is no clip, or none is left to train on.
    """
    data = config.data
    training = _of_split(read_clips(data.train, progress=progress), "split", data.split)
    if data.eval:
        held_out = _of_split(read_clips(data.eval, progress=progress), "eval_split", data.eval_split)
        _check_apart(training, held_out)
        return training, held_out
    if data.eval_split is not None:
        raise InputError(
            f"data.eval_split={data.eval_split!r} is a split of data.eval, which is not given; give it too"
        )
    if not 0.0 <= data.eval_share < 1.0:
        raise InputError(f"data.eval_share={data.eval_share:g} is outside [0, 1); 0.05 holds out 5 % of the clips")
    held = {clip.path for clip in training if int.from_bytes(_content(clip)[:4]) < data.eval_share * 2**32}
    kept = [clip for clip in training if clip.path not in held]
    if not kept:
        raise InputError(
            f"data.eval_share={data.eval_share:g} leaves none of {len(training)} clips to train on; lower it"
        )
    return kept, [clip for clip in training if clip.path in held]


def _of_split(clips: list[Clip], setting: str, split: str | None) -> list[Clip]:
    if split is None:
        return clips
    found = [clip for clip in clips if clip.split == split]
    if not found:
        known = ", ".join(sorted({clip.split for clip in clips if clip.split}))
        given = known or "none; give the index splits with `diffmask index --join`"
        raise InputError(f"no clip is of data.{setting}={split!r}; the splits of the index: {given}")
    return found


def _check_apart(training: Sequence[Clip], held_out: Sequence[Clip]) -> None:
    """Refuse clips on both sides: a loss on what was trained on says nothing."""
    known = {_content(clip) for clip in training}
    both = [clip.path for clip in held_out if _content(clip) in known]
    if both:
        raise InputError(
            f"{len(both)} of {len(held_out)} clips of data.eval are trained on too, such as {both[0]}; give others, or "
            "set data.split and data.eval_split"
        )


def _content(clip: Clip) -> bytes:
    """Return 128 bits that the file's size and beginning decide, so that copies of a clip stand on one side."""
    try:
        with open(clip.path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        head = clip.path.encode()  # it is gone; reading it will say so
    return hashlib.blake2b(head + str(clip.size).encode(), digest_size=16).digest()


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
