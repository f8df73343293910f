"""Every file in configs/ is read and built."""

from pathlib import Path

import pytest
from domain import domain_anchors
from tiny import tiny_tokenizer

from diffmask.build import POLICIES, build_arguments, build_masking
from diffmask.config import read_config

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
ANCHORS = domain_anchors()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_builds(path, tmp_path):
    config = read_config(path)
    masking = build_masking(config, tiny_tokenizer(), ANCHORS)
    for progress in (0.0, 0.5, 1.0):
        assert 0.0 < masking.masker.ratio(progress) <= 1.0
    arguments = build_arguments(config.training, str(tmp_path), evaluates=True, progress=False)
    assert arguments.learning_rate == config.training.learning_rate
    assert path.read_text().count(f"diffmask pretrain configs/{path.name}") == 1


def test_every_policy_has_a_config_that_names_it():
    named = {path.stem: read_config(path).masking.policy for path in CONFIGS}
    assert {name: named[name] for name in POLICIES} == {name: name for name in POLICIES}
    assert {"published", "masking-ratio-decay"} <= named.keys()
