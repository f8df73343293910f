"""When the frames of a clip are shown, and so how one of them can be found without decoding all before it."""

from collections.abc import Sequence
from dataclasses import replace

from diffmask.video.clip.clip import Clip
from diffmask.video.index.contents import Contents

_TOLERANCE = 0.2
"""Of a frame's time: how far from its place at a steady rate a frame may be shown; containers round times."""


def find_timing(clip: Clip, times: Sequence[int | None], contents: Contents) -> Clip:
    """Return a clip with its rate, its length and how PyAV finds a frame.

    Args:
        clip: The clip.
        times: When each frame is shown, in units of the stream, in the order of decoding.
        contents: What the container says.
    """
    known = [time for time in times if time is not None]
    num_frames = len(times)
    declared = contents.rates[0] if contents.rates else 0.0
    if len(known) < num_frames or any(after <= before for before, after in zip(known, known[1:], strict=False)):
        duration = num_frames / declared if declared else 0.0
        return replace(clip, num_frames=num_frames, fps=declared, duration=duration, seeking="count")
    seconds = [time * contents.unit for time in known]
    measured = (num_frames - 1) / (seconds[-1] - seconds[0]) if num_frames > 1 else declared
    steady = next((rate for rate in (*contents.rates, measured) if _is_steady(seconds, rate)), None)
    in_table = "table" if known == contents.times else "count"
    fps = steady or measured
    return replace(
        clip,
        num_frames=num_frames,
        fps=fps,
        duration=seconds[-1] - seconds[0] + (1 / fps if fps else 0.0),
        first_pts=seconds[0],
        seeking="rate" if steady else in_table,
    )


def _is_steady(seconds: Sequence[float], rate: float) -> bool:
    if not rate:
        return False
    return all(abs(time - seconds[0] - index / rate) * rate < _TOLERANCE for index, time in enumerate(seconds))
