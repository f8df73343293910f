"""diffmask preview, of clips with texts."""

import re
from dataclasses import replace

import pytest
import torch
import yaml
from support.commands import Command
from support.html_checks import check
from support.shown_clips import EVIL
from support.shown_pairs import make_pairs

from diffmask.assemble.modality import modality_named
from diffmask.assemble.video import DOMAIN_SCORE
from diffmask.assemble.video_text import VideoTextMasking
from diffmask.cli import main, preview
from diffmask.config import ScheduleConfig
from diffmask.report.pairs.source import PairSource
from diffmask.report.preview import Asked


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(autouse=True)
def _at_home(monkeypatch, world):
    monkeypatch.setenv("HOME", str(world))  # score maps are kept there


@pytest.fixture
def call(world, tmp_path):
    command = Command(preview)

    def run(*options, model="text-model", refused=False):
        given = [world / "pairs.jsonl", "--clips", world / "clips.parquet", "--model", world / model, *options]
        return (command.refusal if refused else command)(*given, "-o", tmp_path / "page.html", "--overwrite")

    return run


@pytest.fixture
def page(tmp_path):
    return lambda: check((tmp_path / "page.html").read_text(), pictures=True).text


def test_words_and_patches_stand_side_by_side(call, world, page, capsys):
    call("--anchors", world / "anchors", "--policy", "difference", "--policy", "salient-span+motion", model="model")
    said = capsys.readouterr().out
    for name in ("whole-word+random-tube", "difference", "salient-span+motion"):
        assert name in said and name in page()
    assert "[kinase]" in said and "##" in said
    assert "kinase binds a protein" in page() and "hidden in 64 masks" in page() and "hides 8" in page()
    assert "4 x 4 x 4 of 2 x 8 x 8" in page()  # as the model cuts clips


def test_what_comes_from_data_is_escaped(call, world, page, tmp_path, capsys):
    call("--policy", "random-token+random-patch", "--num-pairs", 4)
    assert "<script" not in (tmp_path / "page.html").read_text()
    assert EVIL in page()


def test_a_side_that_is_not_masked_is_shown_as_it_is(call, page, capsys):
    call("--policy", "random-token", "--set", "sides=text")
    assert "The patches are not masked." in page() and "hidden in 64 masks" not in page()
    assert "##" not in capsys.readouterr().out
    call("--policy", "random-patch", "--set", "sides=video")
    assert "The words are not masked." in page() and "mask ratio reached" not in page()
    assert "hidden in 64 masks" in page()


def test_difference_masking_hides_the_domain_on_both_sides(call, world, capsys):
    call("--anchors", world / "anchors", "--set", "video.ratio=0.5", model="model")
    said = capsys.readouterr().out
    assert re.search(r"most likely hidden:\s+kinase", said)
    shares = re.search(r"all of these .*\n +difference +([\d.]+) % +([\d.]+) %", said)
    assert shares is not None and float(shares[1]) == 50 and float(shares[2]) > 60


def test_complement_never_hides_the_domain_of_a_pair_on_both_sides(world):
    plain = modality_named("video-text").plain([str(world / "pairs.jsonl")], str(world / "model"))
    few = ScheduleConfig(start=0.2)
    masking = replace(
        plain.masking,
        anchors=str(world / "anchors"),
        text=replace(plain.masking.text, ratio=few),
        video=replace(plain.masking.video, ratio=few),
    )
    data = replace(plain.data, clips=(str(world / "clips.parquet"),))
    hidden = {}
    for complement in (False, True):
        own = replace(masking, complement=complement)
        config = replace(plain, data=data, masking=own)
        source = PairSource(Asked(plain.data.train, config, {"both": VideoTextMasking.resolve(own)}, 4))
        look = source.look(VideoTextMasking.resolve(own), None)
        hidden[complement] = source.preview({"both": look})
    probabilities = [
        [p for word, p, _ in hidden[complement].pieces("both", 0) if word == "kinase"] for complement in (False, True)
    ]
    assert probabilities[0][0] > 0.5 and probabilities[1][0] == pytest.approx(probabilities[0][0] / 2, abs=0.1)
    readings = [hidden[complement].video.readings["both"] for complement in (False, True)]
    often = [torch.cat([each.often[each.scores >= DOMAIN_SCORE] for each in own]).mean() for own in readings]
    assert often[0] > 0.4 and often[1].item() == pytest.approx(often[0].item() / 2, abs=0.1)
    spared = hidden[True]
    for index, reading in enumerate(spared.video.readings["both"]):
        words = any(masked and word == "kinase" for word, _, masked in spared.pieces("both", index))
        patches = bool((reading.masked & (reading.scores >= DOMAIN_SCORE)).any())
        assert not (words and patches)


def test_settings_of_a_side_replace_only_what_they_name(call, world, tmp_path, page):
    settings = {
        "modality": "video-text",
        "model": str(world / "model"),
        "output": "run",
        "data": {"train": [str(world / "pairs.jsonl")]},
        "masking": {"video": {"policy": "motion", "ratio": 0.75}, "text": {"policy": "random-token", "ratio": 0.25}},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    call("--config", tmp_path / "run.yaml", "--set", "video.units=patch", "--set", "text.ratio.start=0.75")
    assert "random-token+motion" in page()
    assert "mask ratio of words0.75" in page() and "mask ratio of patches0.75" in page()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ratio", 0.3], "--ratio could be of words or of patches; set it for one, as in --set text.ratio=VALUE"),
        (["--policy", "motion"], "unknown policy 'motion' of text in 'motion'; name those of both sides, as in"),
        (["--policy", "difference"], "the policy `difference` needs anchors"),
        (["--num-clips", 3], "--num-clips is an option for video, but"),
        (["--anchors", "text"], "anchors of texts, not of clips with texts"),
    ],
)
def test_options_that_are_refused(call, world, options, message):
    options = [world / "anchors" / "text" if option == "text" else option for option in options]
    assert message in call(*options, refused=True)


def test_how_policies_of_both_sides_are_named_is_said(capsys):
    assert main(["policies", "video-text"]) == 0
    assert "named together, as in whole-word+random-tube" in " ".join(capsys.readouterr().out.split())
