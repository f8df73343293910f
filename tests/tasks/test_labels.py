"""Labels that cannot be meant are refused or told."""

import json
import logging

import pyarrow
import pytest
from pyarrow import parquet

from diffmask.config.evaluation import TaskSettings
from diffmask.core.errors import InputError
from diffmask.selective.task import find_files, read_single_texts
from diffmask.tasks.task import read_task


def write(folder, train, test, kind=None):
    for split, labels in (("train", train), ("test", test)):
        rows = [{"text": f"{split} {number}", "label": label} for number, label in enumerate(labels)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return TaskSettings((str(folder),), kind=kind)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            [1, 0, "1"] * 9,
            [1],
            "train.jsonl: column 'label' holds a number in row 1 (1) and text in row 3 ('1'); write all labels as "
            "text, or all as numbers",
        ),
        ([["a", 1], ["b"]] * 9, [["a"]], "holds text in row 1 ('a') and a number in row 1 (1); write all labels as"),
        ([True, 1] * 9, [1], "holds true or false in row 1 (True) and a number in row 2 (1); write all labels as text"),
        ([1.0, 0.0], [1], "train.jsonl: row 1 has no label in column 'label' (1.0); give a word or a whole number"),
        ([float("nan"), 1], [1], "train.jsonl: row 1 has no label in column 'label' (nan); give a word or a whole"),
        (["NaN", "a"], ["a"], "train.jsonl: row 1 has no label in column 'label' (NaN); give a word or a whole"),
        (["a", " "], ["a"], "train.jsonl: row 2 has no label in column 'label' (); give a word or a whole number"),
        (["1", "1.0", "2"] * 9, ["1"], "the labels '1' and '1.0' are the same number; write it in one way, or"),
        (["a", "b"] * 9, ["c"], "no training text has these labels of test: c (1); add such texts to train, or take"),
        (["a"] * 9, ["a", "b"], "no training text has these labels of test: b (1); add such texts to train, or take"),
    ],
)
def test_labels_that_are_refused(tmp_path, train, test, message):
    with pytest.raises(InputError) as caught:
        read_task(write(tmp_path, train, test))
    assert message in str(caught.value)


def test_numbers_of_one_file_and_words_of_another_agree(tmp_path):
    settings = write(tmp_path, [0, 1] * 9, ["0", "1"])
    assert read_task(settings).labels == ["0", "1"]


def test_rare_labels_among_several_are_told(tmp_path, caplog):
    settings = write(tmp_path, [["a"], ["b"]] * 9, [["a", "c"]])
    with caplog.at_level(logging.INFO, "diffmask"):
        assert read_task(settings).labels == ["a", "b", "c"]
    assert caplog.messages == [
        "read column 'text' with labels of 'label' of train.jsonl: 18 rows",
        "read column 'text' with labels of 'label' of test.jsonl: 1 rows",
        "no training text has these labels of test: c (1); they cannot be learned, and count as errors",
    ]


def test_rows_without_text_and_labels_that_are_left_out_are_told(tmp_path, caplog):
    write(tmp_path, ["a", "b"] * 9, ["c"])
    (tmp_path / "test.jsonl").rename(tmp_path / "dev.jsonl")
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"text": " ", "label": "a"}\n')
    with caplog.at_level(logging.INFO, "diffmask"):
        read_single_texts(find_files(tmp_path))
    assert (
        "read column 'text' with labels of 'label' of train.jsonl: 18 rows, 1 without text, left out" in caplog.messages
    )
    assert "1 held-out texts have labels that no training text has, and are left out" in caplog.messages


def test_a_label_that_pandas_left_out_is_refused(tmp_path):
    settings = write(tmp_path, ["a", "b"] * 9, ["a"])
    parquet.write_table(pyarrow.table({"text": ["x", "y"], "label": [1.0, None]}), tmp_path / "train.parquet")
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(InputError, match=r"train.parquet: row 1 has no label in column 'label' \(1.0\)"):
        read_task(settings)
