import json

import pytest
import transformers
from support.tiny_video import SIZE

from diffmask.bench import video
from diffmask.cli import main
from diffmask.core.errors import InputError


@pytest.fixture
def rows():
    config = transformers.VideoMAEConfig(**(SIZE | {"num_frames": 8}))
    return video.run(config, batch_size=2, rounds=1)


def test_every_contender_is_measured_and_the_losses_agree(rows):
    stock, whole, half, masking = rows
    assert stock["name"].startswith("transformers") and stock["ratio"] == 1.0
    assert all(row["milliseconds"] > 0 for row in rows)
    assert half["clips_per_second"] == pytest.approx(2000 / half["milliseconds"])
    assert half["ratio"] == pytest.approx(stock["milliseconds"] / half["milliseconds"])
    assert 0 <= whole["loss_difference"] < 1e-5
    fastest = min(row["milliseconds"] for row in (stock, whole, half))
    assert masking["ratio"] == pytest.approx(masking["milliseconds"] / fastest)


def test_the_models_of_the_paper():
    base = video.make_config("base", 224)
    default = transformers.VideoMAEConfig()
    assert base.to_dict() == default.to_dict()
    small = video.make_config()
    assert (small.hidden_size, small.decoder_hidden_size, small.image_size, small.num_frames) == (384, 192, 112, 16)


def test_the_command(monkeypatch, tmp_path, capsys):
    tiny = transformers.VideoMAEConfig(**(SIZE | {"num_frames": 8}))
    asked = []
    monkeypatch.setattr(video, "make_config", lambda *size: asked.append(size) or tiny)
    out = tmp_path / "bench.json"
    assert (
        main(["bench", "video", "--size", "base", "--image-size", "224", "--batch-size", "2", "--json", str(out)]) == 0
    )
    assert asked == [("base", 224)]
    assert len(json.loads(out.read_text())) == 4
    assert "half" in capsys.readouterr().out


def test_an_image_that_cannot_be_cut():
    with pytest.raises(InputError, match="100 pixels cannot be cut into patches of 16"):
        video.run(video.make_config("small", 100), batch_size=1)
