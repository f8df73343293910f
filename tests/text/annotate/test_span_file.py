"""Span files: the spellings of tools, alignment by text, and what is refused."""

import json
import pickle

import pytest
from support.families import tokenizer_of

from diffmask.core.errors import InputError
from diffmask.text.annotate.span_file import read_span_file
from diffmask.text.segment.segmenter import segmenter_for

TEXT = "Rats slept 😀 well."
SPANS = [[0, 4, "NOUN"], [5, 10, "VERB"]]
SPELLINGS = {
    "triples": {"text": TEXT, "spans": SPANS},
    "Prodigy": {
        "text": TEXT,
        "tokens": [],
        "answer": "accept",
        "spans": [{"start": a, "end": b, "token_start": 0, "label": name} for a, b, name in SPANS],
    },
    "doccano": {"id": 3, "text": TEXT, "label": SPANS},
    "doccano, relations": {
        "text": TEXT,
        "relations": [],
        "entities": [{"id": 1, "start_offset": a, "end_offset": b, "label": name} for a, b, name in SPANS],
    },
    "doccano, old": {"data": TEXT, "labels": SPANS},
    "spaCy": [TEXT, {"entities": SPANS}],
    "Label Studio": {"text": TEXT, "label": [{"start": a, "end": b, "labels": [name]} for a, b, name in SPANS]},
}


def write(path, *rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def classes(path, *texts, family="BERT"):
    annotator = read_span_file(path, "classes")
    segments = segmenter_for(tokenizer_of(family))(texts)
    rows = annotator(segments)["classes"].tolist()
    return list(zip(segments.surfaces, [annotator.names[row] if row >= 0 else None for row in rows], strict=True))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_annotation_tools(tmp_path, spelling):
    path = write(tmp_path / "spans.jsonl", SPELLINGS[spelling])
    found = classes(path, TEXT)
    assert [pair for pair in found if pair[1]] == [("rats", "NOUN"), ("slept", "VERB")]
    assert len(found) == 5


def test_documents_are_found_by_their_text(tmp_path):
    other = {"text": "  Mice slept.\n", "spans": [[2, 6, "NOUN"], [12, 14, "PUNCT"]]}
    rejected = {"text": "Cats.", "spans": [[0, 4, "X"]], "answer": "reject"}
    path = write(tmp_path / "spans.jsonl", other, {"text": "x", "spans": []}, rejected, SPELLINGS["triples"])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n")
    assert read_span_file(path, "classes").names == ("NOUN", "PUNCT", "VERB")
    found = classes(path, TEXT, "", "Mice slept.", "  Mice slept.", "x")
    assert [pair for pair in found if pair[1]] == [
        ("rats", "NOUN"),
        ("slept", "VERB"),
        ("mice", "NOUN"),
        (".", "PUNCT"),
        ("mice", "NOUN"),
        (".", "PUNCT"),
    ]


def test_the_longest_of_overlapping_spans_is_salient(tmp_path):
    spans = [[0, 4, "a"], [0, 10, "b"], [5, 17, "c"]]
    annotator = read_span_file(write(tmp_path / "spans.jsonl", {"text": TEXT, "spans": spans}), "salient")
    found = annotator(segmenter_for(tokenizer_of("BERT"))([TEXT]))
    assert found["salient"].tolist() == [0, 2, 2, 2, -1]
    assert found["starts"].tolist() == [1, 1, 0, 0, 1]


def test_an_annotator_is_small_and_its_key_follows_the_file(tmp_path):
    rows = [{"text": f"Text number {number} " * 20, "spans": [[0, 4, "NOUN"]]} for number in range(500)]
    path = write(tmp_path / "spans.jsonl", *rows)
    annotator = read_span_file(path, "classes")
    assert len(pickle.dumps(annotator)) < 20 * len(rows) < path.stat().st_size / 10
    text = rows[77]["text"].strip()
    segments = segmenter_for(tokenizer_of("BERT"))([text])
    assert pickle.loads(pickle.dumps(annotator))(segments)["classes"][0] == 0
    assert annotator.key == read_span_file(path, "classes").key != read_span_file(path, "salient").key
    write(path, *rows[1:])
    assert read_span_file(path, "classes").key != annotator.key


def test_the_same_document_twice_is_one(tmp_path):
    path = write(tmp_path / "spans.jsonl", SPELLINGS["triples"], {"text": "x", "spans": []}, SPELLINGS["Prodigy"])
    assert dict(classes(path, TEXT))["rats"] == "NOUN"


REFUSED = {
    "not json": ("line 2 is no valid JSON; write one object per line", '{"text": '),
    "an array": ("line 2 is not an annotated document; write one object per line", '[{"text": "x", "spans": []}]'),
    "no text": ("line 2 has no text; write one object per line", '{"spans": []}'),
    "no spans": ("line 2 has no list of spans; write one object per line", '{"text": "x", "label": "NOUN"}'),
    "two lists": (
        "line 2 has spans under 'spans' and 'entities'; write one object per line",
        '{"text": "x", "spans": [], "entities": []}',
    ),
    "outside": (
        "line 2: span 2 (3 to 9, 'NOUN') is not in its text of 5 characters; offsets count characters, not bytes, "
        "from 0, and the end lies behind the span",
        '{"text": "cells", "spans": [[0, 1, "X"], [3, 9, "NOUN"]]}',
    ),
    "backwards": ("line 2: span 1 (3 to 3, 'X') is not in its text", '{"text": "cells", "spans": [[3, 3, "X"]]}'),
    "no label": (
        'line 2: span 1 is not a start, an end and a label, such as [0, 4, "NOUN"]: {"start": 0, "end": 1}',
        '{"text": "cells", "spans": [{"start": 0, "end": 1}]}',
    ),
    "a float": ("line 2: span 1 is not a start", '{"text": "cells", "spans": [[0.0, 1, "X"]]}'),
    "contradiction": (
        "lines 1 and 2 annotate the same text differently; keep one of them: Rats slept",
        json.dumps({"text": TEXT, "spans": []}),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_lines_that_are_refused(tmp_path, name):
    message, line = REFUSED[name]
    path = write(tmp_path / "spans.jsonl", SPELLINGS["triples"])
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_span_file(path, "classes")
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_files_that_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"the span file .*absent.jsonl does not exist; check the path"):
        read_span_file(tmp_path / "absent.jsonl", "classes")
    with pytest.raises(InputError, match=r"not named .jsonl; give JSON lines, not compressed, with one document"):
        read_span_file(write(tmp_path / "spans.jsonl.gz", SPELLINGS["triples"]), "classes")
    with pytest.raises(InputError, match=r"contains no spans; annotate at least one, or leave the file out"):
        read_span_file(write(tmp_path / "none.jsonl", {"text": "x", "spans": []}), "classes")
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes('{"text": "é", "spans": []}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"line 1 is not UTF-8; write one object per line"):
        read_span_file(latin, "classes")
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(InputError, match=r"empty.jsonl is empty \(0 bytes\)"):
        read_span_file(empty, "classes")


def test_a_text_that_is_not_in_the_file_is_shown(tmp_path):
    path = write(tmp_path / "spans.jsonl", SPELLINGS["triples"])
    message = (
        f"{path} has no annotation for a text of the corpus; annotate every document, whole and letter for letter "
        "(an empty list of spans is allowed), or leave out the text: Rats slept 😀 well"
    )
    with pytest.raises(InputError) as error:
        classes(path, TEXT, TEXT.removesuffix("."))
    assert str(error.value) == message
