"""diffmask select-text: what it writes, prints and refuses."""

import json
import os
import random
from itertools import islice
from pathlib import Path

import pytest
from support.html_checks import check
from support.tiny import save_encoder

from diffmask.cli import build_parser
from diffmask.core.errors import InputError
from diffmask.text.corpus.documents import read_documents

REPO = Path(__file__).parents[2]
DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data")) / "text"

SAID = "kinase protein cell binds inhibits rat dose blood enzyme receptor ligand gene membrane substrate"
SUNG = "river bird night old man sea story rain town laughed walked green house song summer moon"


def texts_of(words, number, seed):
    """Return texts of nine of the words, no two of them alike."""
    generator = random.Random(seed)
    return [" ".join(generator.sample(words.split(), 9)) for _ in range(number)]


CELLS = texts_of(SAID, 30, 0)
OTHERS = [f"{text} & <b>bold</b>" for text in texts_of(SUNG, 90, 0)]


def call(*argv):
    args = build_parser().parse_args(["select-text", *map(str, argv)])
    return args.run(args)


def refusal(*argv):
    with pytest.raises(InputError) as caught:
        call(*argv)
    return str(caught.value)


def write_rows(path, texts, **more):
    path.write_text("".join(json.dumps({"text": text, **more}) + "\n" for text in texts))


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "cells.jsonl", CELLS)
    write_rows(tmp_path / "others.jsonl", OTHERS)
    (tmp_path / "task").mkdir()
    write_rows(tmp_path / "task" / "train.jsonl", texts_of(SAID, 20, 1), label=1)
    write_rows(tmp_path / "task" / "test.jsonl", CELLS[:1], label=0)
    return tmp_path


def test_a_choice_is_written_and_described(capsys):
    call("others.jsonl", "cells.jsonl", "--like", "task/", "-n", 20, "-o", "out")
    said = capsys.readouterr().out
    assert said.startswith("20 of 120 documents, ")
    assert "1 near-copies of the 1 texts of test.jsonl were left out" in said
    assert "data.train=out" in said
    record = json.loads(Path("out/selection.json").read_text())
    assert [(Path(file["path"]).name, file["num_taken"]) for file in record["pool"]] == [
        ("others.jsonl", 0),
        ("cells.jsonl", 20),
    ]
    assert record["left_out"]["exact"] == 1
    assert record["num_taken"] == 20
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "selected.jsonl.gz",
        "selection.html",
        "selection.json",
    ]


def test_the_page_shows_what_was_taken_and_what_nearly():
    call("others.jsonl", "cells.jsonl", "--like", "task/", "-n", 40, "-o", "out")
    text = Path("out/selection.html").read_text()
    page = check(text)
    assert "40 of 120 documents" in page.text
    for heading in ("Scores of the pool", "Where it is from", "Just above the line", "Nearly taken"):
        assert heading in page.text
    assert "<b>bold</b>" in page.text  # escaped in the source, so read as text
    assert "b" not in page.tags
    assert "0 of the best 102 documents repeat another one of them. 1 are copies of one of the 1 texts" in page.text
    assert "word for word" in page.text


def test_an_output_is_overwritten_only_when_asked():
    call("cells.jsonl", "--like", "task/", "-n", 2, "-o", "out")
    assert "--overwrite" in refusal("cells.jsonl", "--like", "task/", "-n", 2, "-o", "out")
    call("cells.jsonl", "--like", "task/", "-n", 3, "-o", "out", "--overwrite")
    assert json.loads(Path("out/selection.json").read_text())["num_taken"] == 3


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "how much is to be taken is not said; give -n DOCUMENTS, --share SHARE, or --per-text DOCUMENTS"),
        (["-n", 5, "--share", 0.1], "-n 5 and --share 0.1 each say how much is taken; give one of them"),
        (["-n", 0], "number=0 must be at least 1"),
        (["--share", 1.5], "share=1.5 is outside (0, 1]; 0.05 takes a twentieth"),
        (["--per-text", 5], "--per-text 5 takes neighbours, which --by ngrams does not look for"),
        (["-n", 5, "--by", "magic"], "unknown by 'magic'; choose from: difference, neighbours, ngrams, random"),
        (["-n", 5, "--model", "minilm"], "--model minilm has no effect with --by ngrams, which reads none"),
        (["-n", 5, "--by", "neighbours"], "--by neighbours needs --model, an encoder"),
        (["-n", 5, "--anchors", "a"], "--anchors a has no effect with --by ngrams"),
        (["-n", 5, "--reference", "r"], "--reference r has no effect with --by ngrams; leave it out"),
        (
            ["-n", 5, "--by", "difference", "--anchors", "a", "--reference", "r"],
            "--reference r has no effect with --anchors a, which were found already; leave it out",
        ),
        (
            ["-n", 5, "--by", "difference", "--anchors", "a", "--model", "m"],
            "--model m has no effect with --anchors a, whose words have scores",
        ),
        (
            ["-n", 5, "--by", "neighbours", "--model", "m", "--seed", 1],
            "--seed 1 has no effect with --by neighbours, which draws nothing; leave it out",
        ),
        (["-n", 31], "31 documents are wanted, and the pool has 30 with words; take fewer, or give a larger pool"),
        (["-n", 5, "--column", "body"], "body"),
        (["-n", 5, "--like-column", "body"], "body"),
    ],
)
def test_bad_input_is_one_sentence(given, sentence):
    assert sentence in refusal("cells.jsonl", "--like", "task/", *given, "-o", "out")
    assert not Path("out").exists()


def test_files_that_cannot_be_read_are_refused():
    Path("blank.txt").write_text("\n\n")
    assert "blank.txt contains no text" in refusal("blank.txt", "--like", "task/", "-n", 1, "-o", "out")
    assert "no file named train" in refusal("cells.jsonl", "--like", "task/test.jsonl", "-n", 1, "-o", "out")


def test_a_pool_without_words_is_refused():
    Path("marks.txt").write_text("?!\n...\n")
    for amount in (["-n", 1], ["--share", 0.5]):
        said = refusal("marks.txt", "--like", "task/", *amount, "-o", "out")
        assert said == "1 documents are wanted, and the pool has 0 with words; take fewer, or give a larger pool"


def test_a_document_without_words_is_never_taken(capsys):
    Path("marks.txt").write_text("?!\n")
    call("marks.txt", "cells.jsonl", "--like", "cells.jsonl", "--share", 1, "-o", "out")
    said = capsys.readouterr().out
    assert said.startswith("30 of 31 documents")
    assert "1 documents have no words, and are never taken" in said
    assert "The whole pool was taken." in Path("out/selection.html").read_text()


def test_what_is_interrupted_leaves_nothing(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("diffmask.report.selection.write_page", stop)
    with pytest.raises(KeyboardInterrupt):
        call("cells.jsonl", "--like", "task/", "-n", 2, "-o", "out")
    assert not [path.name for path in Path().iterdir() if "out" in path.name]


@pytest.mark.parametrize("amount", [["-n", 5], ["--per-text", 1]])
def test_neighbours_of_a_task(amount, tmp_path):
    model = save_encoder(tmp_path / "model")
    call("cells.jsonl", "others.jsonl", "--like", "task/", "--by", "neighbours", "--model", model, *amount, "-o", "out")
    text = Path("out/selection.html").read_text()
    assert ("Each text takes its 1 nearest documents" in text) == (amount[0] == "--per-text")
    assert json.loads(Path("out/selection.json").read_text())["layer"] == 2
    sentence = refusal(
        "cells.jsonl", "--like", "task/", "--by", "neighbours", "--model", model, "--per-text", 30, "-o", "new"
    )
    assert "--per-text 30 takes all 30 documents of the pool for each text" in sentence


def test_anchors_of_a_folder(tmp_path):
    from diffmask.text.anchors.find import AnchorSettings, build_anchors

    Path("like.txt").write_text("\n".join(CELLS * 3))
    build_anchors(AnchorSettings("like.txt", save_encoder(tmp_path / "model"), num_anchors=3)).save("anchors")
    call(
        "cells.jsonl",
        "others.jsonl",
        "--like",
        "task/",
        "--by",
        "difference",
        "--anchors",
        "anchors",
        "-n",
        20,
        "-o",
        "out",
    )
    record = json.loads(Path("out/selection.json").read_text())
    assert len(record["anchors"]) == 3
    assert [file["num_taken"] for file in record["pool"]] == [20, 0]


def test_the_right_domain_is_found_in_real_text(tmp_path):
    if not DATA.is_dir():
        pytest.skip("the shared data are not here")
    for name, source in (("general", "general_corpus.jsonl.gz"), ("bio", "domain/bio_sentences.txt.gz")):
        texts = (document.text[:250] for document in read_documents([DATA / source]) if len(document.text) > 150)
        write_rows(tmp_path / f"{name}.jsonl", islice(texts, 500))
    call("general.jsonl", "bio.jsonl", "--like", DATA / "chemprot", "-n", 100, "-o", "out")
    record = json.loads(Path("out/selection.json").read_text())
    assert record["pool"][1]["num_taken"] >= 95
