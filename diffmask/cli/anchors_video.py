"""diffmask anchors, of clips: what is different in them, as texts, pictures or visual words."""

import argparse
import shlex
import sys
import time
from pathlib import Path

from diffmask.cli.anchors import given

_SETTINGS = ("embedder", "layer", "size", "num_words", "num_anchors", "num_frames", "reference", "device")


def run_video(args: argparse.Namespace) -> None:
    """Find, write, and print what was found and what to do next."""
    from diffmask.files.folders import check_folder
    from diffmask.video.anchors.anchor_set import NAMES
    from diffmask.video.anchors.contact_sheet import draw_sheet

    check_folder(args.output, "anchors", NAMES, overwrite=args.overwrite)
    start = time.perf_counter()
    found, patches = _keep(args) if args.anchors is not None else _build(args)
    found.save(args.output, draw_sheet(found, patches), overwrite=args.overwrite)
    print(summary(found))
    print(f"wrote {args.output} in {time.perf_counter() - start:.1f} s\n")
    folder = shlex.quote(args.output.rstrip("/"))
    print(f"next:\n  look:       {folder}/sheet.png")
    print(f"  edit:       drop rows of {folder}/anchors.csv, which count no more; to draw the sheet again:")
    print(f"              diffmask anchors {shlex.join(args.data)} --anchors {folder}/anchors.csv -o FOLDER")
    print(f"  preview:    diffmask preview {shlex.join(args.data)} --anchors {folder}")
    print(f"  train:      diffmask pretrain CONFIG masking.anchors={folder}")


def _build(args: argparse.Namespace):
    from diffmask.video.anchors.find import VisualAnchorSettings, build_visual_anchors
    from diffmask.video.score.embedders import parse_layer

    options = given(args, _SETTINGS)
    if "layer" in options:
        options["layer"] = parse_layer(options["layer"])
    settings = VisualAnchorSettings(clips=args.data, texts=args.text or (), exemplars=args.exemplar or (), **options)
    return build_visual_anchors(settings, "diffmask " + shlex.join(sys.argv[1:]), progress=True)


def _keep(args: argparse.Namespace):
    """Return the anchors of an edited table, and patches of the clips for the sheet."""
    from diffmask.core.errors import InputError
    from diffmask.video.anchors.find import load_visual_anchors
    from diffmask.video.anchors.visual_words import sample_patches
    from diffmask.video.index.index import read_clips

    table = Path(args.anchors)
    if not table.is_file():
        raise InputError(f"{table} does not exist; give an edited anchors.csv in a folder of anchors of clips")
    found = load_visual_anchors(table.parent, table)
    embedder = found.embedder(args.device)
    clips = read_clips(args.data, progress=True)
    patches = sample_patches(clips, embedder, progress=True, **given(args, ("num_frames",)))
    return found.fitted_to(patches.embeddings), patches


def summary(found) -> str:
    """Return the anchors as a table."""
    record = found.metadata
    reference = record["reference"]
    against = f"; reference of {reference['num_clips']:,} clips" if reference else ""
    width = max(12, *(len(name) for name in found.names))
    lines = [f"{record['num_clips']:,} clips, {record['num_patches']:,} patches{against}", ""]
    if not found.is_found:
        return "\n".join(
            [*lines, *(f"{name:{width}}  {row[1]}" for name, row in zip(found.names, found.rows, strict=True))]
        )
    lines.append(f"{'anchor':{width}}  {'patches':>8}  {'clips':>6}  {'share':>7}  {'in general':>10}  {'times':>8}")
    for name, _, tf_icf, count, num_clips, own, other in found.rows:
        lines.append(f"{name:{width}}  {count:8,}  {num_clips:6,}  {own:7.2%}  {other:10.2%}  {tf_icf:8,.1f}")
    return "\n".join(lines)
