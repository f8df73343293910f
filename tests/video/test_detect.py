from diffmask.video.detect import are_clips
from diffmask.video.index import write_index


def test_what_data_are(tmp_path):
    groups = tmp_path / "groups"
    (groups / "domain").mkdir(parents=True)
    (groups / "domain" / "0.mp4").touch()
    write_index(tmp_path / "clips.parquet", [])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("text")
    assert are_clips([groups]) and are_clips([groups / "domain" / "0.mp4"]) and are_clips(["gone.MP4"])
    assert are_clips([f"{groups}/*/*.mp4"]) and are_clips([tmp_path / "clips.parquet"])
    assert not are_clips([tmp_path / "texts" / "a.txt"]) and not are_clips([tmp_path / "texts"])
    assert not are_clips(["nothing"])
    (tmp_path / "b.parquet").write_text("no table")
    assert not are_clips([tmp_path / "b.parquet"])
