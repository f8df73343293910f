import json
from dataclasses import replace

import pytest
import torch
from support.clip_files import clips_on_disk

from diffmask.bench import clips as bench
from diffmask.cli import main
from diffmask.core.errors import InputError
from diffmask.video.dataset import ClipDataset
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


def test_every_contender_makes_the_same_rows_in_the_same_order(index, tmp_path, monkeypatch):
    seen = {}

    def take(contenders, rounds, **_):
        seen.update({name: run() for name, run in contenders.items()})
        return dict.fromkeys(contenders, 1.0)

    monkeypatch.setattr(bench, "fastest", take)
    clips = read_clips([index]) * 2  # other places and crops of the same clips
    bench.run(clips, tmp_path)
    plain, rows, scored = seen.values()
    assert len(plain) == len(rows) == len(scored) == len(clips) == 6
    for own, (row,), (with_score,) in zip(plain, rows, scored, strict=True):
        assert own.shape == (16, 3, 224, 224) and torch.equal(own, row["frames"])
        assert torch.equal(own, with_score["frames"]) and "score" in with_score
    assert not torch.equal(plain[0], plain[3]), "what is drawn differs from row to row"


def test_passes_alternate(index, tmp_path, monkeypatch):
    order = []
    place, read = bench._plain, ClipDataset.__getitem__
    monkeypatch.setattr(bench, "_plain", lambda each: order.append("plain") or place(each))
    monkeypatch.setattr(
        ClipDataset, "__getitem__", lambda data, row: order.append("score" if data.maps else "rows") or read(data, row)
    )
    bench.run(read_clips([index]), tmp_path, rounds=1)
    assert order == [name for _ in range(3) for name in ("plain", "rows", "score") for _ in range(3)]


def test_clips_that_decord_does_not_read_are_refused(index, tmp_path):
    clips = [replace(clip, reader="pyav") for clip in read_clips([index])]
    with pytest.raises(InputError) as caught:
        bench.run(clips, tmp_path)
    assert str(caught.value).startswith("decord reads none of the 3 clips exactly")


def test_the_command(index, tmp_path, capsys):
    assert main(["bench", "clips", str(index), "--json", str(tmp_path / "b.json")]) == 0
    assert "decord loop" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "b.json").read_text())) == 3
