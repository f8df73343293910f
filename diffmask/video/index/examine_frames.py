"""What is in a folder of images: `examine` for frames that somebody has taken out of a video."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from diffmask.video.clip.clip import OK, Clip, ReadError
from diffmask.video.clip.frames import FRAME_RATE, FRAMES, image_files, state_of
from diffmask.video.index.contents import MIN_SIDE, WHOLE_PIXELS, Unusable
from diffmask.video.read.read_frames import read_image

_NUM_DECODED = 16
"""Images of a large folder that are decoded, evenly from the first to the last."""


def examine_frames(path: str) -> Iterator[Clip]:
    """Yield what is known of a folder, more each time, as `examine` does.

    Raises:
        Unusable: If it cannot be used.
    """
    try:
        files = image_files(path)
        size, mtime = state_of(path)
    except PermissionError as error:
        raise Unusable("no-permission", "the folder may not be read (permission denied)") from error
    clip = Clip(path, OK, size=size, mtime=mtime)
    first = _decode(clip, files[0][1])
    height, width = first.shape[:2]
    clip = replace(
        clip, num_frames=len(files), fps=FRAME_RATE, duration=len(files) / FRAME_RATE, width=width, height=height,
        codec=Path(files[0][1]).suffix[1:].lower(), seeking="rate",
    )  # fmt: skip
    yield clip
    if min(width, height) < MIN_SIDE:
        reason = f"its frames are {width}x{height}; the smaller side must have at least {MIN_SIDE} pixels"
        raise Unusable("too-small", reason, clip)
    _check_numbers(clip, files)
    is_large = len(files) * width * height > WHOLE_PIXELS
    places = range(0, len(files), max(1, len(files) // _NUM_DECODED)) if is_large else range(len(files))
    for place in places:
        image = _decode(clip, files[place][1])
        if image.shape != first.shape:
            sizes = f"{width}x{height}, and {image.shape[1]}x{image.shape[0]} ({Path(files[place][1]).name})"
            raise Unusable("mixed-sizes", f"its images are of several sizes: {sizes}", clip)
    yield replace(clip, reader=FRAMES)


def _decode(clip: Clip, file: str):
    try:
        return read_image(file)
    except ReadError as error:
        raise Unusable("corrupt", f"{Path(file).name}: {error.reason}", clip) from error


def _check_numbers(clip: Clip, files: Sequence[tuple[int, str]]) -> None:
    """Refuse a folder of which images are missing, since all after them would be shown too early."""
    steps = {after - before for (before, _), (after, _) in pairwise(files)}
    if len(steps) > 1:
        least = min(steps)
        before, after = next((one, other) for (one, _), (other, _) in pairwise(files) if other - one != least)
        raise Unusable("corrupt", f"images are missing: {before} is followed by {after}", clip)
