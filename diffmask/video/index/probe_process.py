"""The process that probes files one after the other, each in a fork of its own: it loads the libraries once.

It reads a request, a line of JSON, and writes its answer, another one, until nobody asks: see `probe`.
"""

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import av  # noqa: F401 - loaded here, so that no fork has to

from diffmask.video.clip.clip import OK, TOO_SLOW, Clip
from diffmask.video.index.examine import examine, found_of
from diffmask.video.index.probe import run_isolated
from diffmask.video.read.read_torchcodec import load_decoder


def _main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks answers Ctrl-C
    with contextlib.suppress(ImportError, OSError):  # where it is not there, each clip says so in its reason
        import decord  # noqa: F401
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_answer(**request).to_row()), flush=True)


def _answer(path: str, time_limit: float, reader: str) -> Clip:
    if reader == "torchcodec":
        load_decoder()  # once, for it is slow
    outcome = run_isolated(partial(_rows, path, reader), time_limit, sys.stdin.fileno())
    if outcome.stopped_by == "abandoned":
        sys.exit(1)
    clip = Clip.from_row(outcome.last) if outcome.last else found_of(path)
    if not outcome.stopped_by and not outcome.error:
        return clip
    is_late = outcome.stopped_by == "timeout"
    what = f"{TOO_SLOW} {time_limit:g} s" if is_late else f"crashed ({outcome.stopped_by})"
    if clip.status == OK and clip.reader and reader == "auto":  # PyAV was done with it
        return clip.with_reason(f"decord failed ({outcome.error})" if outcome.error else f"decord {what}")
    if outcome.error:
        return clip.put_aside("unreadable", f"reading it failed ({outcome.error})")
    who = "probing it" if is_late else "the decoder"
    return clip.put_aside("timeout" if is_late else "crashed", f"{who} {what}")


def _rows(path: str, reader: str) -> Iterator[dict[str, Any]]:
    for clip in examine(path, reader):
        yield clip.to_row()


if __name__ == "__main__":
    _main()
