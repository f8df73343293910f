"""Every file in configs/ is read and built."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import tiny_tokenizer

from diffmask.build import build_arguments, build_masking
from diffmask.config import read_config

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
ANCHORS = SimpleNamespace(scores=torch.randn(5), tf_icf=torch.ones(5), unknown_score=0.0)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_builds(path, tmp_path):
    config = read_config(path)
    masking = build_masking(config, tiny_tokenizer(), ANCHORS)
    for progress in (0.0, 0.5, 1.0):
        assert 0.0 < masking.masker.ratio(progress) <= 1.0
    arguments = build_arguments(config.training, str(tmp_path), evaluates=True, progress=False)
    assert arguments.learning_rate == config.training.learning_rate
    assert path.read_text().count(f"diffmask pretrain configs/{path.name}") == 1


def test_there_are_configs():
    assert {"difference", "random", "published", "masking-ratio-decay"} <= {path.stem for path in CONFIGS}
