"""Each kind of file that diffmask writes, damaged or made by hand: a sentence that names it and says what to do."""

import json

import pyarrow
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file, save_file
from support.domain import domain_anchors
from support.results import result, write_results

from diffmask.cli import main
from diffmask.core.errors import InputError
from diffmask.evaluate.results import read_results
from diffmask.evaluate.seed_file import SeedFile
from diffmask.text.anchors.anchor_set import load_anchors
from diffmask.text.corpus.counts import Counts, count_corpus
from diffmask.text.ngrams.counts import NGramSettings, count_ngrams
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import read_index, update_index, write_index


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path, change):
    content = json.loads(path.read_text())
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed))


def rewrite(path, change):
    table = parquet.read_table(path)
    parquet.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)


def column(name, values):
    return lambda table: table.set_column(table.schema.get_field_index(name), name, pyarrow.array(values))


@pytest.fixture
def anchors(tmp_path):
    domain_anchors().save(tmp_path / "anchors")
    return tmp_path / "anchors"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: [], "it holds no object"),
        (lambda record: {"anchors": record["anchors"]}, "num_words is missing or of a wrong type"),
        (lambda record: record | {"num_words": 0}, "num_words=0 must be at least 1"),
        (lambda record: record | {"num_words": "many"}, "num_words is missing"),
        (lambda record: record | {"anchors": []}, "anchors is empty"),
        (lambda record: record | {"anchors": [1]}, "anchors[0] is missing"),
        (lambda record: record | {"model": "tiny"}, "model.name is missing"),
    ],
)
def test_a_record_of_anchors(anchors, change, said):
    edit(anchors / "anchors.json", change)
    message = refusal(load_anchors, anchors)
    assert message.startswith(f"{anchors}/anchors.json is damaged ({said}") and "diffmask anchors DATA" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["score"]), "it has no column 'score'"),
        (lambda table: column("score", [float("nan")] * len(table))(table), "its column 'score' has values that are"),
        (lambda table: column("tf_icf", [float("inf")] * len(table))(table), "its column 'tf_icf' has values that are"),
        (lambda table: column("score", ["high"] * len(table))(table), "Failed to parse string"),
        (lambda table: column("type", [None] * len(table))(table), "its column 'type' has values that are missing"),
    ],
)
def test_a_table_of_types(anchors, change, said):
    rewrite(anchors / "types.parquet", change)
    message = refusal(load_anchors, anchors)
    assert message.startswith(f"{anchors}/types.parquet is damaged ({said}") and "diffmask anchors DATA" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table[:0], "types.parquet holds no word"),
        (lambda table: column("type", ["the"] * len(table))(table), "types.parquet holds a word twice"),
        (lambda table: column("count", [0] * len(table))(table), "a word that occurs less than once"),
        (lambda table: column("count", [10**9] * len(table))(table), "counts a word 1000000000 times, of"),
    ],
)
def test_types_that_contradict_their_record(anchors, change, said):
    rewrite(anchors / "types.parquet", change)
    assert said in refusal(load_anchors, anchors)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"other": torch.zeros(2, 4)}, "is damaged (it has no tensor 'anchors' of 2 dimensions)"),
        ({"anchors": torch.zeros(2)}, "is damaged (it has no tensor 'anchors' of 2 dimensions)"),
        (
            {"anchors": torch.full((2, 4), torch.nan)},
            "is damaged (its tensor 'anchors' has values that are not finite)",
        ),
        ({"anchors": torch.zeros(3, 4)}, "contradict each other (3 embeddings for 2 anchors)"),
    ],
)
def test_embeddings_of_anchors(anchors, tensors, said):
    save_file(tensors, anchors / "anchors.safetensors")
    assert said in refusal(load_anchors, anchors)
    assert load_file(anchors / "anchors.safetensors").keys() == tensors.keys()


@pytest.fixture
def counts(tmp_path):
    (tmp_path / "a.txt").write_text("a cell and a cell\n")
    count_corpus(tmp_path / "a.txt").save(tmp_path / "words.parquet")
    count_ngrams(tmp_path / "a.txt", settings=NGramSettings(max_n=2), save_to=tmp_path / "ngrams.parquet")
    return tmp_path


def with_record(change):
    def changed(table):
        (key, record), *_ = (pair for pair in table.schema.metadata.items() if pair[0].startswith(b"diffmask"))
        return table.replace_schema_metadata({key: json.dumps(change(json.loads(record)))})

    return changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["count"]), "it has no column 'count'"),
        (column("count", [0, -1, 2]), "it counts something -1 times"),
        (column("count", [None, 1, 2]), "its column 'count' has values that are missing"),
        (column("count", ["many", "1", "2"]), "Failed to parse string"),
        (with_record(lambda record: []), "in its record, it holds no object"),
        (with_record(lambda record: record | {"num_documents": "x"}), "in its record, num_documents is missing"),
        (
            with_record(lambda record: record | {"sources": [{"path": "a"}]}),
            "in its record, sources[0].bytes is missing",
        ),
    ],
)
def test_counts_of_words(counts, change, said):
    path = counts / "words.parquet"
    table = change(parquet.read_table(path))
    metadata = table.schema.metadata or parquet.read_table(path).schema.metadata
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    message = refusal(Counts.load, path)
    assert message.startswith(f"{path} is damaged ({said}") and "diffmask count DATA" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["ngram"]), "it has no column 'ngram'"),
        (with_record(lambda record: record | {"max_n": "many"}), "in its record, max_n is missing"),
        (with_record(lambda record: record | {"max_n": 99}), "in its record, max_n=99 is outside [2, 5]"),
        (with_record(lambda record: {}), "in its record, num_documents is missing"),
    ],
)
def test_counts_of_ngrams(counts, change, said):
    path = counts / "ngrams.parquet"
    table = change(parquet.read_table(path))
    metadata = table.schema.metadata or parquet.read_table(path).schema.metadata
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    message = refusal(count_ngrams, counts_files=[path], settings=NGramSettings(max_n=2))
    assert message.startswith(f"{path} is damaged ({said}") and "diffmask pmi DATA" in message


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "clips.parquet"
    write_index(path, [Clip("a.mp4", "ok", num_frames=3, fps=25.0), Clip("b.mp4", "missing")])
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["path"]), "it has no column 'path'"),
        (column("path", [None, "b.mp4"]), "its column 'path' has values that are missing"),
        (column("path", ["", "b.mp4"]), "a clip has no path"),
        (column("status", ["fine", "ok"]), "the status of 'a.mp4' is 'fine'"),
        (column("num_frames", [-3, 0]), "a.mp4 has a number below 0"),
        (column("fps", [float("nan"), 0.0]), "its column 'fps' has values that are missing or not finite"),
        (column("rotation", [45, 0]), "a.mp4 has a number below 0, or a rotation"),
        (column("num_frames", ["x", "y"]), "Failed to parse string"),
    ],
)
def test_an_index(index, change, said):
    rewrite(index, change)
    message = refusal(read_index, index)
    assert message.startswith(f"{index} is damaged ({said}") and "diffmask index CLIPS" in message


@pytest.mark.parametrize("line", ["garbage", "[]", '{"other": 1}', '{"path": 1, "status": "ok"}', "\udcff{}"])
def test_the_notes_beside_an_index(tmp_path, line):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    notes = tmp_path / ".clips.parquet.partial.jsonl"
    notes.write_bytes(line.encode("utf-8", "surrogateescape") + b"\n")
    message = refusal(update_index, tmp_path / "clips.parquet", tmp_path / "a.mp4")
    assert message.startswith(f"{notes}, where a run that was stopped noted its clips, is damaged (line 1: ")
    assert message.endswith("; delete it, and they are probed again")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda given: given["task"].update(labels=["a", "a", "b"]), "task.labels names 'a' twice"),
        (lambda given: given["task"].update(num_test=7), "30 targets for task.num_test=7 texts"),
        (lambda given: given["task"].update(num_test=-7), "task.num_test=-7 must be at least 0"),
        (lambda given: given["shares"].append(given["shares"][0]), "it holds the same share twice"),
        (lambda given: given["shares"][0].update(share={}), "shares[0].share is missing"),
        (lambda given: given["shares"][0].update(share=2), "shares[0].share=2 is outside (0, 1]"),
        (
            lambda given: given["shares"][0].update(num_train=101),
            "shares[0].num_train=101, of task.num_train=100 texts",
        ),
        (lambda given: given.update(unseen=[1] * 30), "unseen[0] is missing or of a wrong type"),
        (lambda given: given.update(seconds="long"), "seconds is missing"),
        (lambda given: given.update(targets=[[0]] * 30), "targets: [[0]] is no label of a single-label task"),
    ],
)
def test_a_file_of_results(tmp_path, change, said):
    write_results(tmp_path / "a", [result()])
    edit(tmp_path / "a" / "seed-0.json", change)
    message = refusal(SeedFile.read, tmp_path / "a" / "seed-0.json")
    assert f"seed-0.json is damaged: {said}" in message and message.endswith("; delete it and evaluate that seed again")


def test_results_whose_labels_differ_are_not_compared(tmp_path):
    for name in ("a", "b"):
        write_results(tmp_path / name, [result(name=name)])
    edit(tmp_path / "b" / "seed-0.json", lambda given: given["task"]["labels"].reverse())
    assert "have different texts or labels" in refusal(read_results, [tmp_path / "a", tmp_path / "b"])


def test_results_that_are_nested_without_end(tmp_path, capsys):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "seed-0.json").write_text('{"format":' * 100_000)
    assert main(["compare", str(tmp_path / "a")]) == 2
    assert "seed-0.json is damaged: it is no JSON (nested too deep)" in capsys.readouterr().err
