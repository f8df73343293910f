"""Labelled tasks: every format, what is held out, and what is refused."""

import gzip
import json

import pytest
from support.labelled import labelled_rows, write_task

from diffmask.core.errors import InputError
from diffmask.selective.task import HELD_OUT, LEFT_OUT, TRAINING, find_files, read_single_texts

ROWS = labelled_rows(40)


def read_task(sources, **options):
    return read_single_texts(find_files(sources), **options)


def refusal(*args, **options):
    with pytest.raises(InputError) as caught:
        read_task(*args, **options)
    return str(caught.value)


def write(folder, suffix, rows=ROWS):
    path = folder / f"task{suffix}"
    if suffix == ".jsonl":
        write_task(path, rows)
    elif suffix == ".jsonl.gz":
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    elif suffix in (".csv", ".tsv"):
        separator = "," if suffix == ".csv" else "\t"
        lines = [f'{row["label"]}{separator}"{row["text"]}"' for row in rows]
        path.write_text("\n".join([f"label{separator}text", *lines]) + "\n")
    else:
        import datasets

        made = datasets.Dataset.from_list(rows)
        made.to_parquet(path) if suffix == ".parquet" else made.save_to_disk(path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet", ""])
def test_every_format_is_the_same_task(tmp_path, suffix):
    task = read_task(write(tmp_path, suffix))
    assert task.labels == ["body", "enzyme"]
    texts = {row["text"]: row["label"] for row in ROWS}
    for part in (task.train, task.dev):
        assert [task.labels[label] for label in part.labels] == [texts[words] for words in part.texts]
    assert (len(task.train.texts), len(task.dev.texts)) == (36, 4)
    assert task.train.texts == read_task(write_task(tmp_path / "other.jsonl", ROWS)).train.texts


def test_whole_numbers_are_labels(tmp_path):
    rows = [{"sentence": row["text"], "class": int(row["label"] == "body")} for row in ROWS]
    assert read_task(write_task(tmp_path / "task.jsonl", rows)).labels == ["0", "1"]


def test_files_are_used_as_they_are_named(tmp_path):
    for name, start in (("train", 0), ("dev", 15), ("test", 30)):
        write_task(tmp_path / f"{name}.jsonl", ROWS[start : start + 20])
    task = read_task(tmp_path)
    assert find_files(tmp_path) == [
        (tmp_path / "dev.jsonl", HELD_OUT),
        (tmp_path / "test.jsonl", LEFT_OUT),
        (tmp_path / "train.jsonl", TRAINING),
    ]
    assert sorted(task.train.texts) == sorted(row["text"] for row in ROWS[:20])
    # five texts of dev stand in train too
    assert sorted(task.dev.texts) == sorted(row["text"] for row in ROWS[20:35])
    assert find_files(tmp_path / "test.jsonl") == [(tmp_path / "test.jsonl", TRAINING)]


def test_texts_are_chosen_by_their_content(tmp_path):
    path = write_task(tmp_path / "task.jsonl", ROWS)
    some = read_task(path, max_texts=20)
    assert some.train.texts == read_task(path).train.texts[:20]
    assert len(some.dev.texts) == 4
    assert not set(some.dev.texts) & set(some.train.texts)
    again = read_task(write_task(tmp_path / "turned.jsonl", ROWS[::-1] + ROWS), max_texts=20)
    assert again.train == some.train
    assert read_task(path, max_texts=20, seed=1).train != some.train


def test_rows_without_text_are_left_out_and_columns_are_named(tmp_path):
    rows = [{"title": row["text"], "text": "same", "kind": row["label"]} for row in ROWS] + [{"title": "", "kind": "x"}]
    task = read_task(write_task(tmp_path / "task.jsonl", rows), text="title", label="kind")
    assert task.labels == ["body", "enzyme"]
    assert len(task.train.texts) == 36


def test_a_quoted_value_may_span_lines(tmp_path):
    (tmp_path / "task.csv").write_text('text,label\n"a kinase\nof a cell",enzyme\nblood,body\nrat,body\n')
    task = read_task(tmp_path / "task.csv")
    assert "a kinase\nof a cell" in task.train.texts + task.dev.texts


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "kinase"}\n', "{path} has no column of labels; name it with --label, one of: text"),
        (
            '{"text": "kinase", "label": 0.5}\n',
            "{path}: row 1 has no label in column 'label' (0.5); give a word or a whole number",
        ),
        (
            '{"text": "kinase", "label": "a"}\n{"text": "cell", "label": null}\n',
            "{path}: row 2 has no label in column 'label' (None); give a word or a whole number",
        ),
        (
            '{"text": "kinase", "label": "a"}\n{"text": 5, "label": "b"}\n',
            "{path}: row 2: column 'text' must hold text, not '5'",
        ),
        (
            '{"text": " ", "label": "a"}\n',
            "the task has nothing to tell apart: there is no label; give texts of two labels or more",
        ),
        (
            "{\n",
            "{path}: line 1 is not valid JSON (Expecting property name enclosed in double quotes); write one object",
        ),
        (
            '{"text": "kinase", "label": "a"}\n{"text": "cell", "label": "a"}\n',
            "the task has nothing to tell apart: all are labelled 'a'; give texts of two labels or more",
        ),
    ],
)
def test_bad_rows_are_one_sentence(tmp_path, content, said):
    path = tmp_path / "task.jsonl"
    path.write_text(content)
    assert refusal(path).startswith(said.replace("{path}", str(path)))


def test_files_that_are_no_task_are_refused(tmp_path):
    (tmp_path / "task.txt").write_text("kinase\n")
    assert refusal(tmp_path / "task.txt") == (
        f"{tmp_path}/task.txt is plain text, which has no labels; give .jsonl, .csv, .tsv or .parquet"
    )
    (tmp_path / "bad.csv").write_text("text,label\nkinase,a,b\n")
    assert refusal(tmp_path / "bad.csv") == (
        f"{tmp_path}/bad.csv: line 2 has 3 values, the header has 2; put quotes around a value that holds the separator"
    )
    (tmp_path / "quotes.csv").write_text('text,label\n"kin"ase,a\n')
    assert refusal(tmp_path / "quotes.csv").startswith(f"{tmp_path}/quotes.csv: line 2 is not a row of values (")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1" * 9)
    assert refusal(tmp_path / "bad.parquet").startswith(f"{tmp_path}/bad.parquet is not a Parquet file, or is damaged")
    assert refusal(write_task(tmp_path / "one.jsonl", ROWS[:1])) == (
        "the task has nothing to tell apart: all are labelled 'enzyme'; give texts of two labels or more"
    )
    assert "'kind'" in refusal(write_task(tmp_path / "x.jsonl", ROWS), label="kind")


def test_a_folder_of_splits_is_refused(tmp_path):
    import datasets

    datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}).save_to_disk(tmp_path / "splits")
    assert refusal(tmp_path / "splits") == (
        f"{tmp_path}/splits holds the splits train; name one of them, for example {tmp_path}/splits/train"
    )


def test_a_name_may_speak_of_its_split_anywhere(tmp_path):
    names = ["chem_dev.jsonl", "chem_test.jsonl", "chem_train.jsonl", "validation.jsonl"]
    for name in names:
        write_task(tmp_path / name, ROWS)
    assert [use for _, use in find_files(tmp_path)] == [HELD_OUT, LEFT_OUT, TRAINING, HELD_OUT]


def test_the_second_column_of_a_pair_is_no_part_of_a_text(tmp_path):
    rows = [{"question": row["label"], "sentence": row["text"], "label": row["label"]} for row in ROWS]
    assert set(read_task(write_task(tmp_path / "task.jsonl", rows)).train.texts) <= {row["text"] for row in ROWS}
