import numpy as np
import pytest
import torch
from PIL import Image
from support.tiny_clip import stripes

from diffmask.core.errors import InputError
from diffmask.video.anchors.find import _embed_exemplar, _parse_exemplar
from diffmask.video.score.embedders import PixelEmbedder


@pytest.fixture(scope="module")
def embedder():
    made = PixelEmbedder(size=128)
    made.fit([made.describe(stripes(0)[0])])
    return made


def refusal(function, *args, **options):
    with pytest.raises(InputError) as caught:
        function(*args, **options)
    return str(caught.value)


def test_an_exemplar_is_the_mean_of_the_patches_in_its_box(embedder, tmp_path):
    frame = stripes(60)[0][0]
    Image.fromarray(frame.numpy()).save(tmp_path / "image.png")
    patches = embedder.embed(frame[None])[0]
    torch.testing.assert_close(_embed_exemplar(f"{tmp_path}/image.png", embedder), patches.mean((0, 1)))
    # half a patch counts half
    part = _embed_exemplar(f"{tmp_path}/image.png:16,8,28,16", embedder)
    torch.testing.assert_close(part, (2 * patches[1, 2] + patches[1, 3]) / 3)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("40,8,16,32", "the box is not in the picture of 64x64 pixels"),
        ("0,0,65,10", "the box is not in the picture of 64x64 pixels; give x1,y1,x2,y2 in it"),
        ("1.2.3,0,5,10", "the box is not x1,y1,x2,y2 in pixels"),
    ],
)
def test_boxes_of_exemplars_that_are_refused(embedder, tmp_path, box, message):
    Image.new("RGB", (64, 64)).save(tmp_path / "image.png")
    assert message in refusal(_embed_exemplar, f"{tmp_path}/image.png:{box}", embedder)


def test_pictures_that_are_refused(embedder, tmp_path):
    assert "none.png does not exist; give a picture" in refusal(_embed_exemplar, f"{tmp_path}/none.png", embedder)
    (tmp_path / "text.png").write_text("no picture")
    assert "is not a picture that can be read" in refusal(_embed_exemplar, f"{tmp_path}/text.png", embedder)
    # a chunk whose name is no name is an error of syntax to PIL
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "damaged.png")
    content = (tmp_path / "damaged.png").read_bytes()
    second = content.index(b"IDAT", content.index(b"IDAT") + 4)
    (tmp_path / "damaged.png").write_bytes(content[:second] + b"\0\0\0\0" + content[second + 4 :])
    assert "damaged.png is not a picture that can be read (broken PNG file" in refusal(
        _embed_exemplar, f"{tmp_path}/damaged.png", embedder
    )
    assert _parse_exemplar("a.png:1,2") == (_parse_exemplar("a.png:1,2")[0], None)
