"""Text that is like a task: how documents are scored and drawn, what is read, and what is left out."""

import gzip
import json
import math
import random
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from support.tiny import save_encoder

from diffmask.core.errors import InputError
from diffmask.selective.relevance import ngrams
from diffmask.selective.relevance.difference import DifferenceScores, find_anchors
from diffmask.selective.relevance.neighbours import Nearest, NearestScores
from diffmask.selective.relevance.pool import Pool
from diffmask.selective.relevance.select import SelectionSettings, select_text
from diffmask.selective.relevance.target import read_target
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.anchors.encoder import Encoder
from diffmask.text.corpus.documents import SELECTED, read_documents

CELLS = ["the kinase binds the protein", "the protein inhibits a kinase in the cell", "a dose of kinase in the blood"]
OTHERS = ["we sang by the river", "the old man told a story of the sea", "rain fell on the town", "he laughed at us"]


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def write_rows(path, texts, **more):
    path.write_text("".join(json.dumps({"text": text, **more}) + "\n" for text in texts))
    return str(path)


def scores_of(scorer, pool):
    return np.concatenate([scorer.score(batch) for batch in pool.batches("scoring")])


def chosen(folder, pool, like, **settings):
    """Return the rows that a choice writes."""
    folder.mkdir(exist_ok=True)
    select_text(SelectionSettings(pool, like, **settings)).write(folder)
    with gzip.open(folder / SELECTED, "rt") as file:
        return [json.loads(line) for line in file]


def bucket(hashed):
    """Return 64 mixed bits, in plain integers."""
    mixed = ((hashed ^ (hashed >> 33)) * 0x9E3779B97F4A7C15) % 2**64
    return mixed ^ (mixed >> 33)


def reference_buckets(text):
    """Return the buckets of a text's words and word pairs, one by one."""
    hashes = [zlib.crc32(word.encode()) for word in text.split()]
    pairs = [(bucket(a) + b + 1) % 2**64 for a, b in zip(hashes, hashes[1:], strict=False)]
    return [bucket(each) % ngrams.NUM_BUCKETS for each in [*hashes, *pairs]]


def test_log_weights_are_those_of_a_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(ngrams, "gumbel", lambda seed, batch: 0.0)
    texts = CELLS + OTHERS
    pool = Pool(write_lines(tmp_path / "pool.txt", texts))
    found = scores_of(ngrams.NgramWeights(CELLS, pool, 0), pool)
    counts = [Counter(each for text in part for each in reference_buckets(text)) for part in (CELLS, texts)]
    totals = [part.total() + ngrams.NUM_BUCKETS for part in counts]
    length = counts[1].total() / len(texts)
    expected = []
    for text in texts:
        ratios = [
            math.log((counts[0][each] + 1) / totals[0]) - math.log((counts[1][each] + 1) / totals[1])
            for each in reference_buckets(text)
        ]
        expected.append(length * sum(ratios) / len(ratios))
    assert found == pytest.approx(expected)
    assert min(found[:3]) > max(found[3:])


def test_words_that_are_forgotten_have_the_same_hash(tmp_path, monkeypatch):
    pool = Pool(write_lines(tmp_path / "pool.txt", CELLS + OTHERS))
    before = scores_of(ngrams.NgramWeights(CELLS, pool, 0), pool)
    monkeypatch.setattr(ngrams, "_MOST_KNOWN", 1)
    assert scores_of(ngrams.NgramWeights(CELLS, pool, 0), pool).tolist() == before.tolist()


def test_noise_draws_each_document_by_its_weight(tmp_path):
    pool = Pool(write_lines(tmp_path / "pool.txt", OTHERS))
    (batch,) = pool.batches("reading")
    weights = np.array([0.5, 0.3, 0.15, 0.05])
    number = 20_000
    first = Counter(int(np.argmax(np.log(weights) + ngrams.gumbel(seed, batch))) for seed in range(number))
    for place, weight in enumerate(weights):
        assert abs(first[place] / number - weight) < 5 * math.sqrt(weight * (1 - weight) / number)


def test_the_nearest_are_those_of_all_at_once():
    torch.manual_seed(0)
    similarity = torch.randn(5, 40)
    nearest = Nearest(5, 4)
    for start, stop in ((0, 3), (3, 20), (20, 40)):
        nearest.add(0, similarity[:2, start:stop], start)
        nearest.add(2, similarity[2:, start:stop], start)
    assert nearest.documents().tolist() == sorted(set(similarity.topk(4, 1).indices.flatten().tolist()))


def test_neighbours_are_scored_by_the_nearest_text(tmp_path):
    encoder = Encoder.load(save_encoder(tmp_path / "model"), "cpu", whole=True)
    pool = Pool(write_lines(tmp_path / "pool.txt", CELLS + OTHERS))
    found = scores_of(NearestScores(CELLS, encoder), pool)

    def embed(text):
        ids = torch.tensor([encoder.tokenizer(text)["input_ids"]])
        mean = encoder.states(ids, torch.ones_like(ids))[0].mean(0)
        return mean / mean.norm()

    expected = [max(float(embed(text) @ embed(cell)) for cell in CELLS) for text in CELLS + OTHERS]
    assert found == pytest.approx(expected, abs=1e-5)
    assert found[:3] == pytest.approx([1, 1, 1], abs=1e-5)


def test_each_text_takes_its_neighbours(tmp_path):
    model = save_encoder(tmp_path / "model")
    pool, like = write_lines(tmp_path / "pool.txt", CELLS + OTHERS), write_lines(tmp_path / "like.txt", CELLS[:2])
    rows = chosen(tmp_path / "out", pool, like, by="neighbours", model=model, per_text=1, device="cpu")
    assert [row["text"] for row in rows] == CELLS[:2]


def test_a_difference_score_is_the_mean_of_the_words(tmp_path):
    scores = torch.tensor([2.0, 1.0, -1.0])
    anchors = AnchorSet(
        ["kinase"], ["kinase", "protein", "the"], torch.tensor([9, 9, 9]), torch.ones(3).double(), scores,
        torch.ones(1, 4), {"num_words": 27},
    )  # fmt: skip
    pool = Pool(write_lines(tmp_path / "pool.txt", ["The kinase!", "protein, protein: kinase", "?!", "the sea"]))
    found = scores_of(DifferenceScores(anchors), pool)
    assert found.tolist() == pytest.approx([0.5, 4 / 3, 0.0, -1.0])


def test_anchors_are_found_of_the_texts(tmp_path):
    model = save_encoder(tmp_path / "model")
    anchors = find_anchors(CELLS * 150, ["wordfreq:en"], model, "cpu")
    assert anchors.anchors[:2] == ["kinase", "inhibits"]
    assert anchors.metadata["num_documents"] == 450
    with pytest.raises(InputError, match="--like has 20 words, and 2,000 at least are needed"):
        find_anchors(CELLS, ["wordfreq:en"], model, "cpu")


def test_a_reference_decides_what_is_different(tmp_path):
    like = write_lines(tmp_path / "like.txt", CELLS * 150)
    reference = write_lines(tmp_path / "reference.txt", [*CELLS, "kinase " * 500])
    settings = {"by": "difference", "model": save_encoder(tmp_path / "model"), "number": 3, "device": "cpu"}
    pool = write_lines(tmp_path / "pool.txt", CELLS + OTHERS)
    selection = select_text(SelectionSettings(pool, like, reference=(reference,), **settings))
    assert sorted(selection.order[:3].tolist()) == [0, 1, 2]
    assert selection.record["anchors"][-1] == "kinase"


def test_a_task_is_like_its_training_texts(tmp_path):
    write_rows(tmp_path / "train.jsonl", CELLS, label="x")
    write_rows(tmp_path / "dev.jsonl", OTHERS[:1], label="x")
    write_rows(tmp_path / "test.jsonl", OTHERS[1:2], label="y")
    more = write_lines(tmp_path.parent / "more.txt", OTHERS[2:3])
    target = read_target([str(tmp_path)], leave_out=[more])
    assert target.texts == CELLS
    assert target.left_out == OTHERS[:3]
    assert [path.name for path in target.files] == ["train.jsonl"]


def test_words_and_pairs_of_a_task_are_joined(tmp_path):
    rows = [{"tokens": ["a", "kinase"], "tags": ["O", "B"]}]
    (tmp_path / "train.jsonl").write_text(json.dumps(rows[0]) + "\n")
    assert read_target([str(tmp_path)]).texts == ["a kinase"]
    (tmp_path / "train.jsonl").write_text(json.dumps({"text": "a rat", "text_pair": "a cell", "label": 1}) + "\n")
    assert read_target([str(tmp_path)]).texts == ["a rat\na cell"]


def test_a_task_without_training_texts_is_refused(tmp_path):
    write_rows(tmp_path / "dev.jsonl", CELLS)
    with pytest.raises(InputError, match=r"only texts to evaluate on \(dev.jsonl\), and no file named train"):
        read_target([str(tmp_path)])


def test_copies_make_room_for_the_next(tmp_path):
    generator = random.Random(0)
    words = [f"protein{number}" for number in range(30)]
    held, train = ([" ".join(generator.sample(words, 12)) for _ in range(40)] for _ in range(2))
    songs = [f"{text} {number}" for number in range(20) for text in OTHERS] + OTHERS[:1] * 3
    task = tmp_path / "task"
    task.mkdir()
    write_rows(task / "train.jsonl", train + CELLS, label="x")
    write_rows(task / "test.jsonl", held, label="x")
    pool = write_rows(tmp_path / "pool.jsonl", [*songs, *[f"{text}, as was found" for text in held], *CELLS])
    texts = [document.text for document in read_documents(pool)]
    for number in (5, 84):
        selection = select_text(SelectionSettings(pool, str(task), number=number))
        taken = [texts[place] for place in selection.order[:number]]
        assert len(taken) == number and not any("as was found" in text for text in taken)
        assert {copy.kind for copy in selection.copies.examples} == {"near"}
    left_out = selection.record["left_out"]
    assert (left_out["near"], left_out["repeated"], left_out["num_compared"]) == (len(held), 2, 126)
    assert len(selection.copies.places) == 42 and len(set(taken)) == 84
    with pytest.raises(InputError, match="100 documents are wanted, and without .* the pool has 84"):
        select_text(SelectionSettings(pool, str(task), number=100))


def test_the_same_seed_is_the_same_choice(tmp_path):
    pool = write_lines(tmp_path / "pool.txt", [f"{text} {number}" for number in range(9) for text in CELLS + OTHERS])
    like = write_lines(tmp_path / "like.txt", CELLS)
    for by in ("ngrams", "random"):
        for folder in ("one", "two"):
            chosen(tmp_path / folder, pool, like, by=by, share=0.2, seed=3)
        one, two = ((tmp_path / folder / SELECTED).read_bytes() for folder in ("one", "two"))
        assert one == two
        rows = chosen(tmp_path / "three", pool, like, by=by, share=0.2, seed=4)
        assert len(rows) == 13
        assert (tmp_path / "three" / SELECTED).read_bytes() != one


def test_rows_say_where_they_are_from(tmp_path):
    pool = [write_rows(tmp_path / "a.jsonl", OTHERS), write_lines(tmp_path / "b.txt", ["?!", *CELLS])]
    rows = chosen(tmp_path / "out", pool, write_lines(tmp_path / "like.txt", CELLS), number=3)
    assert [(row["text"], row["source"], row["row"]) for row in rows] == [
        (text, pool[1], number) for number, text in enumerate(CELLS, 2)
    ]
    assert sorted(row["rank"] for row in rows) == [1, 2, 3]
    assert [row["rank"] for row in sorted(rows, key=lambda row: -row["score"])] == [1, 2, 3]
    assert [document.text for document in read_documents(tmp_path / "out")] == CELLS  # the record is no text


def test_a_pool_that_changes_is_refused(tmp_path):
    pool = Pool(write_lines(tmp_path / "pool.txt", CELLS))
    list(pool.batches("reading"))
    write_lines(tmp_path / "pool.txt", OTHERS)
    with pytest.raises(InputError, match="had 3 documents when it was read first, and has 4 now"):
        list(pool.batches("reading"))
