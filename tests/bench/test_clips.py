import json

import pytest
from clip_files import clips_on_disk

from diffmask.bench import clips as bench
from diffmask.cli import main
from diffmask.video.index import read_clips


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return clips_on_disk(tmp_path_factory.mktemp("data") / "clips", 3)[0]


def test_every_contender_reads_the_same_clips(index, tmp_path):
    plain, rows, scored = bench.run(read_clips([index]), tmp_path, rounds=1)
    assert plain["ratio"] == 1.0
    assert rows["ratio"] == pytest.approx(plain["milliseconds"] / rows["milliseconds"])
    assert scored["rows_per_second"] == pytest.approx(1000 / scored["milliseconds"])
    assert len(list(tmp_path.glob("map-*.safetensors"))) == 3


def test_the_plain_loop_makes_rows_of_the_same_shape(index):
    (clip, *_) = read_clips([index])
    assert bench._plain(clip).shape == (16, 3, 224, 224)


def test_the_command(index, tmp_path, capsys):
    assert main(["bench", "clips", str(index), "--json", str(tmp_path / "b.json")]) == 0
    assert "decord loop" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "b.json").read_text())) == 3
