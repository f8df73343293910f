"""`diffmask preview` of clips: the numbers, the page, pictures that stand and move, and what cannot be shown."""

import io
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from support.html_checks import check
from support.shown_clips import EVIL, make_world, write_config
from support.tiny import tiny_model
from support.tiny_video import tiny_grid, tiny_videomae

from diffmask.assemble.video import VideoMasking
from diffmask.cli import main
from diffmask.config import VideoConfig, VideoDataConfig, VideoMaskingConfig
from diffmask.report.clips.source import GatheredClips, choose_clips
from diffmask.video.index.index import read_clips

DRAWS = 16


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("preview"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch, world):
    monkeypatch.setattr("diffmask.report.clips.preview.NUM_DRAWS", DRAWS)
    monkeypatch.setattr("diffmask.report.clips.preview.SIZE", 32)
    monkeypatch.setenv("HOME", str(world))  # score maps without a config are kept there


@pytest.fixture(scope="module")
def run(world):
    path = write_config(world, "run", policy="motion", ratio={"schedule": "linear", "start": 0.75, "end": 0.25})
    assert main(["pretrain", str(path)]) == 0
    return world / "run"


def preview(world, *more):
    return main(["preview", str(world / "clips.parquet"), "--model", str(world / "model"), *map(str, more)])


def rows_of(out, name):
    """The shares in each row of a policy: hidden, and of the best-scored tenth."""
    lines = [line for line in out.splitlines() if re.search(rf"(?<![\w-]){name}\s+\d", line)]
    return [[float(cell) for cell in re.findall(r"([\d.]+) %", line)] for line in lines]


def test_every_policy_stands_beside_random_tubes_at_the_same_ratio(world, tmp_path, capsys):
    page = tmp_path / "page.html"
    asked = ["--policy", "difference", "--policy", "motion", "--policy", "boxes", "--policy", "random-patch"]
    more = ["--anchors", world / "anchors", "--set", f"boxes={world / 'boxes.csv'}", "--ratio", "0.5"]
    assert preview(world, *asked, *more, "--num-clips", 2, "-o", page) == 0
    out = capsys.readouterr().out
    assert f"wrote {page}" in out and "\x1b" not in out
    text = page.read_text()
    words = check(text, pictures=True).text
    for name in ("random-tube", "difference", "motion", "boxes", "random-patch"):
        assert [row[0] for row in rows_of(out, name)] == [50.0] * 3  # all, and each of two clips
        assert name in words
    best = {name: [row[1] for row in rows_of(out, name)] for name in ("difference", "motion", "boxes")}
    # one of the clips stands still
    assert all(shares[0] > 55 for shares in best.values()), best
    # frames of each clip; an often and a mask of each policy; a score of each that has some
    assert text.count("<img ") == 2 * (1 + 5 * 2 + 3)
    assert "4 x 4 x 4 of 2 x 8 x 8" in words and f"hidden in {DRAWS} masks" in words


def test_only_the_clips_that_are_shown_are_scored(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert preview(world, "--anchors", world / "anchors", "--num-clips", 2) == 0
    maps = list((tmp_path / ".cache" / "diffmask").glob("map-*.safetensors"))
    assert len(maps) == 2


def test_a_name_and_a_caption_that_are_scripts_are_text(world, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert preview(world, "--policy", "motion", "--num-clips", 5, "-o", page) == 0
    text = page.read_text()
    assert "<script" not in text and "alert('" not in text
    assert check(text, pictures=True).text.count(EVIL) >= 3
    assert EVIL in capsys.readouterr().out


def test_pictures_stand_and_move(world, tmp_path, capsys):
    assert preview(world, "--policy", "motion", "--num-clips", 1, "-o", tmp_path / "a.png") == 0
    assert preview(world, "--policy", "motion", "--num-clips", 1, "-o", tmp_path / "a.gif") == 0
    assert Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())).format == "PNG"
    assert Image.open(io.BytesIO((tmp_path / "a.gif").read_bytes())).n_frames == 8


def test_the_same_command_makes_the_same_page(world, tmp_path):
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    for page in pages:
        assert preview(world, "--policy", "motion", "--num-clips", 1, "--seed", 3, "-o", page) == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_settings_do_what_they_do_in_training(world, capsys):
    best = []
    for more in ([], ["--set", "direction=show"], ["--strength", 0], ["--set", "hint_share=0.2"]):
        assert preview(world, "--policy", "motion", "--ratio", 0.5, "--num-clips", 3, *more) == 0
        best.append(rows_of(capsys.readouterr().out, "motion")[0][1])
    hidden, shown, at_random, hints = best
    assert shown < 40 < 60 < hidden and hints == 0.0 and at_random == pytest.approx(50, abs=12)


def test_a_checkpoint_shows_the_run_as_it_was_then_and_fills_in(world, run, tmp_path, capsys):
    page = tmp_path / "page.html"
    command = ["preview", str(world / "clips.parquet"), "--checkpoint", str(run / "checkpoint-2"), "--num-clips", "1"]
    assert main([*command, "-o", str(page)]) == 0
    out = capsys.readouterr().out
    assert [row[0] for row in rows_of(out, "motion")] == [50.0] and [row[0] for row in rows_of(out, "random-tube")]
    words = check(page.read_text(), pictures=True).text
    assert "filled in" in words and "never from the truth" in words
    assert main([*command, "--policy", "motion"]) == 2
    assert "--checkpoint has the config and the policy of its run" in capsys.readouterr().err
    assert main([*command, "--model", "x"]) == 2
    assert "--checkpoint has the model of its run" in capsys.readouterr().err


def test_a_config_says_what_is_hidden_and_how_clips_are_cut(world, run, capsys):
    command = ["preview", str(world / "clips.parquet"), "--config", str(world / "run.yaml"), "--num-clips", "1"]
    assert main([*command, "--progress", "0"]) == 0
    assert [row[0] for row in rows_of(capsys.readouterr().out, "motion")] == [75.0]


def test_a_policy_that_learns_is_shown_as_before_training(world, capsys):
    assert preview(world, "--policy", "hard-patch", "--num-clips", 1) == 0
    assert "hard-patch: shown as before training, when nothing is learned" in capsys.readouterr().out


def test_a_clip_that_is_gone_is_named_and_the_others_are_shown(world, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(world, other, ignore=shutil.ignore_patterns("run", "cache", ".cache"))
    index = other / "clips.parquet"
    gone = world / "clips" / "clip-2.mp4"
    # what is written again is another clip
    away = gone.rename(tmp_path / "away.mp4")
    try:
        assert main(["preview", str(index), "--policy", "motion", "--model", str(world / "model"), "--num-clips", "5",
                     "-o", str(tmp_path / "p.html")]) == 0  # fmt: skip
    finally:
        away.rename(gone)
    assert f"not shown: {gone}" in capsys.readouterr().out
    assert "clip-2.mp4" in check((tmp_path / "p.html").read_text(), pictures=True).text


def test_without_a_model_a_plain_grid_is_taken(world, tmp_path, capsys):
    page = tmp_path / "p.html"
    assert (
        main(["preview", str(world / "clips.parquet"), "--policy", "motion", "--num-clips", "1", "-o", str(page)]) == 0
    )
    assert "8 x 14 x 14 of 2 x 16 x 16" in check(page.read_text(), pictures=True).text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--policy", "diference"], "unknown policy 'diference'; choose from: attention, boxes, difference"),
        ([], "the policy `difference` needs anchors; make them with"),
        (["--policy", "boxes"], "the policy `boxes` needs boxes; set masking.boxes to a table"),
        (["--policy", "attention"], "the policy `attention` needs a teacher; set masking.teacher="),
        (["--policy", "motion", "--num-clips", "0"], "--num-clips 0 is below 1; give at least one"),
        (["--policy", "motion", "--num-sentences", "3"], "--num-sentences is an option for text, but "),
        (["--policy", "motion", "--column", "body"], "--column is an option for text and video-text, but "),
        (["--policy", "motion", "--set", "boxes=a.csv"], "masking.boxes is given, and has no effect with motion"),
        (["--policy", "random-patch", "--units", "tube"], "masking.units is given, and has no effect with random-p"),
        (["--policy", "motion", "--set", "spam=1"], "unknown setting `masking.spam`"),
        (["--policy", "motion", "--ratio", "1.5"], "masking.ratio.start=1.5 is outside [0, 1]"),
        (["--policy", "motion", "--ratio", "1"], "masking.ratio=1 hides all 16 tubes of a clip, and the model needs"),
        (["--policy", "motion", "--progress", "2"], "the progress 2 is outside [0, 1]; 0.5 is the middle"),
        (
            ["--policy", "motion", "--units", "spam"],
            "unknown masking.units 'spam'; choose from: patch, tube, frame, block",
        ),
        (["--policy", "motion", "-o", "page.mp4"], "the output page.mp4 is no page or picture; give a name that"),
        (["--policy", "motion", "-o", "none/page.html"], "the folder none of the output does not exist; create it"),
    ],
)
def test_bad_input_is_one_sentence(world, capsys, more, message):
    assert preview(world, *more) == 2
    error = capsys.readouterr().err
    assert f"diffmask: {message}" in error and error.strip().count("\n") == 0


def test_clips_and_text_are_not_mixed_up(world, run, tmp_path, capsys):
    (tmp_path / "papers.txt").write_text("of rats\n")
    assert main(["preview", str(tmp_path / "papers.txt"), "--config", str(world / "run.yaml")]) == 2
    assert "run.yaml is of video, but" in capsys.readouterr().err
    assert main(["preview", str(tmp_path / "papers.txt"), "--num-clips", "2", "--model", "x"]) == 2
    assert "--num-clips is an option for video" in capsys.readouterr().err
    (tmp_path / "text.yaml").write_text("model: x\noutput: y\ndata: {train: [z]}\n")
    assert main(["preview", str(world / "clips.parquet"), "--config", str(tmp_path / "text.yaml")]) == 2
    assert "text.yaml is of text, but" in capsys.readouterr().err
    assert Path(world / "run.yaml").exists()


def test_of_a_folder_with_both_the_options_say_what_is_shown(world, tmp_path, capsys):
    both, empty = tmp_path / "both", tmp_path / "empty"
    empty.mkdir()
    shutil.copytree(world / "clips", both)
    for number in range(9):
        (both / f"paper-{number}.txt").write_text("of rats\n")

    def error(*more):
        assert main(["preview", str(both), *map(str, more)]) == 2
        return capsys.readouterr().err

    # there are more texts, and nothing else says what is meant
    assert "diffmask: neither --model nor --anchors nor --config says which tokenizer" in error()
    (tmp_path / "video.yaml").write_text(f"modality: video\nmodel: {world}/model\noutput: y\ndata: {{train: [z]}}\n")
    for more in (["--config", tmp_path / "video.yaml"], ["--anchors", world / "anchors"], ["--model", world / "model"]):
        assert "diffmask: --column is an option for text and video-text, but" in error(*more, "--column", "text")
    for number in range(6):
        (both / f"paper-{number}.txt").unlink()
    assert "diffmask: --column is an option for text and video-text, but" in error("--column", "text")
    tiny_model().save_pretrained(tmp_path / "bert")
    (tmp_path / "text.yaml").write_text("model: x\noutput: y\ndata: {train: [z]}\n")
    for more in (["--config", tmp_path / "text.yaml"], ["--model", tmp_path / "bert"]):
        assert "diffmask: --num-clips is an option for video, but" in error(*more, "--num-clips", "1")
    assert main(["preview", str(empty)]) == 2
    assert capsys.readouterr().err == f"diffmask: folder {empty} has no files; check the path\n"


def test_clips_with_boxes_are_shown_where_only_some_have_them(world, tmp_path, capsys):
    boxes = tmp_path / "boxes.csv"
    head = "clip,frame,x1,y1,x2,y2\n"
    boxes.write_text(head + "clip-3.mp4,0,8,8,40,24\n")
    asked = ["--policy", "boxes", "--set", f"boxes={boxes}", "--num-clips"]
    for count in (1, 2, 5):
        assert preview(world, *asked, count) == 0
        assert "clip-3.mp4" in capsys.readouterr().out
    boxes.write_text(head + "other.mp4,0,8,8,40,24\n")
    assert preview(world, *asked, 1) == 2
    assert f"{boxes} has no box of any of the 5 clips" in capsys.readouterr().err


def test_clips_of_a_run_that_have_no_boxes_are_shown_without(world, tmp_path):
    clips = read_clips(str(world / "clips.parquet"))
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("clip,frame,x1,y1,x2,y2\nclip-3.mp4,0,8,8,40,24\n")
    masking = VideoMaskingConfig(policy="boxes", boxes=str(boxes))
    config = VideoConfig(model="", output="", data=VideoDataConfig(train=("",), stride=1), masking=masking)
    resolved = VideoMasking.resolve(masking)
    assert choose_clips(clips, 2, [resolved]) == [clips[3]]
    assert choose_clips(clips[:2], 2, [resolved]) == clips[:2]
    grid = tiny_grid(tiny_videomae())
    for chosen, has_boxes in ((clips[:2], False), ([clips[3]], True)):
        gathered = GatheredClips.read(chosen, config, grid, None, maskings=[resolved])
        assert len(gathered.clips) == len(chosen) and bool(gathered.batch["boxes"].any()) is has_boxes
