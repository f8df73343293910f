from collections import Counter

import pyarrow
import pytest
from pyarrow import parquet

from diffmask.core.errors import InputError
from diffmask.video.clip.find import are_clips, list_videos, refuse_nothing
from diffmask.video.index.index import write_index


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


def files(folder, *names, content=b""):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(content)
    return folder


def test_a_video_among_texts_does_not_make_them_clips(tmp_path):
    texts = files(tmp_path / "texts", "a.txt", "b.jsonl.gz", "talk.mp4")
    assert not are_clips([texts]) and not are_clips([f"{texts}/*"])
    assert not are_clips([texts / "a.txt", texts / "b.jsonl.gz", texts / "talk.mp4"])
    # what is told of clips is no text of its own: captions, records of where they are from, one table of all
    clips = files(tmp_path / "clips", "a.mp4", "a.txt", "a.info.json", "b.1.mp4", "b.1.txt", "boxes.csv")
    assert are_clips([clips]) and are_clips([f"{clips}/*"])
    assert not are_clips([clips, texts, files(tmp_path / "more", "c.csv", "d.csv", "e.csv")])


def test_what_is_expected_decides_between_both_and_only_there(tmp_path):
    both = files(tmp_path / "both", "a.txt", "b.txt", "talk.mp4")
    for answer in (True, False):
        assert are_clips([both], lambda answer=answer: answer) is answer
    assert not are_clips([both], lambda: None)
    (both / "talk.mp4").unlink()
    assert not are_clips([both], lambda: pytest.fail("asked"))
    assert are_clips([files(tmp_path / "clips", "a.mp4")], lambda: pytest.fail("asked"))


@pytest.mark.parametrize(("start", "size"), [(0, 188), (4, 192), (0, 204)])
def test_a_stream_is_known_by_its_packets_and_typescript_is_not_one(tmp_path, start, size):
    code = files(tmp_path / "code", "main.ts", "Get.mts", content=b"Get = 1;\n" * 40)
    assert not are_clips([code]) and not are_clips([code / "main.ts"]) and not are_clips(["gone.ts"])
    packet = b"G" + bytes(size - 1)
    streams = files(tmp_path / "streams", "a.ts", "b.MTS", content=bytes(start) + 2 * packet)
    assert are_clips([streams]) and are_clips([streams / "a.ts"]) and are_clips([streams / "b.MTS"])
    assert not are_clips([files(tmp_path / "short", "a.ts", content=b"G")])


def test_what_is_not_there_or_empty_is_refused(tmp_path):
    def refusal(source):
        with pytest.raises(InputError) as caught:
            refuse_nothing([source])
        return str(caught.value)

    empty = files(tmp_path / "empty", ".hidden")
    assert refusal(empty) == f"folder {empty} has no files; check the path"
    assert refusal(f"{empty}/*.txt") == f"{empty}/*.txt matches no file; check the path"
    assert refusal(tmp_path / "clpis.parquet") == f"{tmp_path}/clpis.parquet does not exist; check the path"
    damaged = files(tmp_path / "bad", "clips.parquet", content=b"PAR1 no table") / "clips.parquet"
    message = refusal(damaged)
    assert message.startswith(f"{damaged} is not a table that can be read (") and message.endswith("; make it again")
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "texts.parquet")
    refuse_nothing([tmp_path / "texts.parquet", tmp_path / "bad", f"{tmp_path}/bad/*"])


def test_folders_that_links_lead_to_are_read_once_and_circles_end(tmp_path):
    inside = files(tmp_path / "clips" / "b", "b.mp4")
    outside = files(tmp_path / "elsewhere", "c.mp4")
    files(tmp_path / "clips", "a.mp4")
    for link, target in {"0": outside, "b/up": tmp_path / "clips", "a-link": inside, "b/c": outside}.items():
        (tmp_path / "clips" / link).symlink_to(target)
    (outside / "back").symlink_to(tmp_path / "clips")
    (tmp_path / "clips" / "gone").symlink_to(tmp_path / "nowhere")
    found = [path.removeprefix(f"{tmp_path}/clips/") for path in list_videos(tmp_path / "clips")]
    assert found == ["0/c.mp4", "a.mp4", "b/b.mp4"]
    assert are_clips([tmp_path / "clips" / "0"])


def test_what_is_not_named_as_a_video_is_counted(tmp_path):
    files(tmp_path / "clips", "a.mp4", "b.gif", "c.GIF", "LICENSE", ".hidden", "a.txt")
    left_out = Counter()
    assert len(list_videos(tmp_path / "clips", left_out)) == 1
    assert left_out == {".gif": 2, "without a suffix": 1, ".txt": 1}
