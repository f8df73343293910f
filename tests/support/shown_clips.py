"""Clips, a tiny model and anchors on disk, for commands that show what is hidden."""

import os

import yaml
from PIL import Image

from diffmask.video.anchors import VisualAnchorSettings, build_visual_anchors
from diffmask.video.clip import Clip
from diffmask.video.index import write_index
from support.clip_files import NUM_FRAMES, SIDE, draw_clip
from support.tiny_video import tiny_videomae

EVIL = "<script>alert('clip')<'script>"


def make_world(folder, count=5):
    """Write clips with an index, one of which has a name and a caption that are scripts; boxes; a model; anchors."""
    clips = []
    (folder / "clips").mkdir()
    for number in range(count):
        path = draw_clip(folder / "clips" / f"{EVIL if number == 0 else f'clip-{number}'}.mp4", number)
        clips.append(clip_of(path, caption=EVIL if number == 0 else None))
    write_index(folder / "clips.parquet", clips)
    boxes = "".join(f"{os.path.basename(clip.path)},0,8,8,40,24\n" for clip in clips)
    (folder / "boxes.csv").write_text("clip,frame,x1,y1,x2,y2\n" + boxes)
    tiny_videomae().save_pretrained(folder / "model")
    Image.new("RGB", (16, 16), (240, 200, 40)).save(folder / "square.png")
    settings = VisualAnchorSettings(
        clips=[str(folder / "clips.parquet")], exemplars=[str(folder / "square.png")], num_words=8, size=48
    )
    anchors, _ = build_visual_anchors(settings)
    anchors.save(folder / "anchors", Image.new("RGB", (8, 8)))
    return folder


def clip_of(path, **more):
    """Return a clip as an index would have it, without the probe's process."""
    status = os.stat(path)
    return Clip(
        str(path), "ok", reader="pyav", num_frames=NUM_FRAMES, fps=10.0, duration=NUM_FRAMES / 10, width=SIDE,
        height=SIDE, codec="h264", size=status.st_size, mtime=status.st_mtime, seeking="rate", **more,
    )  # fmt: skip


def write_config(world, name, *, training=None, target=None, **masking):
    """Write the config of a short run; return its path."""
    settings = {
        "modality": "video",
        "model": str(world / "model"),
        "output": str(world / name),
        "data": {
            "train": [str(world / "clips.parquet")],
            "eval_share": 0.5,
            "stride": 1,
            "cache": str(world / "cache"),
        },
        "masking": {"policy": "random-tube", "ratio": 0.75} | masking,
        "target": target or {},
        "head": {"steps": 2},
        "training": {
            "steps": 4,
            "batch_size": 2,
            "eval_every": 2,
            "save_every": 2,
            "log_every": 1,
            "device": "cpu",
        }
        | (training or {}),
    }
    path = world / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path
