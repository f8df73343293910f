"""Whole runs on clips and their texts: real files, real decoders, tiny models."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.clip_files import clips_on_disk
from support.processes import run_ranks
from support.tiny import save_encoder
from support.tiny_video import tiny_videomae
from support.training import InterruptAt
from transformers import AutoModelForMaskedLM, AutoTokenizer, VideoMAEForPreTraining, VideoMAEImageProcessor

from diffmask.assemble.modality import resolve
from diffmask.config import HeadConfig, ScheduleConfig, TargetConfig, TrainingConfig, VideoTextConfig
from diffmask.config.video_text import (
    AnswerTaskConfig,
    CaptionMaskingConfig,
    ClipMaskingConfig,
    FusionConfig,
    ObjectivesConfig,
    VideoTextDataConfig,
    VideoTextMaskingConfig,
)
from diffmask.core.errors import InputError
from diffmask.pretrain import pretrain
from diffmask.pretrain.answer_task import build_answer_task
from diffmask.text.anchors.find import AnchorSettings, build_anchors
from diffmask.video.anchors.contact_sheet import draw_sheet
from diffmask.video.anchors.find import VisualAnchorSettings, build_visual_anchors
from diffmask.video_text.model.load import load_video_text

SUBJECTS = ["the kinase", "a protein", "the cell", "a rat"]
DEEDS = ["binds the blood", "inhibits a cell", "was found in a rat", "was in the dose"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    index, paths = clips_on_disk(folder / "clips", 12)
    other, _ = clips_on_disk(folder / "other", 6, square=False)
    tiny_videomae().save_pretrained(folder / "video")
    save_encoder(folder / "text")
    lines = []
    for number, path in enumerate(paths):
        for caption in {f"{SUBJECTS[number % 4]} {DEEDS[number // 4]}", f"we found {SUBJECTS[number % 4]}"}:
            lines.append({"clip": f"clips/{path.name}", "caption": caption})
    write_lines(folder / "pairs.jsonl", lines)
    (folder / "texts.txt").write_text("\n".join(line["caption"] for line in lines))
    words = AnchorSettings(data=[str(folder / "texts.txt")], model=str(folder / "text"), num_anchors=2, min_count=1)
    (folder / "anchors").mkdir()
    build_anchors(words).save(folder / "anchors" / "text")
    settings = VisualAnchorSettings(
        clips=[str(index)], reference=[str(other)], embedder="pixels", num_words=16, size=64, device="cpu"
    )
    anchors, patches = build_visual_anchors(settings)
    anchors.save(folder / "anchors" / "video", draw_sheet(anchors, patches))
    boxes = "".join(f"{path.name},0,8,8,40,24\n" for path in paths)
    (folder / "boxes.csv").write_text("clip,frame,x1,y1,x2,y2\n" + boxes)
    return folder


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


TRAINING = TrainingConfig(
    steps=4, batch_size=4, learning_rate=1e-3, device="cpu", log_every=1, eval_every=2, save_every=2
)
RANDOM = {"text": CaptionMaskingConfig("whole-word"), "video": ClipMaskingConfig("random-tube")}


def config_for(world, output, *, data=None, masking=None, training=None, **settings):
    return VideoTextConfig(
        **({"model": str(world / "video"), "text_model": str(world / "text")} | settings),
        output=str(output),
        data=VideoTextDataConfig(
            **(
                {
                    "train": (str(world / "pairs.jsonl"),),
                    "clips": (str(world / "clips.parquet"),),
                    "eval_share": 0.3,
                    "cache": str(world / "cache"),
                }
                | (data or {})
            )
        ),
        masking=VideoTextMaskingConfig(**(RANDOM | (masking or {}))),
        training=replace(TRAINING, **(training or {})),
    )


def run(world, output, **settings):
    return pretrain(config_for(world, output, **settings), progress=False)


def log_of(folder):
    return [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]


def weights_of(outcome):
    return load_file(outcome.model / "model.safetensors")


def test_what_comes_out_is_a_model_of_both_and_its_parts_are_ordinary(world, tmp_path):
    outcome = run(world, tmp_path / "run")
    loaded = load_video_text(str(outcome.model))
    loaded.save_parts(tmp_path / "parts")
    video = VideoMAEForPreTraining.from_pretrained(tmp_path / "parts" / "video")
    text = AutoModelForMaskedLM.from_pretrained(tmp_path / "parts" / "text")
    VideoMAEImageProcessor.from_pretrained(tmp_path / "parts" / "video")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "parts" / "text")
    frames, words = torch.randn(2, 8, 3, 32, 32), tokenizer(["the kinase binds"] * 2, return_tensors="pt")
    with torch.no_grad():
        states = video.videomae(frames).last_hidden_state
        assert torch.allclose(states, loaded.model.encode_video(frames), atol=1e-5)
        own = loaded.model.encode_text(words["input_ids"], words["attention_mask"])
        assert torch.allclose(text.bert(**words).last_hidden_state, own, atol=1e-5)
    card = (outcome.model / "README.md").read_text()
    assert "whole-word+random-tube" in card
    assert str(tmp_path.parent) not in card
    assert set(outcome.metrics) >= {
        "eval_loss",
        *(f"eval_loss_{name}" for name in ("text", "video", "contrastive", "matching")),
    }


def test_logs_tell_the_losses_and_the_masks_of_both_sides(world, tmp_path):
    masking = {"anchors": str(world / "anchors")}
    objectives = ObjectivesConfig(text=1.0, video=0.5, contrastive=2.0, matching=1.0)
    outcome = run(world, tmp_path / "run", masking=masking, objectives=objectives)
    steps = [entry for entry in log_of(outcome.folder) if "loss" in entry]
    for entry in steps:
        parts = [entry[f"loss_{name}"] for name in ("text", "video", "contrastive", "matching")]
        assert entry["loss"] == pytest.approx(parts[0] + 0.5 * parts[1] + 2 * parts[2] + parts[3], rel=1e-5)
        assert entry["mask_ratio_video"] == pytest.approx(13 / 16)
        assert entry["mask_ratio_text"] == pytest.approx(0.5, abs=0.2)
        assert 0 <= entry["domain_share_text"] <= 1
        assert 0 <= entry["domain_share_video"] <= 1
        assert entry["tokens_per_second"] > 0
        assert entry["patches_per_second"] > 0


def test_each_text_draws_a_ratio_of_its_own_and_all_clips_of_a_step_one(world, tmp_path):
    drawn = ScheduleConfig("random", low=0.25, high=0.75)
    masking = {
        "text": CaptionMaskingConfig("random-span", ratio=drawn),
        "video": ClipMaskingConfig("random-tube", ratio=drawn),
    }
    outcome = run(world, tmp_path / "run", masking=masking, training={"steps": 12, "eval_every": 12})
    steps = [entry for entry in log_of(outcome.folder) if "loss" in entry]
    patches = {round(16 * entry["mask_ratio_video"], 6) for entry in steps}
    assert patches <= set(range(4, 13))
    assert len(patches) > 4
    assert 0.35 < sum(entry["mask_ratio_text"] for entry in steps) / len(steps) < 0.65


@pytest.mark.parametrize("fusion", ["cross", "bidirectional", "merged"])
def test_a_run_goes_on_from_another_run(world, tmp_path, fusion):
    first = run(world, tmp_path / "first", fusion=FusionConfig(fusion, 1), training={"steps": 2})
    second = run(world, tmp_path / "second", model=str(first.model), text_model=None, training={"steps": 2})
    assert second.metrics["eval_loss"] < log_of(first.folder)[0]["eval_loss"]


@pytest.mark.parametrize(
    "masking",
    [
        {"text": CaptionMaskingConfig(policy), "video": ClipMaskingConfig(other)}
        for policy, other in [
            ("difference", "difference"),
            ("random-span", "motion"),
            ("salient-span", "random-block"),
            ("loss-weighted", "hard-patch"),
            ("domain-frequency", "running-cell"),
            ("random-token", "random-patch"),
        ]
    ],
    ids=lambda masking: f"{masking['text'].policy}+{masking['video'].policy}",
)
def test_every_side_takes_any_policy(world, tmp_path, masking):
    outcome = run(world, tmp_path / "run", masking=masking | {"anchors": str(world / "anchors")})
    assert all(torch.isfinite(value).all() for value in weights_of(outcome).values())


def test_policies_that_need_models_and_files(world, tmp_path):
    text = CaptionMaskingConfig("attention", teacher=str(world / "text"))
    video = ClipMaskingConfig("boxes", boxes=str(world / "boxes.csv"))
    masking = {"text": text, "video": video}
    outcome = run(world, tmp_path / "run", masking=masking)
    assert outcome.metrics["eval_loss"] > 0


def test_each_side_may_have_anchors_of_its_own(world, tmp_path):
    text = CaptionMaskingConfig("difference", anchors=str(world / "anchors" / "text"))
    outcome = run(world, tmp_path / "run", masking={"text": text})
    steps = [entry for entry in log_of(outcome.folder) if "loss" in entry]
    assert "domain_share_text" in steps[0]
    assert "domain_share_video" not in steps[0]


@pytest.mark.parametrize(("sides", "missing"), [("text", "video"), ("video", "text")])
def test_one_side_may_be_seen_whole(world, tmp_path, sides, missing):
    masking = {sides: RANDOM[sides], missing: type(RANDOM[missing])(), "sides": sides}
    outcome = run(world, tmp_path / "run", masking=masking)
    steps = [entry for entry in log_of(outcome.folder) if "loss" in entry]
    assert f"loss_{sides}" in steps[0]
    assert f"loss_{missing}" not in steps[0]
    assert f"mask_ratio_{missing}" not in steps[0]
    assert f"eval_loss_{missing}" not in outcome.metrics


def test_strength_and_ratio_follow_their_schedules_on_both_sides(world, tmp_path):
    text = CaptionMaskingConfig("difference", ratio=ScheduleConfig("linear", start=0.6, end=0.2))
    video = ClipMaskingConfig("difference", strength=ScheduleConfig("linear", start=0.0, end=1.0))
    masking = {"text": text, "video": video, "anchors": str(world / "anchors")}
    outcome = run(world, tmp_path / "run", masking=masking, training={"batch_size": 16})
    steps = [entry for entry in log_of(outcome.folder) if "loss" in entry]
    assert [entry["strength_video"] for entry in steps] == [0.0, 0.25, 0.5, 0.75]
    assert [entry["strength_text"] for entry in steps] == [1.0] * 4
    assert [entry["mask_ratio_text"] for entry in steps] == pytest.approx([0.6, 0.5, 0.4, 0.3], abs=0.08)


@pytest.mark.parametrize("policies", [("whole-word", "random-tube"), ("loss-weighted", "hard-patch")])
def test_a_resumed_run_equals_the_uninterrupted_one(world, tmp_path, monkeypatch, policies):
    masking = {"text": CaptionMaskingConfig(policies[0]), "video": ClipMaskingConfig(policies[1])}
    settings = {"masking": masking, "training": {"steps": 6}}
    whole = run(world, tmp_path / "whole", **settings)
    from diffmask.pretrain import run as module

    made = module.loggers
    monkeypatch.setattr(module, "loggers", lambda *given: [InterruptAt(3), *made(*given)])
    stopped = run(world, tmp_path / "stopped", **settings)
    assert stopped.interrupted
    monkeypatch.setattr(module, "loggers", made)
    resumed = pretrain(config_for(world, tmp_path / "stopped", **settings), resume=True, progress=False)
    found = weights_of(resumed)
    assert all(torch.equal(value, found[name]) for name, value in weights_of(whole).items())
    last = [[entry for entry in log_of(each.folder) if entry["step"] == 6][0] for each in (whole, resumed)]
    assert last[0]["loss"] == last[1]["loss"]


def train_rank(config):
    """Train as one of several ranks."""
    torch.set_num_threads(1)
    pretrain(config, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("asks", [False, True])
def test_two_ranks_are_one(world, tmp_path, questions, asks):
    masking = {"text": CaptionMaskingConfig("loss-weighted")}
    whole, half = (AnswerTaskConfig((questions,), (questions,), batch_size=size) if asks else None for size in (2, 1))
    one = run(world, tmp_path / "whole", masking=masking, task=whole)
    config = config_for(world, tmp_path / "ranks", masking=masking, training={"batch_size": 2}, task=half)
    done = run_ranks(2, train_rank, config)
    assert [each.returncode for each in done] == [0, 0], done[0].stderr
    found = load_file(tmp_path / "ranks" / "model" / "model.safetensors")
    for name, value in weights_of(one).items():
        assert torch.allclose(value, found[name], atol=5e-5), name
    keys = ("loss", "loss_contrastive", "loss_matching", *(["task_loss", "eval_task_loss"] if asks else []))
    for key in keys:
        logged = [[entry[key] for entry in log_of(tmp_path / name) if key in entry] for name in ("whole", "ranks")]
        assert logged[0] == pytest.approx(logged[1], abs=1e-4)


def test_the_micro_batches_of_a_step_are_one_batch(world, tmp_path):
    objectives = ObjectivesConfig(text=1.0, video=0.5, contrastive=0.0, matching=0.0)
    shapes = {"whole": {"batch_size": 4}, "parts": {"batch_size": 1, "accumulation": 4}}
    one, other = (run(world, tmp_path / name, objectives=objectives, training=shape) for name, shape in shapes.items())
    parts = weights_of(other)
    for name, value in weights_of(one).items():
        assert torch.allclose(value, parts[name], atol=5e-5), name
    for key in ("loss", "loss_text", "loss_video", "mask_ratio_text"):
        found = [[entry[key] for entry in log_of(each.folder) if key in entry] for each in (one, other)]
        assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_held_out_losses_are_of_the_same_masks_and_negatives_for_every_seed_and_policy(world, tmp_path):
    anchors = {"anchors": str(world / "anchors")}
    maskings = [
        {},
        {"seed": 7},
        anchors | {"text": CaptionMaskingConfig(), "video": ClipMaskingConfig(), "complement": True},
    ]
    data, training = {"eval_share": 0.6}, {"steps": 1, "batch_size": 8, "save_every": 0}
    first = [
        log_of(run(world, tmp_path / str(number), masking=masking, data=data, training=training).folder)[0]
        for number, masking in enumerate(maskings)
    ]
    for key in ("eval_loss_text", "eval_loss_video", "eval_loss_contrastive", "eval_loss_matching"):
        assert len({entry[key] for entry in first}) == 1, key


def test_features_are_predicted_in_the_place_of_pixels(world, tmp_path):
    target = TargetConfig(kind="features", embedder=f"student:{world / 'video'}")
    outcome = run(world, tmp_path / "run", target=target, head=HeadConfig(steps=2))
    assert "video.feature_head.weight" in weights_of(outcome)


def test_what_the_clips_of_held_out_pairs_are_is_not_trained_on(world, tmp_path):
    from diffmask.pretrain.video_text import read_split

    training, held_out = read_split(config_for(world, tmp_path / "run"), progress=False)
    assert held_out
    assert not {pair.clip.path for pair in training} & {pair.clip.path for pair in held_out}
    assert len(training) + len(held_out) == 24


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text_model": None}, "name the masked language model"),
        ({"masking": {"text": CaptionMaskingConfig("difference")}}, "set masking.text.anchors=anchors/"),
        ({"masking": {"video": ClipMaskingConfig("difference")}}, "set masking.video.anchors=anchors/"),
        ({"masking": {"video": ClipMaskingConfig("whole-word")}}, "masking.video: unknown policy 'whole-word'"),
        ({"masking": {"video": ClipMaskingConfig("attention")}}, "set masking.video.teacher="),
        ({"masking": {"text": CaptionMaskingConfig("attention")}}, "name one with masking.text.teacher"),
        (
            {"masking": {"video": ClipMaskingConfig("random-tube", ratio=ScheduleConfig(start=0.99))}},
            "masking.video.ratio=0.99 hides all",
        ),
        (
            {
                "masking": {
                    "video": ClipMaskingConfig("random-tube", ratio=ScheduleConfig("random", low=0.5, high=0.99))
                }
            },
            "masking.video.ratio=0.99 hides all",
        ),
        (
            {
                "masking": {
                    "text": CaptionMaskingConfig("whole-word", strength=ScheduleConfig("random", low=0.1, high=0.9))
                }
            },
            "strength is random, and only masking.",
        ),
        ({"masking": {"text": CaptionMaskingConfig("whole-word", seed=3)}}, "set masking.seed"),
        ({"masking": {"complement": True}}, "masking.complement needs to know"),
        ({"masking": {"sides": "text"}}, "masking.video.policy is given, and masking.sides=text masks no patches"),
        ({"objectives": ObjectivesConfig(0.0, 0.0, 0.0, 0.0)}, "nothing is learned"),
        ({"masking": {"text": CaptionMaskingConfig("whole-word", ngrams="x")}}, "masking.text.ngrams is given"),
        (
            {"masking": {"sides": "text", "video": ClipMaskingConfig()}, "objectives": ObjectivesConfig(video=2.0)},
            "objectives.video=2 has no effect, since masking.sides=text hides nothing of it",
        ),
        (
            {"target": TargetConfig(decoded_share=0.5), "objectives": ObjectivesConfig(video=0.0)},
            "target.decoded_share is given, and no patches are predicted (masking.sides=both, objectives.video=0)",
        ),
        (
            {"objectives": ObjectivesConfig(contrastive=0.0, matching=0.0, whole_texts=False)},
            "objectives.whole_texts=false has no effect",
        ),
        ({"data": {"max_length": 4096}}, "max_length=4096 is more than the 64 tokens"),
        ({"data": {"eval_split": "dev"}}, "is a split of data.eval"),
        (
            {"masking": {"video": ClipMaskingConfig("hard-patch")}, "objectives": ObjectivesConfig(video=0.0)},
            "learns from losses, and objectives.video=0 has none",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_in_one_sentence(world, tmp_path, changes, said):
    with pytest.raises(InputError, match=re.escape(said)):
        run(world, tmp_path / "run", **changes)
    assert not os.path.exists(tmp_path / "run" / "model")


def test_the_ratio_of_words_goes_by_the_kind_of_the_texts(world, tmp_path):
    captions, subtitles = (config_for(world, tmp_path, data={"kind": kind}) for kind in ("captions", "subtitles"))
    assert resolve(captions).schedule("ratio_text")(0.5) == 0.5
    assert resolve(subtitles).schedule("ratio_text")(0.5) == 0.2
    own = config_for(
        world, tmp_path, masking={"text": CaptionMaskingConfig("whole-word", ratio=ScheduleConfig(start=0.3))}
    )
    assert resolve(own).schedule("ratio_text")(0.5) == 0.3


@pytest.mark.parametrize(
    ("lines", "batch_size", "said"),
    [
        ([("clip-00", "a rat"), ("clip-00", "the cell")], 2, "all pairs are of one clip"),
        ([("clip-00", "a rat"), ("clip-01", "A rat")], 2, "all pairs have one text"),
        ([("clip-00", "a rat"), ("clip-01", "the cell")], 1, "training.batch_size=1 on one device"),
        ([("clip-00", "a rat"), ("clip-01", "the cell")], 2, None),
    ],
)
def test_pairs_that_cannot_be_told_from_others_are_trained_on_and_said(
    world, tmp_path, caplog, lines, batch_size, said
):
    write_lines(tmp_path / "pairs.jsonl", [{"clip": f"{name}.mp4", "caption": text} for name, text in lines])
    data, training = {"train": (str(tmp_path / "pairs.jsonl"),), "eval_share": 0.0}, {"batch_size": batch_size}
    outcome = run(world, tmp_path / "run", data=data, training=training | {"steps": 1})
    (entry,) = (entry for entry in log_of(outcome.folder) if "loss" in entry)
    told = [record.message for record in caplog.records if "tell a pair from others" in record.message]
    assert (entry["loss_contrastive"] == 0) == (said is not None)
    assert [said in message for message in told] == ([True] if said else [])


def test_held_out_texts_of_which_nothing_is_known_are_named(world, tmp_path):
    write_lines(tmp_path / "eval.jsonl", [{"clip": f"{world}/other/clip-00.mp4", "caption": "xyzzy"}])
    data = {"eval": (str(tmp_path / "eval.jsonl"),), "clips": (str(world / "clips"), str(world / "other"))}
    with pytest.raises(InputError, match="^data.eval: the corpus has 1 documents"):
        run(world, tmp_path / "run", data=data)


@pytest.fixture(scope="module")
def questions(world):
    """Write questions whose right answer is what the caption says."""
    lines = []
    for number in range(12):
        answers = [f"{SUBJECTS[place]} {DEEDS[number // 4]}" for place in range(4)]
        split = "train" if number % 3 else "dev"
        lines.append(
            {"clip": f"clip-{number:02d}.mp4", "question": "found", "answers": answers, "answer": number % 4}
            | {"split": split}
        )
    write_lines(world / "questions.jsonl", lines)
    return str(world / "questions.jsonl")


def test_questions_are_learned_in_the_same_steps(world, tmp_path, questions):
    task = AnswerTaskConfig((questions,), (questions,), batch_size=8, weight=3.0)
    objectives = ObjectivesConfig(text=1.0, video=0.0, contrastive=0.0, matching=0.0)
    training = {"steps": 60, "learning_rate": 5e-3, "eval_every": 60, "save_every": 0}
    outcome = run(world, tmp_path / "run", task=task, objectives=objectives, training=training)
    steps = [entry for entry in log_of(outcome.folder) if "task_loss" in entry]
    for entry in steps:
        assert entry["loss"] == pytest.approx(entry["loss_text"] + 3 * entry["task_loss"], rel=1e-4)
    assert sum(entry["task_loss"] for entry in steps[-5:]) < 0.9 * sum(entry["task_loss"] for entry in steps[:5])
    assert 0 <= outcome.metrics["eval_task_accuracy"] <= 1
    assert "matching_head.0.weight" in weights_of(outcome)


def test_of_a_question_that_is_too_long_the_answers_are_kept(world, tmp_path, questions, caplog):
    lines = [json.loads(line) for line in Path(questions).read_text().splitlines()]
    write_lines(tmp_path / "long.jsonl", [line | {"question": "found a rat " * 30} for line in lines])
    config = config_for(world, tmp_path / "run", task=AnswerTaskConfig((str(tmp_path / "long.jsonl"),)))
    loaded = load_video_text(str(world / "video"), str(world / "text"))
    task = build_answer_task(config, loaded, progress=False)
    for row in task.rows:
        assert len(set(map(tuple, row["tokens"]))) == 4
        assert max(map(len, row["tokens"])) == config.data.max_length
    assert "8 questions too long for data.max_length with an answer" in caplog.text


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"train": ("nowhere.jsonl",)}, "nowhere.jsonl"),
        ({"train": ("test.jsonl",)}, "which by its name is for testing"),
        ({"batch_size": 0}, "task.batch_size=0"),
    ],
)
def test_a_task_that_cannot_be_learned_is_refused(world, tmp_path, questions, task, said):
    (tmp_path / "test.jsonl").write_text(Path(questions).read_text())
    given = {"train": (questions,)} | {
        name: tuple(str(tmp_path / each) for each in value) if name == "train" else value
        for name, value in task.items()
    }
    with pytest.raises(InputError, match=said):
        run(world, tmp_path / "run", task=AnswerTaskConfig(**given))
