"""Whole runs on video: real files, real decoders, a tiny VideoMAE."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.clip_files import clips_on_disk
from support.processes import run_module
from support.tiny_video import tiny_videomae, tiny_vit_mae
from transformers import VideoMAEForPreTraining, VideoMAEModel

from diffmask.assemble.modality import resolve
from diffmask.config import (
    HeadConfig,
    ScheduleConfig,
    TargetConfig,
    TrainingConfig,
    VideoConfig,
    VideoDataConfig,
    VideoMaskingConfig,
    to_mapping,
)
from diffmask.core.errors import InputError
from diffmask.pretrain import pretrain
from diffmask.video.anchors.contact_sheet import draw_sheet
from diffmask.video.anchors.find import VisualAnchorSettings, build_visual_anchors


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    index, paths = clips_on_disk(folder / "clips", 12)
    tiny_videomae().save_pretrained(folder / "model")
    tiny_videomae().videomae.save_pretrained(folder / "encoder")
    tiny_vit_mae().save_pretrained(folder / "image-model")
    tiny_vit_mae().vit.save_pretrained(folder / "image-encoder")
    boxes = folder / "boxes.csv"
    boxes.write_text("clip,frame,x1,y1,x2,y2\n" + "".join(f"{path.name},0,8,8,40,24\n" for path in paths))
    other, _ = clips_on_disk(folder / "other", 6, square=False)
    for name, embedder, size in (("anchors", "pixels", 64), ("student-anchors", f"student:{folder / 'model'}", None)):
        settings = VisualAnchorSettings(
            clips=[str(index)], reference=[str(other)], embedder=embedder, num_words=16, size=size, device="cpu"
        )
        anchors, patches = build_visual_anchors(settings)
        anchors.save(folder / name, draw_sheet(anchors, patches))
    return folder


TRAINING = TrainingConfig(
    steps=4, batch_size=4, learning_rate=1e-3, device="cpu", log_every=1, eval_every=2, save_every=0
)


def config_for(world, output, *, model="model", data=None, masking=None, training=None, **settings):
    return VideoConfig(
        model=str(world / model),
        output=str(output),
        data=VideoDataConfig(
            **({"train": (str(world / "clips.parquet"),), "stride": 1, "eval_share": 0.3} | (data or {}))
        ),
        masking=VideoMaskingConfig(**({"policy": "random-tube"} | (masking or {}))),
        training=replace(TRAINING, **(training or {})),
        **settings,
    )


def log_of(folder):
    return [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]


def weights_of(outcome):
    return load_file(outcome.model / "model.safetensors")


def run(world, output, **settings):
    return pretrain(config_for(world, output, **settings), progress=False)


def test_what_comes_out_is_an_ordinary_model(world, tmp_path):
    outcome = run(world, tmp_path / "run")
    assert not outcome.interrupted
    assert outcome.failures == {}
    before = load_file(world / "model" / "model.safetensors")
    after = weights_of(outcome)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    VideoMAEModel.from_pretrained(outcome.model)
    stock = VideoMAEForPreTraining.from_pretrained(outcome.model)
    frames, masked = torch.randn(1, 8, 3, 32, 32), torch.ones(1, 64, dtype=torch.bool)
    masked[:, ::4] = False
    assert stock(frames, masked).loss.isfinite()
    assert json.loads((outcome.model / "preprocessor_config.json").read_text())["crop_size"] == {
        "height": 32,
        "width": 32,
    }
    for checkpoint in (tmp_path / "run").glob("checkpoint-*"):
        assert (checkpoint / "preprocessor_config.json").is_file()
    card = (outcome.model / "README.md").read_text()
    assert "masked-video-modeling" in card
    assert str(tmp_path.parent) not in card
    assert "pipeline_tag: video-feature-extraction" in card
    steps = [entry for entry in log_of(tmp_path / "run") if "loss" in entry]
    assert [entry["mask_ratio"] for entry in steps] == pytest.approx([14 / 16] * 4)
    assert all(entry["patches_per_second"] > 0 for entry in steps)
    assert set(outcome.metrics) >= {"eval_loss", "eval_masked"}


@pytest.mark.parametrize(
    "masking",
    [
        {"policy": "random-patch", "ratio": ScheduleConfig(schedule="linear", start=0.9, end=0.5)},
        {"policy": "random-frame", "ratio": ScheduleConfig(start=0.5)},
        {"policy": "random-block"},
        {"policy": "running-cell", "eval_units": "cell"},
        {"policy": "motion", "units": "tube", "direction": "show"},
        {"policy": "boxes", "guided_share": ScheduleConfig(start=0.7), "ratio": ScheduleConfig(start=0.25)},
        {"policy": "hard-patch", "guided_share": ScheduleConfig(schedule="linear", start=0.0, end=0.5)},
    ],
    ids=lambda masking: masking["policy"],
)
def test_every_policy_without_a_model_of_its_own_trains(world, tmp_path, masking):
    boxes = {"boxes": str(world / "boxes.csv")} if masking["policy"] == "boxes" else {}
    outcome = run(world, tmp_path / "run", masking=masking | boxes)
    losses = [entry["loss"] for entry in log_of(tmp_path / "run") if "loss" in entry]
    assert len(losses) == 4
    assert all(map(torch.isfinite, torch.tensor(losses)))
    assert outcome.model.exists()


def test_difference_masking_by_maps_that_are_made_once(world, tmp_path):
    masking = {"policy": "difference", "anchors": str(world / "anchors"), "ratio": ScheduleConfig(start=0.5)}
    data = {"cache": str(tmp_path / "cache")}
    outcome = run(world, tmp_path / "run", masking=masking, data=data)
    maps = sorted((tmp_path / "cache").iterdir())
    assert len(maps) == 12
    assert outcome.metrics["eval_loss_domain"] > 0
    made = [path.stat().st_mtime_ns for path in maps]
    other = run(world, tmp_path / "other", masking=masking | {"policy": "random-tube"}, data=data)
    assert [path.stat().st_mtime_ns for path in maps] == made
    # who is held against it looks at the same patches before the first step
    first, second = (next(entry for entry in log_of(each.folder) if "eval_loss" in entry) for each in (outcome, other))
    assert first["eval_loss_domain"] == second["eval_loss_domain"]
    assert 0 < first["eval_masked_domain"] < first["eval_masked"]


def test_anchors_are_hidden_more_often_than_the_rest(world, tmp_path):
    from diffmask.assemble.video import build_video_masking
    from diffmask.pretrain.video import VideoSubject

    masking = {"policy": "difference", "anchors": str(world / "anchors"), "ratio": ScheduleConfig(start=0.5)}
    config = config_for(world, tmp_path / "run", masking=masking, data={"cache": str(tmp_path / "cache")})
    subject = VideoSubject(config, resolve(config))
    rows = subject.read(progress=False)
    batch = subject.masking.adapter.pad([rows.training[place] for place in range(8)])
    adapter, masker = subject.masking.adapter, build_video_masking(config, subject.parts).masker
    units = adapter.units(batch, 0)
    hidden = torch.stack([units.to_positions(masker(units, step, 100)) for step in range(60)]).float().mean(0)
    bright = batch["frames"].float()[:, ::2].unfold(3, 8, 8).unfold(4, 8, 8).mean((2, 5, 6)).flatten(1) > 130
    assert bright.any()
    assert hidden[bright].mean() > hidden[~bright].mean() + 0.2


def test_rows_are_scored_while_training_where_the_embedder_runs_anyway(world, tmp_path):
    anchors, cache = str(world / "student-anchors"), tmp_path / "cache"
    masking = {"policy": "difference", "anchors": anchors, "ratio": ScheduleConfig(start=0.5)}
    target = TargetConfig(kind="features", embedder=f"student:{world / 'model'}")
    settings = {"data": {"cache": str(cache), "eval_share": 0.0}, "training": {"eval_every": 0}}
    settings["head"] = HeadConfig(steps=2)
    run(world, tmp_path / "shared", masking=masking, target=target, **settings)
    run(world, tmp_path / "alone", masking=masking | {"live": True}, **settings)
    assert not list(cache.glob("map-*"))
    run(world, tmp_path / "maps", masking=masking | {"live": False}, target=target, **settings)
    assert len(list(cache.glob("map-*"))) == 12


def test_the_evaluation_is_the_same_for_every_policy(world, tmp_path):
    first = [
        next(entry for entry in log_of(tmp_path / policy) if "eval_loss" in entry)
        for policy in ("random-patch", "motion", "hard-patch")
        if run(world, tmp_path / policy, masking={"policy": policy}, training={"steps": 1})
    ]
    assert len({(entry["eval_loss"], entry["eval_masked"]) for entry in first}) == 1


def test_micro_batches_and_workers_change_nothing(world, tmp_path):
    runs = [
        run(world, tmp_path / name, masking={"policy": "hard-patch"}, training=training, target=target)
        for name, training in {
            "whole": {"batch_size": 4},
            "parts": {"batch_size": 2, "accumulation": 2},
            "workers": {"batch_size": 4, "num_workers": 2},
        }.items()
        if (target := TargetConfig(decoded_share=0.5))
    ]
    whole, parts, workers = map(weights_of, runs)
    for name, value in whole.items():
        assert torch.equal(value, workers[name]), name
        assert torch.allclose(value, parts[name], atol=2e-5), name


def test_a_killed_run_goes_on_bit_for_bit(world, tmp_path):
    settings = {
        "masking": {"policy": "hard-patch"},
        "data": {"repeats": 2, "clips_per_video": 2},
        "training": {"steps": 8, "save_every": 2, "num_workers": 1},
    }
    whole = run(world, tmp_path / "whole", **settings)
    config = config_for(world, tmp_path / "killed", **settings)
    path = tmp_path / "killed.yaml"
    path.write_text(yaml.safe_dump(to_mapping(config)))
    process = run_module("diffmask", "pretrain", path, cwd=Path.cwd())
    state = tmp_path / "killed" / "checkpoint-4" / "trainer_state.json"
    limit = time.monotonic() + 120
    while not state.exists() and process.is_alive() and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert state.exists()
    assert not (tmp_path / "killed" / "model").exists()
    resumed = pretrain(config, resume=True, progress=False)
    expected, found = weights_of(whole), weights_of(resumed)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    ends = [[entry for entry in log_of(outcome.folder) if entry.get("step") == 8] for outcome in (whole, resumed)]
    assert ends[0][0]["loss"] == ends[1][0]["loss"]


@pytest.mark.slow
def test_two_ranks_are_one(world, tmp_path):
    whole = run(world, tmp_path / "whole", masking={"policy": "hard-patch"}, training={"batch_size": 4})
    config = config_for(
        world, tmp_path / "ranks", masking={"policy": "hard-patch"}, training={"batch_size": 2, "num_workers": 1}
    )
    path = tmp_path / "ranks.yaml"
    path.write_text(yaml.safe_dump(to_mapping(config)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "diffmask"]
    subprocess.run([*command, "pretrain", str(path)], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    found = load_file(tmp_path / "ranks" / "model" / "model.safetensors")
    for name, value in weights_of(whole).items():
        assert torch.allclose(value, found[name], atol=2e-5), name
    assert [entry["loss"] for entry in log_of(tmp_path / "ranks") if "loss" in entry] == pytest.approx(
        [entry["loss"] for entry in log_of(tmp_path / "whole") if "loss" in entry], abs=1e-4
    )


def test_clips_that_vanish_during_training_are_named_and_end_nothing(world, tmp_path):
    index, paths = clips_on_disk(tmp_path / "some", 8)
    config = config_for(world, tmp_path / "run")
    config = replace(config, data=replace(config.data, train=(str(index),), eval_share=0.0))
    for path in paths[:3]:
        path.unlink()
    outcome = pretrain(config, progress=False)
    assert sorted(outcome.failures) == [str(path) for path in paths[:3]]
    assert outcome.model.exists()


def test_an_encoder_gets_a_decoder_that_is_trained_first(world, tmp_path):
    outcome = run(world, tmp_path / "run", model="encoder", head=HeadConfig(steps=3))
    before = load_file(world / "encoder" / "model.safetensors")
    head = load_file(tmp_path / "run" / "head.safetensors")
    assert any(name.startswith("decoder.") for name in head)
    assert not any(name.removeprefix("videomae.") in before for name in head)
    assert (tmp_path / "run" / "head" / "log.jsonl").exists()
    VideoMAEForPreTraining.from_pretrained(outcome.model)


@pytest.mark.parametrize(
    ("model", "target"),
    [("encoder", None), ("model", "features"), ("image-encoder", None)],
    ids=["decoder", "features", "image decoder"],
)
def test_a_run_whose_head_was_trained_first_goes_on_bit_for_bit(world, tmp_path, model, target):
    settings = {
        "model": model,
        "head": HeadConfig(steps=2),
        "training": {"steps": 4, "save_every": 2, "keep": 9},
        "masking": {"policy": "random-patch", "eval_units": "patch", "ratio": ScheduleConfig(start=0.75)},
    }
    if target is not None:
        settings["target"] = TargetConfig(kind="features", embedder=f"student:{world / 'model'}")
    whole = run(world, tmp_path / "run", **settings)
    expected = weights_of(whole)
    shutil.rmtree(whole.model)
    shutil.rmtree(tmp_path / "run" / "checkpoint-4")
    resumed = pretrain(config_for(world, tmp_path / "run", **settings), resume=True, progress=False)
    found = weights_of(resumed)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    given = config_for(
        world,
        tmp_path / "given",
        **(settings | {"head": HeadConfig(weights=str(tmp_path / "run" / "head.safetensors"))}),
    )
    other = weights_of(pretrain(given, progress=False))
    assert all(torch.equal(value, other[name]) for name, value in expected.items())


def test_an_image_model_runs_as_clips_of_one_frame(world, tmp_path):
    masking = {"policy": "random-patch", "eval_units": "patch", "ratio": ScheduleConfig(start=0.75)}
    outcome = run(world, tmp_path / "run", model="image-model", masking=masking)
    from transformers import ViTMAEModel

    ViTMAEModel.from_pretrained(outcome.model)
    assert "pipeline_tag: image-feature-extraction" in (outcome.model / "README.md").read_text()


def test_features_are_predicted_in_the_place_of_pixels(world, tmp_path):
    target = TargetConfig(kind="features", embedder=f"student:{world / 'model'}")
    outcome = run(world, tmp_path / "run", target=target, head=HeadConfig(steps=2))
    assert "feature_head.weight" in weights_of(outcome)
    VideoMAEModel.from_pretrained(outcome.model)


def test_other_frames_and_sizes(world, tmp_path):
    outcome = run(world, tmp_path / "run", data={"num_frames": 4, "image_size": 48})
    model = VideoMAEForPreTraining.from_pretrained(outcome.model)
    assert (model.config.num_frames, model.config.image_size) == (4, 48)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masking": {"policy": "diference"}}, "unknown policy 'diference'; choose from: attention, boxes"),
        ({"masking": {"policy": "difference"}}, "the policy `difference` needs anchors; make them with `diffmask anch"),
        ({"masking": {"policy": "boxes"}}, "the policy `boxes` needs boxes; set masking.boxes to a table with"),
        ({"masking": {"policy": "attention"}}, "the policy `attention` needs a teacher; set masking.teacher=clip:MOD"),
        ({"masking": {"teacher": "clip:x"}}, "masking.teacher is given, and the policy random-tube does not read it"),
        ({"masking": {"unit_size": (2, 2, 2)}}, "leave it out, or use masking.units=block"),
        (
            {"masking": {"policy": "random-block", "unit_size": (3, 2, 2)}},
            "do not divide the grid of .4, 4, 4. in",
        ),
        (
            {"masking": {"policy": "random-frame"}},
            "masking.ratio=0.9 hides all 4 frames of a clip, and the model",
        ),
        (
            {"masking": {"units": "frame"}},
            r"random-tube, which masks units of its own \(tube\), and masking.units is frame; .* choose random-frame",
        ),
        (
            {"masking": {"policy": "motion", "units": "pixel"}},
            "unknown masking.units 'pixel'; choose from: patch, tube, frame",
        ),
        (
            {"masking": {"direction": "show"}},
            "masking.direction and hint_share go by scores, and random-tube score",
        ),
        ({"masking": {"policy": "boxes", "temperature": 2.0}}, "is that of softmax, by which boxes does not weigh"),
        ({"masking": {"eval_units": "word"}}, "unknown masking.eval_units 'word'; choose from: patch, tu"),
        (
            {"target": TargetConfig(kind="features")},
            "target.kind=features needs an embedder; give target.embedder=cli",
        ),
        ({"target": TargetConfig(kind="tokens")}, "unknown target.kind 'tokens'; choose from: pixels, features"),
        ({"target": TargetConfig(layer="3")}, "target.layer is given, and pixels are predicted; leave it out, or use"),
        (
            {"target": TargetConfig(decoder="cell")},
            "target.decoder=cell says which masked patches are decoded, and all",
        ),
        ({"data": {"sampling": "uniform", "stride": 7}}, "data.stride=7 is for dense sampling, and data.sampling=unif"),
        ({"data": {"reader": "decrod"}}, "unknown reader 'decrod'; choose from: auto, decord, pyav, torchcodec"),
        ({"data": {"eval_split": "dev"}}, "data.eval_split='dev' is a split of data.eval, which is not given"),
        ({"data": {"num_frames": 7}}, "7 frames cannot be cut into patches of 2 frames; give a multiple of 2"),
        ({"data": {"sampling": "sparse"}}, "unknown sampling 'sparse'; choose from: dense, uniform"),
        ({"training": {"steps": 0}}, "training.steps=0 trains the head that a model lacks, and .* lacks none; give at"),
        ({"training": {"layer_decay": 0.0}}, r"training.layer_decay=0 is outside \(0, 1\]; 1 trains all layers alike"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(world, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        run(world, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_boxes_of_other_clips_are_refused(world, tmp_path):
    other = tmp_path / "boxes.csv"
    other.write_text("clip,frame,x1,y1,x2,y2\nelsewhere.mp4,0,8,8,40,24\n")
    with pytest.raises(InputError, match="has no box of any of the 12 clips, such as .*; name the clips by their"):
        run(world, tmp_path / "run", masking={"policy": "boxes", "boxes": str(other)})


def test_clips_are_not_held_out_and_trained_on(world, tmp_path):
    with pytest.raises(
        InputError, match="12 of 12 clips of data.eval are trained on too, such as .*; give others, or set"
    ):
        run(world, tmp_path / "run", data={"eval": (str(world / "clips.parquet"),)})
    assert not (tmp_path / "run").exists()


def test_splits_of_one_index_are_trained_on_and_held_out(world, tmp_path):
    from diffmask.pretrain.video import read_split
    from diffmask.video.index.index import read_index, write_index

    clips = [
        replace(clip, split="dev" if place < 4 else "train")
        for place, clip in enumerate(read_index(world / "clips.parquet"))
    ]
    index = tmp_path / "split.parquet"
    write_index(index, clips)
    data = {"train": (str(index),), "split": "train", "eval": (str(index),), "eval_split": "dev"}
    training, held_out = read_split(config_for(world, tmp_path / "run", data=data), progress=False)
    assert (len(training), len(held_out)) == (8, 4)
    with pytest.raises(InputError, match="no clip is of data.split='tran'; the splits of the index: dev, train"):
        read_split(config_for(world, tmp_path / "run", data=data | {"split": "tran"}), progress=False)


def test_the_share_of_the_domain_is_logged_for_every_policy(world, tmp_path):
    masking = {"anchors": str(world / "anchors"), "ratio": ScheduleConfig(start=0.5)}
    data = {"cache": str(tmp_path / "cache")}
    shares = {}
    for policy in ("random-patch", "difference"):
        run(world, tmp_path / policy, masking=masking | {"policy": policy}, data=data)
        shares[policy] = [entry["domain_share"] for entry in log_of(tmp_path / policy) if "domain_share" in entry]
    assert 0 < min(shares["random-patch"]) < min(shares["difference"])


def test_boxes_are_checked_before_anything_is_written(world, tmp_path):
    masking = {"policy": "boxes", "boxes": str(world / "boxes.csv"), "ratio": ScheduleConfig(start=0.25)}
    with pytest.raises(InputError, match="no box has the label 'fase'; no row has one; leave it out"):
        run(world, tmp_path / "run", masking=masking | {"box_label": "fase"})
    late = tmp_path / "late.csv"
    late.write_text((world / "boxes.csv").read_text() + "clip-11.mp4,999,8,8,40,24\n")
    with pytest.raises(InputError, match="clip-11.mp4 has a box at frame 999, but only 14 frames"):
        run(world, tmp_path / "run", masking=masking | {"boxes": str(late)})
    assert not (tmp_path / "run").exists()


def test_what_a_worker_cannot_read_is_one_sentence(world, tmp_path):
    index, paths = clips_on_disk(tmp_path / "some", 4)
    config = config_for(world, tmp_path / "run", data={"train": (str(index),), "eval_share": 0.0})
    for path in paths:
        path.unlink()
    config = replace(config, training=replace(config.training, num_workers=1))
    with pytest.raises(InputError, match=r"^20 clips in a row could not be read, the last because of .* again$"):
        pretrain(config, progress=False)


def test_copies_of_a_clip_stand_on_one_side(world, tmp_path):
    from diffmask.pretrain.video import read_split

    (tmp_path / "copies").mkdir()
    for number, path in enumerate(sorted((world / "clips").iterdir())):
        for copy in range(3):
            (tmp_path / "copies" / f"{number}-{copy}.mp4").write_bytes(path.read_bytes())
    config = config_for(world, tmp_path / "run")
    config = replace(config, data=replace(config.data, train=(str(tmp_path / "copies"),)))
    training, held_out = read_split(config, progress=False)
    kept, held = ({Path(clip.path).name.split("-")[0] for clip in clips} for clips in (training, held_out))
    assert len(training) + len(held_out) == 36
    assert held
    assert not kept & held
