"""Clips with captions, tiny models and anchors on disk, for commands that show what is hidden."""

import json

from PIL import Image

from diffmask.video.index.index import write_index
from diffmask.video_text.anchors.find import PairAnchorSettings, build_pair_anchors
from support.clip_files import draw_clip
from support.shown_clips import EVIL, clip_of
from support.tiny import save_encoder
from support.tiny_video_text import save_whole, tiny_video_text

TEXTS = ["the kinase binds a protein in blood", "a rat was found", f"the cell {EVIL}", "we found the kinase in a cell"]


def make_pairs(folder):
    """Write clips, captions of them of which one holds a script, a model of both, a language model, and anchors."""
    (folder / "clips").mkdir()
    clips = [clip_of(draw_clip(folder / "clips" / f"{number}.mp4", number)) for number in range(4)]
    write_index(folder / "clips.parquet", clips)
    rows = [{"path": f"{number}.mp4", "caption": text} for number, text in enumerate(TEXTS)]
    rows.append({"path": "0.mp4", "caption": "the dose", "start": 0.2, "end": 0.9})
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    save_whole(tiny_video_text(), folder / "model")
    save_encoder(folder / "text-model")
    Image.new("RGB", (16, 16), (240, 200, 40)).save(folder / "square.png")
    settings = PairAnchorSettings(
        [str(folder / "pairs.jsonl")],
        model=str(folder / "text-model"),
        exemplars=[str(folder / "square.png")],
        num_anchors=2,
        min_count=2,
        size=48,
        num_words=8,
    )
    found, _ = build_pair_anchors(settings, TEXTS, clips)
    found.save(folder / "anchors", Image.new("RGB", (8, 8)))
    return folder
