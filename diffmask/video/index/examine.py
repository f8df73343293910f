"""What is in a file of video and who reads it right. Meant for a process that may hang or crash: see `probe`.

PyAV decodes the frames in order, which nothing can get wrong; a reader is right if it gives the same frames when it
is asked for some of them here and there, as training does.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import replace

import av.error

from diffmask.video.clip.clip import OK, Clip, ReadError
from diffmask.video.index.compare_readers import Reference, choose_places, disagreement
from diffmask.video.index.contents import Contents, Unusable, is_mp4_without_table, read_contents
from diffmask.video.read.read_pyav import PyAVSource, reason_of
from diffmask.video.read.timing import find_timing

_HEAD_BYTES = 1 << 16
MIN_SIDE = 16
"""The smaller side of a clip must hold a patch."""
_WHOLE_PIXELS = 2_000_000_000
"""Clips of more pixels, about two minutes of 360 lines at 30 frames a second, are decoded here and there only."""


def examine(path: str, reader: str = "auto") -> Iterator[Clip]:
    """Yield what is known of a file, better known each time: the last one that comes is what counts.

    Args:
        path: The file.
        reader: The only reader to try, or "auto".
    """
    try:
        found = _check_file(path)
        try:
            contents = read_contents(path)
        except (OSError, av.error.FFmpegError) as error:
            raise Unusable("unreadable", _why_unreadable(path, reason_of(error))) from error
        clip, reference = _read_frames(replace(found, **contents.facts()), contents)
        yield from _choose_reader(clip, reference, reader)
    except Unusable as refusal:
        yield replace(refusal.found or found_of(path), status=refusal.status, reason=refusal.reason)


def found_of(path: str) -> Clip:
    """Return what the file system knows of a file."""
    try:
        status = os.stat(path)
    except OSError:
        return Clip(path, "missing")
    return Clip(path, "unreadable", size=status.st_size, mtime=status.st_mtime)


def _check_file(path: str) -> Clip:
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            what = "folder" if stat.S_ISDIR(found.st_mode) else "pipe or a device"
            raise Unusable("not-a-file", f"it is a {what}, not a file")
        if found.st_size == 0:
            raise Unusable("empty", "the file is empty (0 bytes)")
        with open(path, "rb"):
            return Clip(path, OK, size=found.st_size, mtime=found.st_mtime)
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
    """Decode the clip, or places of it, and return it with what readers must agree with."""
    if min(clip.width, clip.height) < MIN_SIDE:
        reason = f"its frames are {clip.width}x{clip.height}; the smaller side must have at least {MIN_SIDE} pixels"
        raise Unusable("too-small", reason, clip)
    if contents.is_cut_short:
        count = f"{contents.num_packets} of {contents.num_declared}" if contents.num_declared else contents.num_packets
        raise Unusable("corrupt", f"the file was cut short after {count} frames", clip)
    reference = Reference(choose_places(contents.num_packets, contents.key_frames), clip.rotation)
    if contents.num_packets * clip.width * clip.height > _WHOLE_PIXELS and contents.times:
        clip = find_timing(clip, contents.times, contents)
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
    return find_timing(clip, times, contents), reference


def _choose_reader(clip: Clip, reference: Reference, reader: str) -> Iterator[Clip]:
    """Yield the clip with the reader that is known to be right so far, then with the one to use."""
    if reader in ("auto", "pyav"):
        if clip.seeking != "count" and disagreement(clip, "pyav", reference):
            clip = replace(clip, seeking="count")
        clip = replace(clip, reader="pyav")
        yield clip
    if reader == "pyav":
        return
    wanted = "decord" if reader == "auto" else reader
    wrong = disagreement(clip, wanted, reference)
    if not wrong:
        yield replace(clip, reader=wanted, reason="")
    elif reader == "auto":
        yield replace(clip, reason=f"decord {wrong}")
    else:
        yield replace(clip, status="wrong-frames", reason=f"{wanted} {wrong}; index it with --reader auto")
