"""Probe every clip once, and record how it is read."""

import argparse

DESCRIPTION = """\
Probe every clip once, before anything is trained, and record in a small file which can be used and how each is
read. Clips are probed in processes of their own with a time limit, so no file can stop, hang or crash the run.

A clip is read by decord where decord gives exactly the frames that are in it, and by PyAV where it does not (edit
lists, transport streams, AV1, ...). A clip that is broken, cut short, empty or smaller than a patch is put aside with
its reason; the others are used.

A run that was stopped continues where it was, and a second run probes only files that are new or changed. CLIPS are
files, folders (with their subfolders), globs, or tables and lists that name clips, such as VideoMAE's train.csv. A
folder of numbered images and nothing else is a clip, of 3 frames a second unless a joined table has a column fps."""

EPILOG = """\
examples:
  diffmask index footage/ -o clips.parquet --num-processes 8
  diffmask index footage/ -o clips.parquet --join captions.csv --join labels.jsonl
  diffmask index --summary clips.parquet"""

_NUM_SHOWN = 8
_NUM_ROWS = 20
"""Clips listed that are not read by decord."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("clips", nargs="*", metavar="CLIPS", help="files, folders or globs of video, or tables and lists of them")
    add("-o", "--output", metavar="FILE", help="index to write or bring up to date (.parquet)")
    add(
        "--join",
        action="append",
        default=[],
        metavar="FILE",
        help="table (.csv, .tsv, .jsonl, .parquet) or list (lines such as 'path label') that names clips by path, file "
        "name or name, with their caption, label or split; may be given several times",
    )
    add("--num-processes", type=int, metavar="N", help="clips probed at once (default: all cores)")
    add(
        "--time-limit",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="for each clip; large ones get up to 20 times as long (default: 30)",
    )
    add(
        "--reader",
        default="auto",
        metavar="NAME",
        help="auto, or the only reader to use: decord, pyav, torchcodec (default: auto)",
    )
    add("--overwrite", action="store_true", help="probe all clips again and replace the index")
    add("--summary", metavar="INDEX", help="print what an index holds; nothing is probed")


def run(args: argparse.Namespace) -> None:
    """Probe, write, print what was found; or only print."""
    from diffmask.core.errors import InputError

    if args.summary is not None:
        if args.clips or args.output or args.join:
            raise InputError("--summary prints an index that is there; leave CLIPS, --output and --join out")
        _summarise(args.summary)
        return
    if not args.clips or not args.output:
        missing = "CLIPS" if not args.clips else "--output FILE"
        raise InputError(f"{missing} is missing; for example: diffmask index footage/ -o clips.parquet")
    _index(args)


def _index(args: argparse.Namespace) -> None:
    import time
    from collections import Counter

    from diffmask.core.processes import num_cores
    from diffmask.video.clip.find import list_videos
    from diffmask.video.clip.join_tables import join, names_clips
    from diffmask.video.index.index import Probing, check_output, check_reader, update_index, usable

    # before the work, not after it
    check_output(args.output, args.join)
    check_reader(args.reader)
    left_out: Counter[str] = Counter()
    paths = list_videos(args.clips, left_out)
    joins = [join(path, paths) for path in args.join]
    joins += [join(source, paths, required=False) for source in args.clips if names_clips(source)]
    start = time.perf_counter()
    num_processes = num_cores() if args.num_processes is None else args.num_processes
    probing = Probing(num_processes, args.time_limit, args.reader, progress=True)
    clips = update_index(args.output, paths, joins=joins, overwrite=args.overwrite, probing=probing)
    seconds = time.perf_counter() - start
    for joined in joins:
        print(joined.summary)
    _print(clips)
    if left_out:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in left_out.most_common())
        print(f"{left_out.total()} files of the folders are not named as videos ({counts}); name one to have it probed")
    print(f"wrote {args.output} ({len(clips)} clips in {seconds:.1f} s)")
    if not any(clip.is_ok for clip in clips):
        usable(clips, ", ".join(args.clips))


def _summarise(path: str) -> None:
    from diffmask.video.index.index import read_index, usable

    clips = read_index(path)
    _print(clips)
    if not any(clip.is_ok for clip in clips):
        usable(clips, path)


def _print(clips) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from diffmask.video.clip.clip import TOO_SLOW
    from diffmask.video.index.index import summarise

    summary, console = summarise(clips), Console()
    seconds = round(summary.hours * 3600)
    length = f"{summary.hours:,.1f} hours" if seconds >= 3600 else f"{seconds // 60} min {seconds % 60} s"
    console.print(
        f"{summary.num_clips:,} clips can be used: {length}, {summary.num_frames:,} frames; "
        f"{len(summary.aside):,} put aside",
        highlight=False,
    )
    facts = Table.grid(padding=(0, 2))
    for name, counts in summary.counts.items():
        most = [f"{value} ({count})" for value, count in counts.most_common(_NUM_SHOWN)]
        more = [f"{len(counts) - _NUM_SHOWN} more"] if len(counts) > _NUM_SHOWN else []
        facts.add_row(Text(name, "bold"), Text(", ".join(most + more)))
    console.print(facts)
    for why, chosen in summary.fallbacks.items():
        limit = " the time limit" if why == TOO_SLOW else ""
        _print_clips(console, f"{len(chosen)} read by PyAV, for decord {why}{limit}", chosen, _NUM_ROWS)
    if summary.aside:
        _print_clips(console, f"{len(summary.aside)} put aside", summary.aside, len(summary.aside))


def _print_clips(console, title: str, clips, num_rows: int) -> None:
    import os

    from rich.table import Table
    from rich.text import Text

    console.print(Text(title, "table.title"))  # as its title it would be wrapped to the width of the table
    table = Table(box=None, padding=(0, 2, 0, 0))
    for header in ("clip", "status", "why"):
        table.add_column(header, overflow="fold")
    for clip in clips[:num_rows]:
        table.add_row(*map(Text, (os.path.relpath(clip.path), clip.status, clip.reason)))
    console.print(table)
    if len(clips) > num_rows:
        console.print(f"... and {len(clips) - num_rows:,} more", highlight=False)
