"""What is in a file of video, and which reader reads it correctly. It may hang or crash: see `probe_all`.

First the container is read: its packets and their times. Then PyAV decodes the frames in order, which no reader gets
wrong; their times say how a frame can be found without decoding all before it. A reader is right if it gives the same
frames when it is asked for some of them here and there, as training does.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace

import av
import av.error

from diffmask.video.clip.clip import OK, Clip, ReadError
from diffmask.video.clip.frames import is_frame_folder
from diffmask.video.index.compare_readers import Reference
from diffmask.video.index.contents import (
    MIN_SIDE,
    WHOLE_PIXELS,
    Contents,
    Unusable,
    is_mp4_without_table,
    read_contents,
)
from diffmask.video.index.examine_frames import examine_frames
from diffmask.video.read.read_pyav import PyAVSource, reason_of

_TOLERANCE = 0.2
"""How far from its place at a steady rate a frame may be shown, in frames: containers round times."""


def _find_timing(clip: Clip, times: Sequence[int | None], contents: Contents) -> Clip:
    """Return a clip with its rate, its length and how PyAV finds a frame.

    Args:
        clip: The clip.
        times: When each frame is shown, in units of the stream, in the order of decoding.
        contents: What the container says of it.
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


_HEAD_BYTES = 1 << 16


def examine(path: str, reader: str = "auto") -> Iterator[Clip]:
    """Yield what is known of a file, more each time; the last one counts, also when a later step hangs or crashes.

    A clip without a reader has no verdict yet.

    Args:
        path: The file.
        reader: The only reader to try, or "auto".
    """
    try:
        if is_frame_folder(path):
            yield from examine_frames(path)
            return
        clip = _check_file(path)
        yield clip
        try:
            contents = read_contents(path)
        except (OSError, av.error.FFmpegError) as error:
            raise Unusable("unreadable", _why_unreadable(path, reason_of(error))) from error
        clip = replace(clip, **contents.facts())
        yield clip
        clip, reference = _read_frames(clip, contents)
        yield from _choose_reader(clip, contents, reference, reader)
    except Unusable as refusal:
        yield replace(refusal.clip or Clip.of_file(path), status=refusal.status, reason=refusal.reason)


def _check_file(path: str) -> Clip:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            what = "folder" if stat.S_ISDIR(status.st_mode) else "pipe or a device"
            raise Unusable("not-a-file", f"it is a {what}, not a file")
        if status.st_size == 0:
            raise Unusable("empty", "the file is empty (0 bytes)")
        with open(path, "rb"):
            return Clip(path, OK, size=status.st_size, mtime=status.st_mtime)
    except PermissionError as error:
        raise Unusable("no-permission", "the file may not be read (permission denied)") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Unusable("missing", "the file is not there") from error


def _why_unreadable(path: str, reason: str) -> str:
    if is_mp4_without_table(path):
        return "it has no table of frames (the box 'moov' of an MP4), as a file that was cut short"
    with open(path, "rb") as file:
        is_text = not any(byte < ord("\t") for byte in file.read(_HEAD_BYTES))
    if is_text:
        return "it holds text, not video"
    return f"FFmpeg finds no video in it ({reason})"


def _read_frames(clip: Clip, contents: Contents) -> tuple[Clip, Reference]:
    """Decode a clip, or places of it, and return it with the frames that readers must give."""
    if min(clip.width, clip.height) < MIN_SIDE:
        reason = f"its frames are {clip.width}x{clip.height}; the smaller side must have at least {MIN_SIDE} pixels"
        raise Unusable("too-small", reason, clip)
    if contents.is_cut_short:
        declared = f" of {contents.num_declared}" if contents.num_declared else ""
        raise Unusable("corrupt", f"the file was cut short after {contents.num_packets}{declared} frames", clip)
    reference = Reference(contents.num_packets, contents.key_frames, contents.orientation)
    if contents.num_packets * clip.width * clip.height > WHOLE_PIXELS and contents.times:
        clip = _find_timing(clip, contents.times, contents)
        try:
            source = PyAVSource(clip)
            for place in reference.places:
                reference.add(place, source.frames([place])[0])
            source.close()
        except ReadError as error:
            raise Unusable("corrupt", f"a part of it cannot be decoded ({error.reason})", clip) from error
        return clip, reference
    times, failure = reference.decode(clip.path)
    clip = replace(clip, num_frames=len(times))
    if failure:
        decoded = f"{len(times)} of {contents.num_declared or contents.num_packets} frames can be decoded"
        raise Unusable("corrupt", f"{decoded} ({failure})", clip)
    if reference.num_damaged:
        raise Unusable("corrupt", f"{reference.num_damaged} of {len(times)} frames are damaged", clip)
    if not times:
        raise Unusable("no-video", "no frame of its video can be decoded", clip)
    clip = _find_timing(clip, times, contents)
    # from a frame that only the container calls a key frame, nothing can be decoded
    return clip if contents.key_times <= reference.key_times else replace(clip, seeking="count"), reference


def _why_not_trusted(clip: Clip, contents: Contents, reader: str) -> str:
    """Return why a reader other than PyAV may be wrong where it was not asked, as the rest of a sentence; or ""."""
    if clip.seeking == "count":
        return "would look for frames by time stamps and key frames, and some of these are missing or wrong"
    if reader == "decord" and clip.mirrored:
        return "does not mirror frames"
    if reader == "decord" and not contents.has_index:
        return "finds frames by an index, which this container does not have"
    if reader == "decord" and contents.is_reordered and not contents.has_times:
        return "finds frames by when they are shown, which this container does not say"
    if reader == "decord" and not contents.has_plain_keys:
        return "counts frames from key frames, and frames before and after some of these are mixed"
    return ""


def _choose_reader(clip: Clip, contents: Contents, reference: Reference, reader: str) -> Iterator[Clip]:
    """Yield the clip with PyAV, which is right in any case, then with the reader to use."""
    if clip.seeking != "count" and reference.disagreement(clip, "pyav"):
        clip = replace(clip, seeking="count")
    if reader in ("auto", "pyav"):
        clip = replace(clip, reader="pyav")
        yield clip
    if reader == "pyav":
        return
    wanted = "decord" if reader == "auto" else reader
    wrong = reference.disagreement(clip, wanted) or _why_not_trusted(clip, contents, wanted)
    if not wrong:
        yield replace(clip, reader=wanted, reason="")
    elif reader == "auto":
        yield replace(clip, reason=f"decord {wrong}")
    else:
        yield replace(clip, status="wrong-frames", reason=f"{wanted} {wrong}; index it with --reader auto")
