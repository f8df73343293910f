"""Merging models of clips, and of clips with texts, with their originals."""

import json

import pytest
import torch
from safetensors.torch import load_file
from support.clip_files import clips_on_disk
from support.tiny import save_encoder
from support.tiny_video import tiny_videomae
from transformers import VideoMAEForPreTraining, VideoMAEImageProcessor

from diffmask.cli import main
from diffmask.config import (
    HeadConfig,
    TrainingConfig,
    VideoConfig,
    VideoDataConfig,
    VideoMaskingConfig,
    VideoTextConfig,
)
from diffmask.config.video_text import (
    CaptionMaskingConfig,
    ClipMaskingConfig,
    VideoTextDataConfig,
    VideoTextMaskingConfig,
)
from diffmask.pretrain import pretrain
from diffmask.video_text.model.load import load_video_text

TRAINING = TrainingConfig(
    steps=3, batch_size=4, learning_rate=1e-2, device="cpu", log_every=1, eval_every=3, save_every=0
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    _, paths = clips_on_disk(folder / "clips", 10)
    clips_on_disk(folder / "other", 3, square=False)
    tiny_videomae().save_pretrained(folder / "video")
    tiny_videomae().videomae.save_pretrained(folder / "encoder")
    save_encoder(folder / "text")
    lines = [{"clip": f"clips/{path.name}", "caption": f"the cell {number}"} for number, path in enumerate(paths)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def continued(world, model):
    data = VideoDataConfig(train=(str(world / "clips.parquet"),), stride=1, eval_share=0.3)
    config = VideoConfig(
        model=str(world / model),
        output=str(world / f"run-{model}"),
        data=data,
        masking=VideoMaskingConfig("random-tube"),
        head=HeadConfig(steps=2),
        training=TRAINING,
    )
    return pretrain(config, progress=False)


def last_loss(run):
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [entry["eval_loss"] for entry in log if "eval_loss" in entry][-1]


def merged(run, output, *options):
    assert main(["merge", str(run), "--device", "cpu", "-o", str(output), *map(str, options)]) == 0
    return json.loads((output / "frontier.json").read_text())


@pytest.mark.parametrize("model", ["video", "encoder"])
def test_a_model_of_clips_half_way_is_a_stock_model(world, tmp_path, model):
    outcome = continued(world, model)
    found = merged(
        outcome.folder, tmp_path / "m", "--share", 0, 0.5, 1, "--keep", 0.5, "--general", world / "other.parquet"
    )
    assert found["points"][-1]["domain_loss"] == pytest.approx(last_loss(outcome.folder), rel=1e-5)
    assert all(point["general_loss"] > 0 for point in found["points"])
    VideoMAEForPreTraining.from_pretrained(tmp_path / "m" / "model")
    VideoMAEImageProcessor.from_pretrained(tmp_path / "m" / "model")
    got, end = (load_file(each / "model.safetensors") for each in (tmp_path / "m" / "model", outcome.model))
    start = load_file(world / "video" / "model.safetensors")
    for name, value in got.items():
        half = (start[name] + end[name]) / 2 if model == "video" or name.startswith("videomae.") else end[name]
        assert torch.allclose(value, half, atol=1e-7), name


def test_a_model_of_clips_with_texts_merges(world, tmp_path):
    config = VideoTextConfig(
        model=str(world / "video"),
        text_model=str(world / "text"),
        output=str(world / "run-pairs"),
        data=VideoTextDataConfig(
            train=(str(world / "pairs.jsonl"),),
            clips=(str(world / "clips.parquet"),),
            eval_share=0.3,
            cache=str(world / "cache"),
        ),
        masking=VideoTextMaskingConfig(text=CaptionMaskingConfig("whole-word"), video=ClipMaskingConfig("random-tube")),
        training=TRAINING,
    )
    outcome = pretrain(config, progress=False)
    found = merged(outcome.folder, tmp_path / "merged", "--share", 0, 1, "--keep", 1)
    assert found["points"][-1]["domain_loss"] == pytest.approx(last_loss(outcome.folder), rel=1e-5)
    got, end = (
        load_video_text(str(each)).model.state_dict() for each in (tmp_path / "merged" / "model", outcome.model)
    )
    assert got.keys() == end.keys()
    assert all(torch.equal(got[name], end[name]) for name in got)
