"""diffmask index: what it writes, prints and refuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.clips import Recipe, make_clip
from support.commands import Command

from diffmask.cli import index
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import read_index, write_index

REPO = Path(__file__).parents[2]


call = Command(index)
refusal = call.refusal


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos" / "a.mp4", Recipe(num_frames=50))
    make_clip(tmp_path / "videos" / "b.ts", Recipe(num_frames=25, rotation=0))
    (tmp_path / "videos" / "text.mp4").write_text("no video " * 20)
    (tmp_path / "t.csv").write_text("file,caption,label\na.mp4,a number,odd\nz.mp4,gone,even\n")
    return tmp_path


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


FOUND = """\
2 clips can be used: 0 min 3 s, 75 frames; 1 put aside
size 96x72 (2)
codec h264 (2)
fps 25 (2)
reader decord (1), pyav (1)
caption with a caption (1)
label odd (1)
1 read by PyAV, for decord is wrong
clip status why
videos/b.ts ok decord gives another frame for frame {frame}
1 put aside
clip status why
videos/text.mp4 unreadable it holds text, not video""".splitlines()


def test_clips_are_indexed_and_what_was_found_is_told(folder, capfd):
    pytest.importorskip("decord")
    assert not call("videos", "-o", "clips.parquet", "--join", "t.csv", "--num-processes", 2)
    output = capfd.readouterr()
    assert output.err == ""
    joined, *found, wrote = lines(output.out)
    assert joined == ("t.csv: 1 captions, 1 labels by its column 'file'; 1 rows match no clip; 2 clips have no row")
    frame = found[9].split()[-1]
    assert found == [line.format(frame=frame) for line in FOUND]
    assert wrote.startswith("wrote clips.parquet (3 clips in ")
    clips = read_index("clips.parquet")
    assert [clip.path for clip in clips] == [f"{folder}/videos/{name}" for name in ("a.mp4", "b.ts", "text.mp4")]
    assert [clip.label for clip in clips] == ["odd", None, None]
    call("--summary", "clips.parquet")
    assert lines(capfd.readouterr().out) == found


def test_why_decord_is_not_the_reader_is_told_and_not_of_every_clip(folder, capsys):
    def clip(number, reason):
        name = f"{folder}/{number:02}.mp4"
        return Clip(name, "ok", reason, "pyav", num_frames=25, fps=25.0, duration=1.0, width=96, height=72)

    missing, late, wrong = "decord is not there (no)", "decord took longer than 30 s", "decord counts 80 frames, not 60"
    clips = [clip(number, missing) for number in range(25)]
    clips += [clip(25, late), clip(26, late), clip(27, wrong), clip(28, "decord crashed (SIGSEGV)")]
    write_index("clips.parquet", clips)
    call("--summary", "clips.parquet")
    _, _, _, _, reader, *tables = lines(capsys.readouterr().out)
    assert reader == "reader pyav (29)"
    header = "clip status why"
    assert tables == [
        "25 read by PyAV, for decord is not there",
        header,
        *(f"{number:02}.mp4 ok {missing}" for number in range(20)),
        "... and 5 more",
        "2 read by PyAV, for decord took longer than the time limit",
        header,
        *(f"{number:02}.mp4 ok {late}" for number in (25, 26)),
        "2 read by PyAV, for decord is wrong",
        header,
        f"27.mp4 ok {wrong}",
        "28.mp4 ok decord crashed (SIGSEGV)",
    ]


def test_an_index_of_nothing_that_can_be_used_is_written_and_refused(folder, capsys):
    message = refusal("videos/text.mp4", "-o", "clips.parquet")
    why = f"no clip of videos/text.mp4 can be used (1 unreadable); {folder}/videos/text.mp4: it holds text, not video"
    assert message == why
    assert [clip.status for clip in read_index("clips.parquet")] == ["unreadable"]
    assert refusal("--summary", "clips.parquet") == why.replace("videos/text.mp4 can", "clips.parquet can")
    assert "0 clips can be used: 0 min 0 s, 0 frames; 1 put aside" in capsys.readouterr().out


def test_what_cannot_be_done_is_refused_before_the_work(folder):
    example = "for example: diffmask index footage/ -o clips.parquet"
    assert refusal("videos") == f"--output FILE is missing; {example}"
    assert refusal("-o", "clips.parquet") == f"CLIPS is missing; {example}"
    expected = "--summary prints an index that is there; leave CLIPS, --output and --join out"
    assert refusal("videos", "--summary", "clips.parquet") == expected
    assert refusal("no", "-o", "clips.parquet") == "no does not exist; check the path"
    assert refusal("videos", "-o", "clips.csv") == (
        "the output clips.csv is no clip index; give a name that ends with .parquet"
    )
    assert refusal("videos", "-o", "c.parquet", "--join", "no.csv") == "no.csv does not exist; check the path of --join"
    assert refusal("videos", "-o", "c.parquet", "--reader", "vlc") == (
        "unknown reader 'vlc'; choose from: auto, decord, pyav, torchcodec"
    )
    (folder / "empty").mkdir()
    assert refusal("empty", "-o", "c.parquet").startswith("folder empty has no video; looked for files named ")
    assert not (folder / "c.parquet").exists()


def test_help_is_quick_and_shows_an_example():
    code = (
        "import sys; from diffmask.cli import build_parser; parser = build_parser();"
        "assert not {'torch', 'av', 'numpy'} & set(sys.modules); parser.parse_args(['index', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO)
    assert "diffmask index footage/ -o clips.parquet --num-processes 8" in done.stdout
