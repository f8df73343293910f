"""Anchors of a corpus, from files to files: what is found, kept, read again and refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import CORPUS, save_encoder, save_pooled, write_corpus
from transformers import AutoModel, AutoTokenizer

from diffmask.core.errors import InputError
from diffmask.core.similarity import domain_scores
from diffmask.files.folders import check_folder
from diffmask.text.anchors.anchor_set import NAMES, load_anchors, read_anchors
from diffmask.text.anchors.encoder import Encoder
from diffmask.text.anchors.find import AnchorSettings, build_anchors
from diffmask.text.corpus.words import split_words
from diffmask.text.model.load import load_tokenizer


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anchors")
    model = save_encoder(folder / "model")
    return AnchorSettings(data=[write_corpus(folder)], model=model, num_anchors=3, min_count=2, device="cpu")


@pytest.fixture(scope="module")
def pooled(settings, tmp_path_factory):
    return replace(settings, model=save_pooled(tmp_path_factory.mktemp("pooled")), preset="published")


@pytest.fixture(scope="module")
def found(settings):
    return build_anchors(settings, "diffmask anchors ...")


def refusal(function, *args, **options):
    with pytest.raises(InputError) as caught:
        function(*args, **options)
    return str(caught.value)


def test_the_anchors_are_the_words_with_the_highest_tf_icf(found):
    table = dict(zip(found.types, found.tf_icf.tolist(), strict=True))
    counts = dict(zip(found.types, found.counts.tolist(), strict=True))
    slow = sorted((w for w in table if counts[w] >= 2 and len(w) > 1), key=lambda w: -table[w])
    assert found.anchors == slow[:3]
    assert found.anchors[0] == "kinase"


def test_every_word_has_a_finite_score_and_what_the_core_makes_of_it(found, settings):
    assert sorted(found.types) == sorted(set(split_words(CORPUS)))
    encoder = Encoder.load(settings.model, "cpu")
    embeddings = encoder.embed_in_context(settings.data, found.types)
    anchors = torch.stack([embeddings[found.types.index(anchor)] for anchor in found.anchors])
    frequencies = found.reference_frequencies()
    common = embeddings[frequencies > 0]
    voters = torch.ones(
        len(found.types), dtype=torch.bool
    )  # the text is too small for more than one word to come often
    expected = domain_scores(embeddings, found.tf_icf, voters, anchors, common)
    assert torch.allclose(found.scores, expected, atol=1e-4)
    assert torch.equal(found.embeddings, anchors)


@torch.no_grad()
def test_published_is_the_largest_cosine_of_poolers(pooled):
    found = build_anchors(pooled)
    model = AutoModel.from_pretrained(pooled.model).eval()
    tokenizer = AutoTokenizer.from_pretrained(pooled.model)

    def embed(word):
        return model(**tokenizer(word, return_tensors="pt")).pooler_output[0]

    for word, score in zip(found.types, found.scores.tolist(), strict=True):
        slow = max(torch.cosine_similarity(embed(word), embed(anchor), dim=0).item() for anchor in found.anchors)
        assert score == pytest.approx(slow, abs=1e-5)
    assert found.metadata["reduce"] == "max"


def test_a_folder_is_written_and_read_again(found, tmp_path):
    found.save(tmp_path / "out")
    again = load_anchors(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]  # no draft is left
    assert (again.anchors, again.types) == (found.anchors, found.types)
    for name in ("counts", "tf_icf", "scores", "embeddings"):
        assert torch.equal(getattr(again, name), getattr(found, name))
    assert again.metadata == found.metadata | {"anchors": found.anchors}
    header, first, *_ = (tmp_path / "out" / "anchors.csv").read_text().splitlines()
    assert header == "anchor,tf_icf,domain_count,domain_frequency,reference_frequency"
    assert first.split(",")[0] == "kinase"
    assert int(first.split(",")[2]) == found.counts[found.types.index("kinase")]


def test_the_same_work_writes_the_same_bytes(settings, found, tmp_path):
    found.save(tmp_path / "a")
    build_anchors(settings, "diffmask anchors ...").save(tmp_path / "b")
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_record_says_how_it_was_made(found):
    record = json.loads(json.dumps(found.metadata))
    assert record["command"] == "diffmask anchors ..."
    assert record["reference"]["name"] == "wordfreq:en"
    assert len(record["sources"][0]["sha256"]) == len(record["model"]["tokenizer"]) == 64
    assert (record["preset"], record["reduce"], record["embedder"]["layer"]) == ("default", "mean", 1)


def test_own_anchors_are_used_as_they_are(settings, found, tmp_path):
    (tmp_path / "own.txt").write_text("Blood\n\nserum albumin\n")
    own = build_anchors(replace(settings, anchors=tmp_path / "own.txt"))
    assert own.anchors == ["blood", "serum albumin"]
    assert own.embeddings.shape[0] == 2
    assert own.rows()[1] == ("serum albumin", 0.0, 0, 0.0, 0.0)
    assert own.types == found.types
    assert not torch.equal(own.scores, found.scores)


def test_an_edited_folder_is_refused_until_it_is_scored_again(settings, found, tmp_path):
    folder = tmp_path / "out"
    found.save(folder)
    table = folder / "anchors.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]) + "dose,,,,\n")
    assert refusal(load_anchors, folder) == (
        f"{table} was edited, but the scores are still those of the anchors before; score again with: "
        f"diffmask anchors DATA --model MODEL --anchors {table} -o {folder} --overwrite"
    )
    build_anchors(replace(settings, anchors=table)).save(folder, overwrite=True)
    assert load_anchors(folder).anchors == [*found.anchors[:-1], "dose"]


def test_the_score_of_unknown_units_is_that_of_common_words(found):
    assert found.scores.min() <= found.unknown_score <= found.scores.max()


def test_another_tokenizer_or_model_is_refused(settings, found, tmp_path):
    tokenizer = load_tokenizer(settings.model)
    found.check_model(settings.model, tokenizer)
    tokenizer(["the kinase"], padding=True, truncation=True, max_length=4)  # settings of a call are no other tokenizer
    found.check_model(settings.model, tokenizer)
    deeper = save_encoder(tmp_path / "deeper", num_hidden_layers=3)
    assert refusal(found.check_model, deeper, tokenizer) == (
        f"the anchors were made for {settings.model!r}, which has another architecture than {deeper!r}; "
        f"make them again with: diffmask anchors DATA --model {deeper} -o FOLDER"
    )
    other = AutoTokenizer.from_pretrained(settings.model)
    other.add_tokens(["albumin"])
    assert "which has another tokenizer than" in refusal(found.check_model, settings.model, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "publised"}, "unknown preset 'publised'; choose from: default, published"),
        ({"reduce": "median"}, "unknown reduce 'median'; choose from: max, mean, min, nearest"),
        ({"num_anchors": 0}, "num_anchors=0 must be at least 1; the published method takes 20"),
        ({"min_count": 0}, "min_count=0 must be at least 1; 1 lets every word be an anchor"),
        ({"context_words": 0}, "context_words=0 must be at least 1; give some thousands at least"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, change, message):
    assert refusal(replace, settings, **change) == message


@pytest.mark.parametrize(
    ("name", "text", "anchors"),
    [
        ("a.csv", "anchor,tf_icf\nkinase,3\nBRCA1,\n", ["kinase", "brca1"]),
        ("a.csv", '\ufeffnote,anchor\n"a, b",serum albumin\n\n', ["serum albumin"]),
        ("a.txt", "kinase\r\n\r\n  p53-binding \n", ["kinase", "p53 binding"]),
        ("a.txt", "anchor\nkinase\n", ["kinase"]),
    ],
)
def test_files_of_anchors(tmp_path, name, text, anchors):
    (tmp_path / name).write_bytes(text.encode())
    assert read_anchors(tmp_path / name) == anchors


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"kinase\nKinase\n", "{}: 'kinase' occurs twice; remove one"),
        ("a.txt", b"", "{}: there is no anchor; give at least one word"),
        ("a.txt", b"kinase\n--\n", "{} has no word in line 2 ('--'); write an anchor there or drop the line"),
        ("a.csv", b"anchor,n\n,3\n", "{} has no word in line 2 (''); write an anchor there or drop the line"),
        (
            "a.csv",
            b"word\nkinase\n",
            "{} has no column `anchor` in its first line; give the column of the words that name",
        ),
        (
            "a.txt",
            b"caf\xe9\n",
            "{}: line 1 is not UTF-8 (byte 3 is 0xe9); convert the file, for example: iconv -f LATIN1 -t UTF-8 OLD > "
            "NEW",
        ),
    ],
)
def test_files_of_anchors_that_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert refusal(read_anchors, tmp_path / name) == message.format(tmp_path / name)


def test_a_file_of_anchors_that_is_missing_is_refused(tmp_path):
    expected = f"{tmp_path}/no.csv does not exist; give a file with one anchor a line, or an edited anchors.csv"
    assert refusal(read_anchors, tmp_path / "no.csv") == expected


def test_folders_that_are_no_anchors_are_refused(found, tmp_path):
    make = "make it with: diffmask anchors DATA --model MODEL -o FOLDER"
    assert refusal(load_anchors, tmp_path / "no") == f"folder {tmp_path}/no does not exist; {make}"
    found.save(tmp_path / "out")
    (tmp_path / "out" / "types.parquet").rename(tmp_path / "types.parquet")
    expected = f"folder {tmp_path}/out has no types.parquet, so it holds no anchors; {make}"
    assert refusal(load_anchors, tmp_path / "out") == expected


@pytest.mark.parametrize("name", ["types.parquet", "anchors.safetensors"])
def test_damaged_files_are_refused(found, tmp_path, name):
    found.save(tmp_path / "out")
    path = tmp_path / "out" / name
    path.write_bytes(path.read_bytes()[:50])
    message = refusal(load_anchors, tmp_path / "out")
    assert message.startswith(f"{path} is damaged (")
    assert message.endswith("); make the anchors again with: diffmask anchors DATA --model MODEL -o FOLDER")


def test_a_damaged_record_is_refused(found, tmp_path):
    found.save(tmp_path / "out")
    (tmp_path / "out" / "anchors.json").write_text("{")
    message = refusal(load_anchors, tmp_path / "out")
    assert message.startswith(f"{tmp_path}/out/anchors.json is damaged (")


def test_outputs_that_may_not_be_written_are_refused(found, tmp_path):
    def check(folder, overwrite=False):
        return check_folder(folder, "anchors", NAMES, overwrite=overwrite)

    found.save(tmp_path / "out")
    remedy = "choose another name or allow to overwrite it (--overwrite)"
    assert refusal(check, tmp_path / "out") == f"folder {tmp_path}/out exists; {remedy}"
    expected = f"folder {tmp_path}/a does not exist; create it first"
    assert refusal(check, tmp_path / "a" / "b") == expected
    (tmp_path / "file").write_text("")
    expected = f"{tmp_path}/file is a file; choose another name for the folder of the anchors"
    assert refusal(check, tmp_path / "file") == expected
    (tmp_path / "out" / "thesis.tex").write_text("")
    expected = f"folder {tmp_path}/out holds other files (thesis.tex); choose another name for the anchors"
    assert refusal(check, tmp_path / "out", overwrite=True) == expected


def test_a_failed_write_keeps_what_was_there(found, tmp_path, monkeypatch):
    found.save(tmp_path / "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in NAMES}

    def full(*_, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="could not be written .No space left"):
        found.save(tmp_path / "out", overwrite=True)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in NAMES} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_missing_file_of_anchors_is_said_before_the_corpus_is_read(settings, tmp_path):
    missing = replace(settings, data=[str(tmp_path / "no.txt")], anchors=tmp_path / "no.csv")
    assert refusal(build_anchors, missing).startswith(f"{tmp_path}/no.csv does not exist")


@pytest.mark.parametrize(
    "spell",
    [
        lambda line: "\u00ad".join(line),
        lambda line: line.replace("in", "\u200bi\u2060n\ufe0f"),
        lambda line: line.upper().replace("FI", "\ufb01"),
        lambda line: "".join(chr(ord(char) + 0xFEE0) if char.isalpha() else char for char in line),
    ],
    ids=["soft hyphens", "invisible", "capitals", "full width"],
)
def test_spellings_that_a_reader_does_not_see_make_no_other_anchors(found, settings, tmp_path, spell):
    lines = CORPUS.splitlines() if isinstance(CORPUS, str) else list(CORPUS)
    text = "\n".join(spell(line) if row % 2 else line for row, line in enumerate(lines))
    (tmp_path / "web.txt").write_text(text)
    web = build_anchors(replace(settings, data=[tmp_path / "web.txt"]))
    assert (web.anchors, web.types, web.counts.tolist()) == (found.anchors, found.types, found.counts.tolist())
    assert torch.equal(web.tf_icf, found.tf_icf)


def test_the_reference_says_the_language_of_case(settings, tmp_path):
    (tmp_path / "tr.txt").write_text("Isparta ısparta ISPARTA ve İzmir izmir i\u0307zmir\n" * 4)
    (tmp_path / "own.txt").write_text("ISPARTA\nİZMİR\n")
    given = replace(settings, data=[tmp_path / "tr.txt"], reference="wordfreq:tr")
    found = build_anchors(given)
    assert dict(zip(found.types, found.counts.tolist(), strict=True)) == {"ısparta": 12, "izmir": 12, "ve": 4}
    own = build_anchors(replace(given, anchors=tmp_path / "own.txt"))
    assert (own.anchors, own.language, own.types.language) == (["ısparta", "izmir"], "tr", "tr")
    own.save(tmp_path / "out")
    assert load_anchors(tmp_path / "out").types.language == "tr"
