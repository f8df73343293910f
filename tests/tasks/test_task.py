"""Tasks: every kind and format, which file is which split, and what is refused."""

import json

import pytest

from diffmask.config.evaluation import TaskSettings
from diffmask.core.errors import InputError
from diffmask.tasks.task import read_task

ROWS = {
    "train": [{"text": f"the kinase {number}", "label": "enzyme" if number % 2 else "body"} for number in range(20)],
    "dev": [{"text": "blood", "label": "body"}, {"text": "cells", "label": "enzyme"}],
    "test": [{"text": "a dose", "label": "body"}, {"text": "the protein", "label": "enzyme"}],
}


def write(folder, rows=ROWS, suffix=".jsonl", names=None):
    folder.mkdir(exist_ok=True)
    for split, examples in rows.items():
        path = folder / f"{(names or {}).get(split, split)}{suffix}"
        if suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in examples))
        elif suffix == ".csv":
            lines = [",".join(examples[0]), *(",".join(f'"{value}"' for value in row.values()) for row in examples)]
            path.write_text("\n".join(lines) + "\n")
        else:
            import datasets

            datasets.Dataset.from_list(examples).to_parquet(path)
    return folder


def read(folder, **settings):
    return read_task(TaskSettings((str(folder),), **settings))


def refusal(folder, **settings):
    with pytest.raises(InputError) as caught:
        read(folder, **settings)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_format_is_the_same_task(tmp_path, suffix):
    task = read(write(tmp_path / "proteins", suffix=suffix))
    assert (task.name, task.kind, task.labels, task.dev_from_train) == (
        "proteins",
        "single-label",
        ["body", "enzyme"],
        False,
    )
    assert task.test.texts == ["a dose", "the protein"] and task.test.labels == [0, 1]
    assert [len(split) for split in task.splits.values()] == [20, 2, 2]
    assert task.hash == read(write(tmp_path / "other")).hash


def test_the_hash_is_of_texts_and_labels(tmp_path):
    changed = ROWS | {"test": [ROWS["test"][0], ROWS["test"][1] | {"label": "body"}]}
    assert read(write(tmp_path / "a")).hash != read(write(tmp_path / "b", changed)).hash


@pytest.mark.parametrize("name", ["val", "valid", "validation", "devel", "eval", "chem_dev"])
def test_the_dev_split_has_several_names(tmp_path, name):
    assert read(write(tmp_path / "task", names={"dev": name})).dev.texts == ["blood", "cells"]


def test_without_dev_a_tenth_of_the_training_texts_is_held_out_and_equal_texts_stay_together(tmp_path):
    rows = {"train": [row for row in ROWS["train"] for _ in range(2)], "test": ROWS["test"]}
    task = read(write(tmp_path / "task", rows))
    assert task.dev_from_train and len(task.dev) == 4 and len(task.train) == 36
    assert not set(task.dev.texts) & set(task.train.texts)
    assert sorted(task.dev.texts + task.train.texts) == sorted(row["text"] for row in rows["train"])


def test_a_dataset_dict_on_disk_is_a_task(tmp_path):
    import datasets

    parts = {"train": "train", "validation": "dev", "test": "test"}
    made = datasets.DatasetDict({name: datasets.Dataset.from_list(ROWS[split]) for name, split in parts.items()})
    made.save_to_disk(tmp_path / "saved")
    assert read(tmp_path / "saved").hash == read(write(tmp_path / "files")).hash


def test_lists_of_labels_are_a_multi_label_task(tmp_path):
    rows = {
        split: [{"text": row["text"], "label": [row["label"], "any"]} for row in part] for split, part in ROWS.items()
    }
    rows["test"][0]["label"] = []
    task = read(write(tmp_path / "task", rows))
    assert (task.kind, task.labels, task.test.labels) == ("multi-label", ["any", "body", "enzyme"], [[], [0, 2]])


def test_labels_of_a_table_are_divided_by_the_separator(tmp_path):
    rows = {split: [row | {"label": f"any; {row['label']}"} for row in part] for split, part in ROWS.items()}
    task = read(write(tmp_path / "task", rows, ".csv"), kind="multi-label", separator=";")
    assert task.test.labels == [[0, 1], [0, 2]]


def test_labelled_words(tmp_path):
    rows = {
        split: [
            {"tokens": row["text"].split(), "ner_tags": ["O"] * (len(row["text"].split()) - 1) + ["X"]} for row in part
        ]
        for split, part in ROWS.items()
    }
    task = read(write(tmp_path / "task", rows))
    assert (task.kind, task.labels, task.test.labels) == ("tokens", ["O", "X"], [[0, 1], [0, 1]])
    assert task.test.joined() == ["a dose", "the protein"]
    rows["dev"][1]["ner_tags"].append("X")
    assert "dev.jsonl: row 2 has 1 words and 2 labels; give each word one label" in refusal(write(tmp_path / "b", rows))


def tagged(convert):
    return {
        split: [
            {"tokens": row["text"].split(), "ner_tags": convert([0] * (len(row["text"].split()) - 1) + [1])}
            for row in part
        ]
        for split, part in ROWS.items()
    }


def test_numbers_of_words_ask_which_is_outside(tmp_path):
    folder = write(tmp_path / "task", tagged(list))
    assert refusal(folder) == (
        "the labels of words are numbers (0, 1), which do not tell which one is outside of everything; name it with "
        "--outside, such as --outside 0, or count all of them with --outside none"
    )
    assert read(folder, outside="0").outside == "0" and read(folder, outside="none").outside is None
    assert refusal(folder, outside="7") == "no word has the label '7' of task.outside; choose from: 0, 1, none"
    named = write(tmp_path / "named", tagged(lambda tags: ["OX"[tag] for tag in tags]))
    assert read(named).outside == "O" and read(named, outside="X").outside == "X"
    parts = write(tmp_path / "parts", tagged(lambda tags: ["NV"[tag] for tag in tags]))
    assert read(parts).outside is None


@pytest.mark.parametrize("on_disk", [True, False])
def test_numbers_that_datasets_knows_the_names_of_are_names(tmp_path, on_disk):
    import datasets

    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=["O", "X"])),
        }
    )
    parts = {split: datasets.Dataset.from_list(rows, features=features) for split, rows in tagged(list).items()}
    (tmp_path / "task").mkdir()
    if on_disk:
        datasets.DatasetDict(parts).save_to_disk(tmp_path / "task")
    else:
        for split, part in parts.items():
            part.to_parquet(tmp_path / "task" / f"{split}.parquet")
    task = read(tmp_path / "task")
    assert (task.labels, task.outside, task.test.labels) == (["O", "X"], "O", [[0, 1], [0, 1]])


def test_a_label_that_datasets_hides_is_none(tmp_path):
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])})
    for split, labels in {"train": [0, 1], "dev": [0, 1], "test": [0, -1]}.items():
        rows = [{"text": f"{split} {place}", "label": label} for place, label in enumerate(labels)]
        datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / f"{split}.parquet")
    assert "test.parquet: row 2 has no label in column 'label'" in refusal(tmp_path)


def test_several_files_of_a_split_are_refused_but_for_shards(tmp_path):
    folder = write(tmp_path / "task")
    (folder / "train_10.jsonl").write_text((folder / "train.jsonl").read_text())
    assert refusal(folder) == (
        "several files are named train (train.jsonl, train_10.jsonl); give the files of the task one by one, or leave "
        "one of each name"
    )
    given = TaskSettings(tuple(str(folder / f"{name}.jsonl") for name in ("train", "train_10", "dev", "test")))
    assert len(read_task(given).train) == 40
    (folder / "train.jsonl").rename(folder / "train-00000-of-00002.jsonl")
    (folder / "train_10.jsonl").rename(folder / "train-00001-of-00002.jsonl")
    task = read(folder)
    assert len(task.train) == 40
    assert [path.name for path in task.files["train"]] == ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]


def test_the_kind_is_obeyed_where_there_are_words_too(tmp_path):
    rows = {split: [row | {"tokens": row["text"].split()} for row in part] for split, part in ROWS.items()}
    task = read(write(tmp_path / "task", rows), kind="single-label")
    assert (task.kind, task.test.texts) == ("single-label", ["a dose", "the protein"])


@pytest.mark.parametrize("names", [("sentence1", "sentence2"), ("premise", "hypothesis")])
def test_pairs_are_known_by_their_names(tmp_path, names):
    rows = {
        split: [{names[0]: row["text"], names[1]: "b", "label": row["label"]} for row in part]
        for split, part in ROWS.items()
    }
    task = read(write(tmp_path / "task", rows))
    assert task.test.pairs == ["b", "b"] and task.test.joined()[0] == "a dose\nb"


def test_columns_may_be_named(tmp_path):
    rows = {
        split: [{"one": row["text"], "two": "b", "gold": row["label"], "label": "x"} for row in part]
        for split, part in ROWS.items()
    }
    task = read(write(tmp_path / "task", rows), text="one", pair="two", label="gold")
    assert (task.test.texts[0], task.test.pairs[0], task.labels) == ("a dose", "b", ["body", "enzyme"])


def test_numbers_are_labels_in_the_order_of_numbers(tmp_path):
    rows = {split: [row | {"label": place % 11} for place, row in enumerate(part)] for split, part in ROWS.items()}
    assert read(write(tmp_path / "task", rows)).labels == [str(number) for number in range(11)]


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"test": None}, {}, "the task has no file named test"),
        ({"train": None}, {}, "the task has no file named train"),
        ({"dev": []}, {}, "dev.jsonl is empty (0 bytes)"),
        ({"test": [{"text": "x", "label": None}]}, {}, "test.jsonl: row 1 has no label in column 'label'"),
        ({"test": [{"text": None, "label": "body"}]}, {}, "row 1: column 'text' must hold text, not 'None'"),
        ({"train": [{"text": "x", "topic": "y"}]}, {}, "has no column of labels; name it with --label"),
        ({}, {"label": "gold"}, "has no column 'gold'; its columns: text, label"),
        ({}, {"kind": "tokens"}, "not a list of words; token classification needs lists of words and of labels"),
        ({}, {"kind": "ranking"}, "unknown task.kind 'ranking'; choose from: single-label, multi-label, tokens"),
    ],
)
def test_what_is_refused(tmp_path, changes, settings, message):
    rows = {split: part for split, part in (ROWS | changes).items() if part is not None}
    assert message in refusal(write(tmp_path / "task", rows), **settings)


def test_one_label_alone_is_no_task(tmp_path):
    rows = {split: [row | {"label": "body"} for row in part] for split, part in ROWS.items()}
    assert "nothing to tell apart: all are labelled 'body'" in refusal(write(tmp_path / "task", rows))
