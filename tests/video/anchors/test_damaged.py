"""Anchors of clips that are damaged or made by hand."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from diffmask.core.errors import InputError
from diffmask.video.anchors.anchor_set import VisualAnchors, load_visual_anchors

EMBEDDER = {"spec": "pixels", "key": "k", "layer": None, "size": None, "dim": 4}


@pytest.fixture
def folder(tmp_path):
    anchors = VisualAnchors(
        names=["word-1", "word-2"],
        rows=[(f"word-{number}", "word", 3.0, 5, 2, 0.5, 0.1) for number in (1, 2)],
        embeddings=torch.eye(2, 4),
        common=torch.ones(3, 4),
        words=torch.ones(5, 4),
        log_tf_icf=torch.ones(5),
        metadata={"embedder": EMBEDDER, "found": True, "spread": [[0.0, 1.0], [0.0, 1.0]]},
    )
    anchors.save(tmp_path / "anchors", Image.new("RGB", (2, 2)))
    assert load_visual_anchors(tmp_path / "anchors").names == anchors.names
    return tmp_path / "anchors"


def refusal(folder):
    with pytest.raises(InputError) as caught:
        load_visual_anchors(folder)
    assert "\n" not in str(caught.value) and "diffmask anchors CLIPS" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"anchors": []}, "anchors is empty"),
        ({"anchors": "word-1"}, "anchors is missing or of a wrong type"),
        ({"rows": [1]}, "rows[0] is missing"),
        ({"embedder": None}, "embedder.spec is missing"),
        ({"found": "yes"}, "found is missing"),
        ({"spread": [[0, 1]]}, "spread is missing"),
        ({"spread": [[0, 1], [0, 0]]}, "spread[1][1]=0 must be above 0"),
    ],
)
def test_a_record(folder, change, said):
    path = folder / "anchors.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert refusal(folder).startswith(f"{path} is damaged ({said}")


def test_a_record_that_is_a_list(folder):
    (folder / "anchors.json").write_text("[]")
    assert "it holds no object" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"anchors": torch.eye(3, 4)}, "contradict each other (3 embeddings and 2 rows for 2 anchors)"),
        ({"common": torch.ones(3, 5)}, "contradict each other (embeddings of different sizes"),
        ({"common": torch.ones(0, 4)}, "contradict each other (embeddings of different sizes, or none"),
        ({"log_tf_icf": torch.ones(4)}, "contradict each other (4 TF-ICF for 5 visual words)"),
        ({"words": torch.full((5, 4), torch.inf)}, "is damaged (its tensor 'words' has values that are not finite)"),
        ({"words": torch.ones(5)}, "is damaged (it has no tensor 'words' of 2 dimensions)"),
    ],
)
def test_tensors(folder, change, said):
    tensors = load_file(folder / "anchors.safetensors") | change
    save_file(tensors, folder / "anchors.safetensors")
    assert said in refusal(folder)
