"""The colours of a processor, as transformers writes it and as people do."""

import json

import pytest
import torch
from transformers import VideoMAEImageProcessor

from diffmask.core.errors import InputError
from diffmask.video.model.load import read_colours
from diffmask.video.model.targets import IMAGENET_MEAN, IMAGENET_STD

NAME = "preprocessor_config.json"
HALF = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({}, IMAGENET_MEAN, IMAGENET_STD),
        ({"image_mean": None, "image_std": None}, IMAGENET_MEAN, IMAGENET_STD),
        (HALF, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        ({"image_mean": 0.5, "image_std": 1}, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)),
        (HALF | {"do_normalize": True}, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        (HALF | {"do_normalize": False}, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ({"video_processor": None, "image_processor": HALF}, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    ],
)
def test_what_a_processor_says(tmp_path, settings, mean, std):
    (tmp_path / NAME).write_text(json.dumps(settings))
    assert read_colours(str(tmp_path)) == (mean, std)


@pytest.mark.parametrize("change", [{}, {"image_mean": 0.5, "image_std": 0.25}, {"do_normalize": False}])
def test_pixels_become_what_the_processor_makes_of_them(tmp_path, change):
    settings = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.125]} | change
    made = VideoMAEImageProcessor(do_resize=False, do_center_crop=False, **settings)
    made.save_pretrained(tmp_path)
    frames = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    mean, std = (torch.tensor(each)[:, None, None] for each in read_colours(str(tmp_path)))
    expected = made([list(frames.permute(0, 2, 3, 1).numpy())], return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close((frames / 255 - mean) / std, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON (Expecting property name"),
        ("\xff", "is not JSON ("),
        ("null", "holds no settings of a processor; correct it"),
        ("[1]", "holds no settings of a processor; correct it"),
        ('{"image_mean": [0.5], "image_std": 0.5}', "has image_mean [0.5]; give a number for each of red, green"),
        ('{"image_mean": 0.5, "image_std": null}', "has image_std None; give a number for each of red, green and blue"),
        ('{"image_mean": "a", "image_std": 0.5}', "has image_mean 'a'; give a number for each of red, green and blue"),
        ('{"image_mean": NaN, "image_std": 0.5}', "has image_mean nan; give a number for each of red, green and blue"),
        ('{"image_mean": 0.5, "image_std": [1, 0, 1]}', "has image_std [1, 0, 1]; give numbers above 0"),
    ],
)
def test_what_cannot_be_understood(tmp_path, content, message):
    (tmp_path / NAME).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        read_colours(str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / NAME} {message}") and "\n" not in str(caught.value)
