"""What an index holds, in numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from diffmask.video.clip.clip import Clip


@dataclass(frozen=True)
class Summary:
    """Numbers of the clips that can be used, and those that cannot."""

    num_clips: int
    hours: float
    num_frames: int
    counts: dict[str, Counter[str]]
    """How many have each size, codec, rate, reader, turn and edit list; and how many have captions, labels, splits."""
    aside: list[Clip]
    """Clips that were put aside."""
    fallbacks: dict[str, list[Clip]]
    """Clips that are not read by decord, the reader of first choice, by why (see `Clip.why_not_decord`)."""


def summarise(clips: Sequence[Clip]) -> Summary:
    """Return what clips hold."""
    good = [clip for clip in clips if clip.is_ok]
    fallbacks: dict[str, list[Clip]] = {}
    for clip in good:
        if clip.why_not_decord:
            fallbacks.setdefault(clip.why_not_decord, []).append(clip)
    counts = {
        "size": Counter(f"{clip.width}x{clip.height}" for clip in good),
        "codec": Counter(clip.codec for clip in good),
        "fps": Counter(f"{clip.fps:.2f}".rstrip("0").rstrip(".") for clip in good),
        "reader": Counter(clip.reader for clip in good),
        "rotation": Counter(f"{clip.rotation} degrees" for clip in good if clip.rotation),
        "edit list": Counter("hides frames" for clip in good if clip.edit_list),
        "caption": Counter("with a caption" for clip in good if clip.caption),
        "label": Counter(clip.label for clip in good if clip.label),
        "split": Counter(clip.split for clip in good if clip.split),
    }
    return Summary(
        num_clips=len(good),
        hours=sum(clip.duration for clip in good) / 3600,
        num_frames=sum(clip.num_frames for clip in good),
        counts={name: count for name, count in counts.items() if count},
        aside=[clip for clip in clips if not clip.is_ok],
        fallbacks=fallbacks,
    )
