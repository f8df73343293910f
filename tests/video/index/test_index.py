"""The index: which files it lists, what tables add to it, what is kept of an earlier one."""

import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from support.clips import Recipe, make_clip, numbers_of

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import Clip
from diffmask.video.clip.find import list_videos
from diffmask.video.clip.join_tables import join
from diffmask.video.index import index
from diffmask.video.index import index as store
from diffmask.video.index.index import (
    Probing,
    _side_file,
    check_reader,
    index_clips,
    read_clips,
    read_index,
    update_index,
    write_index,
)
from diffmask.video.index.probe import probe_all
from diffmask.video.read.readers import open_reader

REPO = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two clips, a text that is named as one, and other files."""
    videos = tmp_path / "videos"
    (videos / "more").mkdir(parents=True)
    make_clip(videos / "b.mp4", Recipe(num_frames=20))
    make_clip(videos / "more" / "a.WEBM".lower(), Recipe(num_frames=10, codec="libvpx-vp9"))
    (videos / "text.mp4").write_text("no video at all " * 20)
    (videos / "notes.txt").write_text("not listed")
    (videos / ".hidden.mp4").write_text("not listed")
    return videos


def names(clips):
    return [(Path(clip.path).name, clip.status) for clip in clips]


def refusal(function, *args, **settings) -> str:
    with pytest.raises(InputError) as caught:
        list(function(*args, **settings))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def probed(monkeypatch):
    """Return the paths that are probed; only `b.mp4` is right, and no process is started."""
    paths = []

    def probe_without(wanted, **settings):
        for path in wanted:
            paths.append(Path(path).name)
            status = os.stat(path)
            kept = Clip(path, "ok", reader="decord", num_frames=9, fps=3.0, size=status.st_size, mtime=status.st_mtime)
            yield kept if settings["reader"] == "auto" else replace(kept, reader=settings["reader"])

    monkeypatch.setattr(index, "probe_all", probe_without)
    return paths


def test_files_of_folders_globs_and_names(folder):
    everything = [str(folder / name) for name in ("b.mp4", "more/a.webm", "text.mp4")]
    assert list_videos(folder) == everything
    assert list_videos([folder, str(folder / "*.mp4"), folder / "b.mp4"]) == everything
    assert list_videos(str(folder / "**")) == everything
    # who names a file means it
    assert list_videos([folder / "notes.txt"]) == [str(folder / "notes.txt")]
    os.symlink(folder / "b.mp4", folder / "z.mp4")
    assert list_videos(folder) == everything
    os.symlink(folder, folder / "more" / "loop")
    assert list_videos(folder) == everything


def test_sources_that_name_nothing(tmp_path, folder):
    assert refusal(list_videos, []) == "no clips were given; name at least one file, folder or glob"
    assert refusal(list_videos, tmp_path / "no") == f"{tmp_path}/no does not exist; check the path"
    (tmp_path / "empty").mkdir()
    message = refusal(list_videos, tmp_path / "empty")
    assert message.startswith(f"folder {tmp_path}/empty has no video; looked for files named .3gp, .asf, .avi, ")
    message = refusal(list_videos, str(folder / "*.txt"))
    assert message.startswith(f"no video matches {folder}/*.txt; looked for files named ")
    (folder / os.fsdecode(b"\xff.mp4")).touch()
    assert refusal(list_videos, folder) == f"the name of {folder}/\\udcff.mp4 is not UTF-8; rename the file"


def test_what_is_found_is_written_and_read_back(folder, tmp_path):
    clips = list(index_clips(folder, probing=Probing(num_processes=2)))
    assert sorted(names(clips)) == [("a.webm", "ok"), ("b.mp4", "ok"), ("text.mp4", "unreadable")]
    write_index(tmp_path / "clips.parquet", clips)
    assert sorted(os.listdir(tmp_path)) == ["clips.parquet", "videos"]
    assert read_index(tmp_path / "clips.parquet") == sorted(clips, key=lambda clip: clip.path)


def test_only_clips_that_can_be_used_are_read(folder, tmp_path, caplog):
    write_index(tmp_path / "clips.parquet", index_clips(folder))
    with caplog.at_level(logging.WARNING):
        clips = read_clips(tmp_path / "clips.parquet")
    assert names(clips) == [("b.mp4", "ok"), ("a.webm", "ok")]
    assert caplog.messages == [f"1 of 3 clips of {tmp_path}/clips.parquet are left out (1 unreadable)"]
    # files as they are, and an index together with a folder of which it knows the clips
    assert read_clips([folder / "b.mp4"]) == clips[:1]
    assert read_clips([tmp_path / "clips.parquet", folder]) == clips
    write_index(tmp_path / "bad.parquet", index_clips(folder / "text.mp4"))
    assert refusal(read_clips, tmp_path / "bad.parquet") == (
        f"no clip of {tmp_path}/bad.parquet can be used (1 unreadable); {folder}/text.mp4: it holds text, not video"
    )
    write_index(tmp_path / "none.parquet", [])
    assert refusal(read_clips, tmp_path / "none.parquet") == (
        f"no clip of {tmp_path}/none.parquet can be used (it has no clips)"
    )


def test_what_is_no_index(tmp_path):
    make = "make one with: diffmask index CLIPS -o clips.parquet"
    assert refusal(read_index, tmp_path / "no.parquet") == f"{tmp_path}/no.parquet does not exist; {make}"
    (tmp_path / "a.parquet").write_text("hello")
    message = refusal(read_index, tmp_path / "a.parquet")
    assert message.startswith(f"{tmp_path}/a.parquet is not a Parquet file, or is damaged (")
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "a.parquet")
    assert refusal(read_index, tmp_path / "a.parquet") == f"{tmp_path}/a.parquet is not an index of clips; {make}"


def test_settings_out_of_range(folder):
    assert refusal(Probing, num_processes=0) == "num_processes=0 must be at least 1"
    assert refusal(Probing, time_limit=0) == "time_limit=0 must be above 0; give seconds"
    expected = "unknown reader 'opencv'; choose from: auto, decord, pyav, torchcodec"
    assert refusal(index_clips, folder, probing=Probing(reader="opencv")) == expected


@pytest.mark.parametrize(("reader", "library"), [("auto", "av"), ("pyav", "av"), ("decord", "decord")])
def test_a_reader_that_is_not_installed(monkeypatch, reader, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError) as caught:
        check_reader(reader)
    assert str(caught.value).startswith(f"{library} cannot be loaded (")
    name = "'diffmask[video]'" if library == "av" else library
    assert str(caught.value).endswith(f"); install it: pip install {name}")


def test_a_second_run_probes_what_is_new_or_changed(folder, tmp_path, probed):
    path = tmp_path / "clips.parquet"
    first = update_index(path, folder)
    assert sorted(probed) == ["a.webm", "b.mp4", "text.mp4"]
    probed.clear()
    assert update_index(path, folder) == first
    assert probed == []
    os.utime(folder / "b.mp4", (1, 1))
    (folder / "text.mp4").write_text("longer " * 100)
    (folder / "c.mp4").write_text("new")
    (folder / "more" / "a.webm").unlink()
    assert names(update_index(path, folder)) == [("b.mp4", "ok"), ("c.mp4", "ok"), ("text.mp4", "ok")]
    assert sorted(probed) == ["b.mp4", "c.mp4", "text.mp4"]
    probed.clear()
    update_index(path, folder, overwrite=True)
    assert sorted(probed) == ["b.mp4", "c.mp4", "text.mp4"]
    # another reader is another question
    probed.clear()
    assert {clip.reader for clip in update_index(path, folder, probing=Probing(reader="pyav"))} == {"pyav"}
    assert sorted(probed) == ["b.mp4", "c.mp4", "text.mp4"]
    probed.clear()
    assert {clip.reader for clip in update_index(path, folder)} == {"decord"}
    assert sorted(probed) == ["b.mp4", "c.mp4", "text.mp4"]


@pytest.mark.parametrize("status", ["missing", "no-permission", "timeout", "crashed", "wrong-frames"])
def test_what_may_go_better_is_tried_again(folder, tmp_path, probed, status):
    path = tmp_path / "clips.parquet"
    clips = update_index(path, folder)
    write_index(path, [clips[0].put_aside(status, "it was so"), clips[1].put_aside("corrupt", "it is so"), clips[2]])
    probed.clear()
    assert update_index(path, folder)[0].status == "ok"
    assert probed == ["b.mp4"]


def test_a_run_that_was_stopped_is_gone_on_with(folder, tmp_path, probed, monkeypatch):
    path = tmp_path / "clips.parquet"
    without = index.probe_all

    def stopped(wanted, **settings):
        for count, clip in enumerate(without(wanted, **settings)):
            if count == 2:
                raise KeyboardInterrupt
            yield clip

    monkeypatch.setattr(index, "probe_all", stopped)
    with pytest.raises(KeyboardInterrupt):
        update_index(path, folder)
    assert not path.exists()
    notes = _side_file(path)
    assert len(notes.read_text().splitlines()) == 2
    # as if it had been killed while it wrote
    with notes.open("a") as file:
        file.write('{"path": "/a')
    monkeypatch.setattr(index, "probe_all", without)
    probed.clear()
    assert len(update_index(path, folder)) == 3
    assert probed == ["text.mp4"]
    assert not notes.exists()


def test_an_index_is_not_lost_by_mistake(folder, tmp_path, probed):
    path = tmp_path / "clips.parquet"
    update_index(path, folder)
    remedy = "name them too, choose another index, or leave them out with --overwrite"
    assert refusal(update_index, path, folder / "b.mp4") == (
        f"{path} lists 2 clips that were not given ({folder}/more/a.webm, ...); {remedy}"
    )
    assert names(update_index(path, folder / "b.mp4", overwrite=True)) == [("b.mp4", "ok")]
    path.write_text("precious")
    assert refusal(update_index, path, folder) == (
        f"{path} exists and is not an index of clips; choose another name, or --overwrite"
    )
    assert path.read_text() == "precious"
    assert len(update_index(path, folder, overwrite=True)) == 3


def test_where_an_index_cannot_be(folder, tmp_path):
    message = refusal(update_index, tmp_path / "clips.csv", folder)
    assert message == f"the output {tmp_path}/clips.csv is no clip index; give a name that ends with .parquet"
    message = refusal(update_index, tmp_path / "no" / "clips.parquet", folder)
    assert message == f"the folder {tmp_path}/no of the output does not exist; create it first"
    path = tmp_path / "x.parquet"
    path.mkdir()
    message = refusal(update_index, tmp_path / "x.parquet", folder)
    assert message == f"the output {path} is a folder; give the name of a clip index such as {path}/index.parquet"


@pytest.mark.slow
def test_a_run_that_is_killed_outright_keeps_what_it_has(tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(10):
        make_clip(videos / f"{number:02}.mp4", Recipe(num_frames=200, width=160, height=120))
    path = tmp_path / "clips.parquet"
    code = f"from diffmask.video.index.index import update_index; update_index({str(path)!r}, {str(videos)!r})"
    run = subprocess.Popen([sys.executable, "-c", code], cwd=REPO)
    notes = _side_file(path)
    for _ in range(200):
        if notes.exists() and notes.read_text().count("\n") >= 2:
            break
        time.sleep(0.05)
    run.kill()
    run.wait()
    num_noted = notes.read_text().count("\n")
    assert 2 <= num_noted < 10
    asked: list[str] = []

    def counted(wanted, **settings):
        asked.extend(wanted)
        return probe_all(wanted, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "probe_all", counted)
        clips = update_index(path, videos)
    assert len(asked) == 10 - num_noted
    assert [clip.num_frames for clip in clips] == [200] * 10


CLIPS = [f"/data/{name}" for name in ("train/0001.mp4", "test/0001.mp4", "train/0002.mp4", "b.v1.mp4", "b.v1.webm")]


def table(tmp_path, name, rows):
    path = tmp_path / name
    if name.endswith(".csv"):
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_rows_name_clips_by_any_end_of_the_path(tmp_path, name):
    rows = [
        {"Video": "train/0001.mp4", "Text": "a dog", "class": "1", "subset": "train"},
        {"Video": "./test/0001", "Text": "a cat", "class": "2", "subset": "test"},
        {"Video": "0002", "Text": "", "class": "1", "subset": "train"},
        {"Video": "/data/b.v1.mp4", "Text": "two", "class": "3", "subset": "train"},
        {"Video": "elsewhere/0002.mp4", "Text": "no", "class": "9", "subset": "x"},
    ]
    joined = join(table(tmp_path, name, rows), CLIPS)
    assert joined.texts == {
        "/data/train/0001.mp4": {"caption": "a dog", "label": "1", "split": "train"},
        "/data/test/0001.mp4": {"caption": "a cat", "label": "2", "split": "test"},
        "/data/train/0002.mp4": {"label": "1", "split": "train"},
        "/data/b.v1.mp4": {"caption": "two", "label": "3", "split": "train"},
    }
    assert joined.summary == (
        f"{tmp_path}/{name}: 3 captions, 4 labels, 4 splits by its column 'Video'; 1 rows match no clip; "
        "1 clips have no row"
    )


def test_the_column_that_names_most_clips_is_taken(tmp_path):
    rows = [{"path": "upstream/x.mp4", "file": "b.v1.webm", "caption": None, "label": 7}]
    joined = join(table(tmp_path, "t.jsonl", rows), CLIPS)
    assert joined.texts == {"/data/b.v1.webm": {"label": "7"}}
    assert "by its column 'file'" in joined.summary


def test_several_captions_of_a_clip(tmp_path):
    rows = [{"id": "0002", "sentence": "first"}, {"id": "0002", "sentence": "second"}]
    joined = join(table(tmp_path, "t.jsonl", rows), CLIPS)
    assert joined.texts == {"/data/train/0002.mp4": {"caption": "first"}}
    assert "; 1 rows name a clip again (the first caption is kept); 4 clips have no row" in joined.summary


def test_tables_that_cannot_be_joined(tmp_path):
    def why(rows, name="t.jsonl"):
        return refusal(lambda: [join(table(tmp_path, name, rows), CLIPS)])

    where = f"{tmp_path}/t.jsonl"
    assert why([{"id": "0001", "label": "x"}]) == (
        f"{where}: row 1: '0001' is the name of 2 clips (/data/train/0001.mp4, /data/test/0001.mp4, ...); "
        "write more of the path"
    )
    assert why([{"id": "0002", "label": "x"}, {"id": "0002", "label": "y"}]) == (
        f"{where}: row 2: its clip has two values of label, 'x' and 'y'; keep one"
    )
    assert why([{"a": "0002", "label": "x"}]) == (
        f"{where} has no column of the clip (such as path or file); its columns: a, label"
    )
    assert why([{"id": "0002", "score": 1}]) == (
        f"{where} has no column of a caption, label or split; its columns: id, score"
    )
    assert refusal(join, tmp_path / "no.csv", CLIPS) == f"{tmp_path}/no.csv does not exist; check the path of --join"
    (tmp_path / "e.csv").write_text("id,label\n")
    assert refusal(join, tmp_path / "e.csv", CLIPS) == f"{tmp_path}/e.csv has no rows; leave --join out or fill it"


def test_what_tables_say_is_in_the_index_and_stays(folder, tmp_path, probed):
    labels = table(tmp_path, "l.csv", [{"clip": "b", "label": "dog"}, {"clip": "text", "label": "none"}])
    texts = table(tmp_path, "c.jsonl", [{"file": "b.mp4", "caption": "a dog", "label": "hound", "split": "train"}])
    path = tmp_path / "clips.parquet"
    update_index(path, folder, joins=[labels, texts])
    clip = read_index(path)[0]
    assert (clip.caption, clip.label, clip.split) == ("a dog", "dog", "train")
    assert update_index(path, folder)[0] == clip
    # what a later table says of a known clip counts, without probing
    probed.clear()
    other = table(tmp_path, "o.csv", [{"clip": "b", "label": "cat"}])
    clip = update_index(path, folder, joins=[other])[0]
    assert (clip.caption, clip.label, probed) == ("a dog", "cat", [])


def test_what_tables_said_stays_when_a_clip_is_probed_again(folder, tmp_path, probed):
    row = {"file": "b.mp4", "caption": "a dog", "label": "dog", "split": "train"}
    path = tmp_path / "clips.parquet"

    def texts(**settings):
        clip = update_index(path, folder, **settings)[0]
        assert clip.path == str(folder / "b.mp4")
        return clip.caption, clip.label, clip.split

    update_index(path, folder, joins=[table(tmp_path, "t.jsonl", [row])])
    probed.clear()
    # a file that was touched, another reader, a second try after it took too long
    os.utime(folder / "b.mp4", (1, 1))
    assert texts() == ("a dog", "dog", "train")
    assert texts(probing=Probing(reader="pyav")) == ("a dog", "dog", "train")
    clips = read_index(path)
    write_index(path, [clips[0].put_aside("timeout", "it was so"), *clips[1:]])
    assert texts() == ("a dog", "dog", "train")
    assert probed.count("b.mp4") == 3
    # a table says otherwise
    os.utime(folder / "b.mp4", (2, 2))
    joins = [table(tmp_path, "o.csv", [{"clip": "b", "label": "cat"}])]
    assert texts(joins=joins) == ("a dog", "cat", "train")
    assert probed.count("b.mp4") == 4
    assert texts(joins=joins, overwrite=True) == (None, "cat", None)


@pytest.mark.parametrize(
    ("reason", "is_there", "is_asked_again"),
    [
        ("decord is not there (decord cannot be loaded (No module named 'decord'); install it)", True, True),
        ("decord is not there (decord cannot be loaded (No module named 'decord'); install it)", False, False),
        ("decord took longer than 30 s", False, True),
        ("decord gives another frame for frame 3", True, False),
        ("decord crashed (SIGSEGV)", True, False),
    ],
)
def test_decord_is_asked_again_when_it_may_answer_now(
    folder, tmp_path, probed, monkeypatch, reason, is_there, is_asked_again
):
    monkeypatch.setitem(sys.modules, "decord", ModuleType("decord") if is_there else None)
    path = tmp_path / "clips.parquet"
    clips = update_index(path, folder)
    write_index(path, [replace(clips[0], reader="pyav", reason=reason), *clips[1:]])
    probed.clear()
    update_index(path, folder)
    assert probed == (["b.mp4"] if is_asked_again else [])


def test_the_side_file_lies_beside_the_index():
    assert store._side_file(Path("out/clips.parquet")) == Path("out/.clips.parquet.partial.jsonl")


def test_an_index_serves_machines_with_and_without_decord(tmp_path):
    pytest.importorskip("decord")
    videos, hidden = tmp_path / "videos", tmp_path / "hidden"
    videos.mkdir()
    hidden.mkdir()
    make_clip(videos / "a.mp4", Recipe(num_frames=20))
    make_clip(videos / "b.webm", Recipe(num_frames=20, codec="libvpx-vp9"))
    (hidden / "decord.py").write_text("raise ImportError('it is not installed here')\n")
    clips = update_index(tmp_path / "with.parquet", videos)
    assert [clip.reader for clip in clips] == ["decord", "decord"]
    code = f"""
import sys
sys.path[:0] = [{str(hidden)!r}, {str(REPO / "tests")!r}]
from support.clips import numbers_of
from diffmask.core.errors import InputError
from diffmask.video.index.index import read_clips, update_index
from diffmask.video.read.readers import open_reader
def numbers(clips):
    for clip in clips:
        with open_reader(clip) as reader:
            print(clip.reader, numbers_of(reader.read([3, 19, 7])))
numbers(read_clips({str(tmp_path / "with.parquet")!r}))
numbers(update_index({str(tmp_path / "without.parquet")!r}, {str(videos)!r}))
try:
    with open_reader(read_clips({str(tmp_path / "with.parquet")!r})[0], "decord"):
        pass
except InputError as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": f"{hidden}{os.pathsep}{REPO}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    *read, refused = done.stdout.splitlines()
    assert read == [f"{reader} [3, 19, 7]" for reader in ("decord", "decord", "pyav", "pyav")]
    assert refused == "decord cannot be loaded (it is not installed here); install it: pip install decord"
    for clip in read_clips(tmp_path / "without.parquet"):
        with open_reader(clip) as reader:
            assert numbers_of(reader.read([3, 19, 7])) == [3, 19, 7]
    # where decord is there, it is asked again
    assert [clip.reader for clip in update_index(tmp_path / "without.parquet", videos)] == ["decord", "decord"]
