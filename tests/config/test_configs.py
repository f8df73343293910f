"""Every file in configs/ is read and built."""

from pathlib import Path

import pytest
from support.domain import domain_anchors
from support.tiny import tiny_tokenizer
from transformers import VideoMAEConfig

from diffmask.assemble.modality import read_config, resolve
from diffmask.assemble.text import TEXT_POLICIES, build_text_masking
from diffmask.assemble.training import build_arguments
from diffmask.assemble.video import VIDEO_POLICIES, VideoParts, build_sampling, build_video_masking
from diffmask.assemble.video_text import build_joint_masking
from diffmask.config import TextConfig, VideoConfig, VideoTextConfig
from diffmask.video.model.autoencoders import VideoMAEForPreTraining
from diffmask.video.model.load import LoadedVideo
from diffmask.video.units.grid import Grid

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
VIDEO_CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "video").glob("*.yaml"))
PAIR_CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "video-text").glob("*.yaml"))
ANCHORS = domain_anchors()
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16} | {
    "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2
}  # fmt: skip


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_builds(path, tmp_path):
    config = read_config(path)
    assert isinstance(config, TextConfig)
    resolved = resolve(config)
    annotators = resolved.annotators(ANCHORS) if "classes" in resolved.features else ()
    masking = build_text_masking(config, resolved, annotators, tiny_tokenizer(), ANCHORS)
    for progress in (0.0, 0.5, 1.0):
        assert 0.0 < masking.masker.ratio(progress) <= 1.0
    arguments = build_arguments(config.training, str(tmp_path), evaluates=True, progress=False)
    assert arguments.learning_rate == config.training.learning_rate
    assert path.read_text().count(f"diffmask pretrain configs/{path.name}") == 1


def test_every_policy_has_a_config_that_names_it():
    named = {path.stem: read_config(path).masking.policy for path in CONFIGS}
    assert {name: named[name] for name in TEXT_POLICIES} == {name: name for name in TEXT_POLICIES}
    assert {"published", "masking-ratio-decay"} <= named.keys()


@pytest.mark.parametrize("path", VIDEO_CONFIGS, ids=lambda path: path.stem)
def test_config_for_video_builds(path, tmp_path):
    config = read_config(path)
    assert isinstance(config, VideoConfig)
    loaded = LoadedVideo("videomae", VideoMAEForPreTraining(VideoMAEConfig(**SMALL)), (0.5,) * 3, (0.5,) * 3, ())
    assert loaded.grid == Grid(8, 14, 14, 2, 16)
    masking = build_video_masking(config, VideoParts(resolve(config), loaded))
    for progress in (0.0, 0.5, 1.0):
        assert 0.0 < masking.masker.ratio(progress) < 1.0
    assert build_sampling(config.data, loaded.grid).image_size == 224
    arguments = build_arguments(config.training, str(tmp_path), evaluates=True, progress=False)
    assert arguments.learning_rate == config.training.learning_rate
    assert path.read_text().count(f"diffmask pretrain configs/video/{path.name}") == 1


def test_every_policy_for_video_has_a_config_that_names_it():
    named = {path.stem: read_config(path).masking.policy for path in VIDEO_CONFIGS}
    assert {name: named[name] for name in VIDEO_POLICIES} == {name: name for name in VIDEO_POLICIES}


@pytest.mark.parametrize("path", PAIR_CONFIGS, ids=lambda path: path.stem)
def test_config_for_video_and_text_builds(path, tmp_path):
    config = read_config(path)
    assert isinstance(config, VideoTextConfig)
    resolved = resolve(config)
    loaded = LoadedVideo("videomae", VideoMAEForPreTraining(VideoMAEConfig(**SMALL)), (0.5,) * 3, (0.5,) * 3, ())
    words = build_text_masking(config.text_side, resolved.text, (), tiny_tokenizer(), ANCHORS)
    patches = build_video_masking(config.video_side, VideoParts(resolved.video, loaded))
    masking = build_joint_masking(config, resolved, words, patches)
    assert set(masking.sides) == {"text", "video"}
    for progress in (0.0, 0.5, 1.0):
        assert 0.0 < masking.text.masker.ratio(progress) <= 0.5
        assert masking.video.masker.ratio(progress) == 0.8
    assert build_sampling(config.data, loaded.grid).kind == "uniform"
    arguments = build_arguments(config.training, str(tmp_path), evaluates=True, progress=False)
    assert arguments.learning_rate == config.training.learning_rate
    assert path.read_text().count(f"diffmask pretrain configs/video-text/{path.name}") == 1
