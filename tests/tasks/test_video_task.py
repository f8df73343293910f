"""Tasks of clips: from an index, folders or a table; what is left out and what is refused."""

import json
import shutil
from dataclasses import replace

import pytest
from support.video_task import as_clip, make_clips, write_task

from diffmask.config.evaluation import EvaluateSettings, TaskSettings, VideoSettings
from diffmask.core.errors import InputError
from diffmask.tasks.video_task import read_video_task
from diffmask.video.clip.clip import Clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("task") / "clips", (("train", 4), ("dev", 2), ("test", 2)))


def read(tmp_path, clips, *, unreadable="refuse", **settings):
    task = TaskSettings((write_task(tmp_path / "made.parquet", clips),), **settings)
    return read_video_task(EvaluateSettings("model", task, video=VideoSettings(unreadable=unreadable)))


def bad(clip, name, split):
    return Clip(clip.path.replace("train-0", name), "corrupt", reason="it cannot be decoded", label="red", split=split)


def test_an_index(tmp_path, clips):
    task = read(tmp_path, [*clips, replace(clips[0], path=clips[0].path + ".other", split=None)])
    assert (task.name, task.kind, task.labels, task.examples) == ("made", "single-label", ["blue", "red"], "clips")
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 4, "dev": 2, "test": 2}
    assert [clip.path for clip in task.clips_of(task.test)] == [clip.path for clip in clips if clip.split == "test"]
    assert [task.labels[row] for row in task.train.labels] == [clip.label for clip in clips if clip.split == "train"]
    assert not task.dev_from_train and not task.left_out


def test_the_hash_is_of_contents_and_labels_not_of_places(tmp_path, clips):
    first = read(tmp_path, clips)
    shutil.copytree(tmp_path.parent / "x", tmp_path, dirs_exist_ok=True) if (tmp_path.parent / "x").exists() else None
    moved = []
    (tmp_path / "elsewhere").mkdir()
    for clip in clips:
        path = tmp_path / "elsewhere" / clip.path.rsplit("/", 1)[1]
        shutil.copy(clip.path, path)
        moved.append(as_clip(path, clip.label, clip.split))
    assert read(tmp_path, moved).hash == first.hash
    other = {"red": "blue", "blue": "red"}
    assert read(tmp_path, [replace(clip, label=other[clip.label]) for clip in clips]).hash != first.hash


def test_names_of_splits_are_understood(tmp_path, clips):
    given = {"train": "Training", "dev": "val", "test": "TEST"}
    task = read(tmp_path, [replace(clip, split=given[clip.split]) for clip in clips])
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 4, "dev": 2, "test": 2}


def test_without_a_dev_split_a_tenth_is_taken_from_train(tmp_path, clips):
    task = read(tmp_path, [clip for clip in clips if clip.split != "dev"])
    assert task.dev_from_train
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 3, "dev": 1, "test": 2}


def test_folders_tell_split_and_label(tmp_path, clips):
    for clip in clips:
        path = tmp_path / "colours" / clip.split / clip.label / clip.path.rsplit("/", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, path)
    task = read_video_task(EvaluateSettings("model", TaskSettings((str(tmp_path / "colours"),))))
    assert (task.name, task.labels) == ("colours", ["blue", "red"])
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 4, "dev": 2, "test": 2}


def test_a_table_beside_its_clips(tmp_path, clips, caplog):
    for clip in clips:
        shutil.copy(clip.path, tmp_path)
    rows = [f"{clip.name},{clip.label},{clip.split}" for clip in clips if clip.split != "dev"]
    (tmp_path / "labels.csv").write_text("\n".join(["clip,label,split", *rows]) + "\n")
    caplog.set_level("INFO", "diffmask")
    task = read_video_task(EvaluateSettings("model", TaskSettings((str(tmp_path / "labels.csv"),))))
    assert task.name == "labels" and len(task.clips) == 6 and task.dev_from_train
    assert caplog.messages == [f"{tmp_path}/labels.csv: 6 labels, 6 splits by its column 'clip'; 2 clips have no row"]
    (tmp_path / "labels.csv").write_text("clip,label,split\nnowhere,red,train\n")
    with pytest.raises(InputError, match="1 rows match no clip.*; give the folder of the clips beside the table"):
        read_video_task(EvaluateSettings("model", TaskSettings((str(tmp_path / "labels.csv"),))))


def test_lists_without_a_header_in_files_named_by_their_splits(tmp_path, clips):
    for split in ("train", "val", "test"):
        of_split = [clip for clip in clips if clip.split == {"val": "dev"}.get(split, split)]
        lines = [f"{clip.path} {int(clip.label == 'red')}\n" for clip in of_split]
        (tmp_path / f"{split}.csv").write_text("".join(lines))
    files = tuple(str(tmp_path / f"{split}.csv") for split in ("train", "val", "test"))
    task = read_video_task(EvaluateSettings("model", TaskSettings(files)))
    assert (task.kind, task.labels) == ("single-label", ["0", "1"])
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 4, "dev": 2, "test": 2}


def test_a_list_of_labels_makes_a_task_of_several(tmp_path, clips):
    lists = [replace(clip, label=json.dumps([clip.label, "square"])) for clip in clips]
    task = read(tmp_path, lists)
    assert (task.kind, task.labels) == ("multi-label", ["blue", "red", "square"])
    assert all(len(label) == 2 for label in task.train.labels)
    with pytest.raises(InputError, match=r"has 2 labels \((blue|red), square\); a single-label task has one for each"):
        read(tmp_path, lists, kind="single-label")
    alone = [replace(clip, label=json.dumps([clip.label])) for clip in clips]
    assert read(tmp_path, alone, kind="single-label").labels == ["blue", "red"]


def test_clips_that_cannot_be_read_are_named_and_left_out(tmp_path, clips):
    task = read(tmp_path, [*clips, bad(clips[0], "broken", "train")])
    (path,) = task.left_out["train"]
    assert path.endswith("broken.mp4") and task.left_out["train"][path] == "it cannot be decoded"
    assert len(task.train) == 4 and set(task.left_out) == {"train"}


def test_unreadable_test_clips_are_refused_unless_allowed(tmp_path, clips):
    # a short name: messages show the start of a path, and a worker's temporary folder lies deeper
    given = [*clips, replace(bad(clips[0], "broken", "test"), path="clips/broken.mp4")]
    message = r"1 of the 3 test clips cannot be read \(.*broken.mp4\); mend .* or give video.unreadable=leave-out"
    with pytest.raises(InputError, match=message):
        read(tmp_path, given)
    task = read(tmp_path, given, unreadable="leave-out")
    assert len(task.test) == 2 and len(task.left_out["test"]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: [replace(x, split=None) for x in c],
            "made.parquet has 8 clips and none of split train; join a table",
        ),
        (lambda c: [x for x in c if x.split != "test"], "6 clips and none of split test; join a table"),
        (
            lambda c: [replace(c[0], split="general"), *c[1:]],
            "has the split 'general'; choose from: train, training, dev",
        ),
        (lambda c: [replace(c[0], label=None), *c[1:]], "train-0.mp4 of split train has no label; give it one with"),
        (
            lambda c: [*c[:-1], replace(c[-1], label="odd")],
            r"no training clip has these labels of test: odd \(1\); add",
        ),
        (lambda c: [replace(x, label="red") for x in c], "all are labelled 'red'; give clips of two labels or more"),
        (
            lambda c: [x if x.split == "test" else replace(x, status="corrupt", reason="torn") for x in c],
            "not one train clip can be read; .*train-0.mp4: torn",
        ),
        (
            lambda c: [replace(c[0], label="blue"), *(x for x in c if x.split == "test")],
            "no training clip has these labels of test: red",
        ),
    ],
)
def test_what_is_refused(tmp_path, clips, change, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, change(clips))


def test_too_few_for_a_dev_split(tmp_path, clips):
    given = [
        replace(clips[0], label="red"),
        *(replace(clip, label="red|blue") for clip in clips if clip.split == "test"),
    ]
    with pytest.raises(InputError, match="too few training clips to take one from; give some the split dev"):
        read(tmp_path, [replace(given[0], label="red|blue"), *given[1:]], kind="multi-label")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "tokens"}, "kind tokens labels words, and clips have none; choose from: single-label, multi-label"),
        ({"kind": "many"}, "unknown task.kind 'many'; choose from: single-label, multi-label"),
        ({"label": "class"}, "task.label is for texts; clips have the labels and splits of their index"),
        ({"outside": "O"}, "task.outside is for texts"),
    ],
)
def test_settings_of_texts(tmp_path, clips, settings, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, clips, **settings)


def test_an_index_and_a_table(tmp_path, clips):
    (tmp_path / "labels.csv").write_text("clip,label,split\ntrain-0,red,train\n")
    files = (write_task(tmp_path / "made.parquet", clips), str(tmp_path / "labels.csv"))
    with pytest.raises(
        InputError, match="an index and a table .*labels.csv.* cannot be read together; write the table's"
    ):
        read_video_task(EvaluateSettings("model", TaskSettings(files)))
