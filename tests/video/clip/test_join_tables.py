"""Tables and lists as other projects write them: whose rows they are, and what they say."""

import json

import pytest

from diffmask.core.errors import InputError
from diffmask.video.clip.find import list_videos
from diffmask.video.clip.join_tables import join

NAMES = ("train/v1.mp4", "train/v2.mp4", "train/my clip, 4.mp4", "val/v5.mp4")
CLIPS = [f"/data/ds/{name}" for name in NAMES]


def joined(tmp_path, name, content, clips=CLIPS):
    """Return what a table says, by the end of the path of each clip."""
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    found = join(path, clips)
    texts = {clip.removeprefix("/data/ds/"): said for clip, said in found.texts.items()}
    return texts, found.summary.removeprefix(f"{tmp_path}/")


def labels(*given, field="label"):
    return {name: {field: label} for name, label in zip(NAMES, given, strict=False) if label is not None}


SPACED = "ds/train/v1.mp4 0\nds/train/v2.mp4 1\nds/train/my clip, 4.mp4 3\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", SPACED),
        ("a.txt", SPACED),
        ("a.list", "\ufeff" + SPACED.replace("\n", "\r\n\r\n")),
        ("a.csv", SPACED.replace(" 0", ",0").replace(" 1", ",1").replace(" 3", ",3")),
        ("a.tsv", SPACED.replace(" 0", "\t0").replace(" 1", "\t1").replace(" 3", "\t3")),
        ("a.csv", 'v1.mp4;0\nv2.mp4;1\n"my clip, 4.mp4";3\n'),
        ("a.csv", 'v1.mp4,0\nv2.mp4,1\n"my clip, 4.mp4",3\n'),
        ("a.csv", "/data/ds/train/v1.mp4 0\n/data/ds/train/v2.mp4 1\n/data/ds/train/my clip, 4.mp4 3\n"),
        ("a.csv", "v1 0\nv2 1\nmy clip, 4 3\n"),
    ],
)
def test_a_list_of_clips_and_labels_needs_no_header(tmp_path, name, content):
    texts, summary = joined(tmp_path, name, content)
    assert texts == labels("0", "1", "3")
    assert summary == f"{name}: 3 labels by a list without a header, read as path, label; 1 clips have no row"


@pytest.mark.parametrize(
    ("content", "expected", "read_as"),
    [
        ("v1.mp4 120 0\nv2.mp4 90 7\n", labels("0", "7"), "path, label, 1 more left out"),
        ("v1.mp4 0 120 4\nv2.mp4 0 90 7\n", labels("4", "7"), "path, label, 2 more left out"),
        ("v1.mp4 0 3\nv2.mp4 5\n", labels('["0", "3"]', '["5"]'), "path, label"),
        ("v1.mp4 playing guitar\nv2.mp4 run\n", labels("playing guitar", "run"), "path, label"),
        (
            "v1.mp4 12 playing guitar\nv2.mp4 9 run it\n",
            labels("playing guitar", "run it"),
            "path, label, 1 more left out",
        ),
        ("v1,3,run,train\nv2,1,eat,test\n", None, "path, label, split, 1 more left out"),
        ("v1.mp4,a man walks his dog\nv2.mp4,a woman eats an apple\n", None, "path, caption"),
        ("v1.mp4 0 -1\nv2.mp4 0 -1\n", {NAMES[0]: {}, NAMES[1]: {}}, "path, 2 more left out"),
        ("v1.mp4\nv2.mp4\n", {NAMES[0]: {}, NAMES[1]: {}}, "path"),
    ],
)
def test_what_stands_after_the_clips_of_a_list(tmp_path, content, expected, read_as):
    texts, summary = joined(tmp_path, "a.csv", content)
    assert summary.split("read as ")[1] == f"{read_as}; 2 clips have no row"
    if "split" in read_as:
        expected = {NAMES[0]: {"label": "run", "split": "train"}, NAMES[1]: {"label": "eat", "split": "test"}}
    if "caption" in read_as:
        expected = labels("a man walks his dog", "a woman eats an apple", field="caption")
    assert texts == expected


@pytest.mark.parametrize(
    ("name", "split"), [("train.csv", "train"), ("k400_val_list.txt", "dev"), ("testlist01.txt", "test")]
)
def test_a_list_is_of_the_split_that_its_name_says(tmp_path, name, split):
    texts, summary = joined(tmp_path, name, "ds/train/v1.mp4 0\nds/gone.mp4 1\n")
    assert texts == {"train/v1.mp4": {"label": "0", "split": split}}
    assert f"read as path, label, its split by the name {name}; 1 rows match no clip; 3 clips have no row" in summary


CUT = [
    f"/data/ds/{name}.mp4" for name in ("abc_000010_000020", "abc_000030_000040", "-d_e", "f_30_40", "g_30.000_40.000")
]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "kinetics.csv",
            "label,youtube_id,time_start,time_end,split,is_cc\nrun,abc,10,20,train,0\neat,-d_e,5,15,val,0\nno,abc,50,60,test,0\n",
            {"abc_000010_000020": "run", "-d_e": "eat"},
        ),
        (
            "audioset.csv",
            "# Segments csv created Sun Mar  5 10:54:31 2017\n# num_ytids=3, num_segs=3\n"
            '# YTID, start_seconds, end_seconds, positive_labels\nf, 30.000, 40.000, "/m/a,/m/b"\n'
            'g, 30.000, 40.000, "/m/a"\nabc, 99.000, 109.000, "/m/a"\n',
            {"f_30_40": '["/m/a", "/m/b"]', "g_30.000_40.000": '["/m/a"]'},
        ),
        ("howto.csv", "video_id,label\nabc,cook\n", {"abc_000010_000020": "cook", "abc_000030_000040": "cook"}),
        ("ytid.tsv", "YTID\tclass\n-d_e\tcook\n", {"-d_e": "cook"}),
        ("spaced.csv", "Video ID, Label\n-d_e, cook\n", {"-d_e": "cook"}),
    ],
)
def test_ids_and_seconds_name_clips(tmp_path, name, content, expected):
    texts, _ = joined(tmp_path, name, content, CUT)
    assert {clip.removesuffix(".mp4"): said["label"] for clip, said in texts.items()} == expected


@pytest.mark.parametrize(
    ("content", "dropped"),
    [
        ("/home/x/ds/train/v1.mp4 0\n/home/x/ds/train/v2.mp4 1\n/home/x/ds/val/v5.mp4 1\n", "/home/x"),
        ("root/ds/train/v1.mp4 0\nroot/ds/train/v2.mp4 1\nroot/ds/val/v5.mp4 1\n", "root"),
        ("C:\\a\\ds\\train\\v1.mp4,0\nC:\\a\\ds\\train\\v2.mp4,1\nC:\\a\\ds\\val\\v5.mp4,1\n", "C:/a"),
        ("train\\v1.mp4,0\ntrain\\v2.mp4,1\nval\\v5.mp4,1\n", None),
        ("file:///data/ds/train/v1.mp4,0\ntrain/V2.MP4,1\nval%2Fv5.mp4,1\n", None),
        ("train/v1.avi 0\ntrain/v2.AVI 1\n./val/v5 1\n", None),
    ],
)
def test_paths_of_another_machine(tmp_path, content, dropped):
    texts, summary = joined(tmp_path, "a.csv", content)
    assert texts == labels("0", "1", None, "1")
    said = f"; its paths were read without {dropped}, which is not there" if dropped else ""
    assert summary.endswith(f"; 1 clips have no row{said}")


def test_folders_that_differ_are_not_taken_off(tmp_path):
    texts, summary = joined(tmp_path, "a.csv", "x/train/v5.mp4 0\nx/val/v5.mp4 1\n")
    assert texts == labels(None, None, None, "1")
    assert "1 rows match no clip" in summary


def test_equal_names_in_other_spellings(tmp_path):
    texts, _ = joined(tmp_path, "a.csv", "file,label\ncaf\u00e9.mp4,x\n", ["/data/ds/cafe\u0301.mp4"])
    assert texts == {"cafe\u0301.mp4": {"label": "x"}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"video": "v1.mp4", "labels": ["a", "b"]}\n{"video": "v2.mp4", "labels": ["a"]}\n'),
        ("a.csv", "video,labels\nv1.mp4,\"['a', 'b']\"\nv2.mp4,['a']\n"),
        ("a.csv", 'video,labels\nv1.mp4,"[""a"", ""b""]"\nv2.mp4,"[""a""]"\n'),
        ("a.tsv", 'video\tlabels\nv1.mp4\t["a", "b"]\nv2.mp4\t["a"]\n'),
    ],
)
def test_a_list_of_labels_is_several_labels(tmp_path, name, content):
    texts, _ = joined(tmp_path, name, content)
    assert {clip: json.loads(said["label"]) for clip, said in texts.items()} == {NAMES[0]: ["a", "b"], NAMES[1]: ["a"]}


def test_columns_that_the_first_row_lacks_and_values_that_are_not_there(tmp_path):
    rows = [{"video": "v1.mp4"}, {"video": "v2.mp4", "label": 2}, {"video": "v5", "label": float("nan")}]
    texts, _ = joined(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert texts == {NAMES[0]: {}, NAMES[1]: {"label": "2"}, NAMES[3]: {}}


def test_a_table_that_names_no_clip_says_what_it_names(tmp_path):
    _, summary = joined(tmp_path, "a.csv", "file,label\nx/y.mp4,1\n")
    found, _, named = summary.partition("; 4 clips have no row; ")
    assert found == "a.csv: nothing by its column 'file'; 1 rows match no clip"
    assert named == "its first row names 'x/y.mp4'"


def test_what_is_no_list_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        joined(tmp_path, "a.txt", "some words\nof a text\n")
    assert str(caught.value) == (
        f"{tmp_path}/a.txt is no list of clips: no line begins with the name of one; its first line: 'some words'"
    )
    with pytest.raises(InputError, match="none of its lines that begin with # names a column of clips"):
        joined(tmp_path, "a.csv", "# a comment\nv1.mp4,1\n")


def test_lists_stand_for_the_clips_that_they_name(tmp_path):
    for name in NAMES:
        (tmp_path / "ds" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "ds" / name).touch()

    def listed(content, name="list.csv"):
        (tmp_path / name).write_text(content)
        return [path.removeprefix(f"{tmp_path}/ds/") for path in list_videos([tmp_path / name])]

    assert listed("ds/train/v1.mp4 0\nds/train/my clip, 4.mp4 1\n") == sorted([NAMES[0], NAMES[2]])
    assert listed(f"{tmp_path}/ds/train/v1.mp4\n", "list.txt") == ["train/v1.mp4"]
    assert listed("path,label\nds/val/v5.mp4,1\nds/val/gone.mp4,2\n") == ["val/gone.mp4", "val/v5.mp4"]
    assert listed("/home/x/ds/train/v1.mp4 0\n/home/x/ds/val/v5.mp4 1\n") == ["train/v1.mp4", "val/v5.mp4"]
    assert listed("D:\\ds\\train\\v1.mp4,0\nD:\\ds\\train\\my%20clip,%204.mp4,1\n") == [NAMES[2], NAMES[0]]
    with pytest.raises(InputError) as caught:
        listed("youtube_id,label\nv1,a\n", "ids.csv")
    assert str(caught.value) == (
        f"{tmp_path}/ids.csv: none of its clips (v1, ...; its column 'youtube_id') is beside it or here; "
        f"give the folder of the clips in its place, and the table as --join {tmp_path}/ids.csv"
    )
