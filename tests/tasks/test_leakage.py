import importlib.util
import json
import math
import os
import random
from pathlib import Path

import numpy as np
import pytest

from diffmask.core.errors import InputError
from diffmask.tasks import near_duplicates as shingles
from diffmask.tasks.leakage import find_leakage
from diffmask.tasks.near_duplicates import similar_pairs
from diffmask.text.corpus.words import split_words

REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data")) / "text"
_spec = importlib.util.spec_from_file_location("measure_leakage", REPO / "tools" / "measure_leakage.py")
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)

SENTENCE = "The kinase inhibits the growth of tumour cells in mice, and the receptor binds to it."


def shingle_set(words):
    return set(words) | set(zip(words[:-1], words[1:], strict=True))


def similarity_of(a, b, min_words):
    """The definition, read off the documentation; of sets of equal size either may be the smaller one."""
    (small, small_words), (large, _) = sorted(((shingle_set(w), w) for w in (a, b)), key=lambda pair: len(pair[0]))
    if not small:
        return 0.0
    return len(small & large) / len(large if len(small_words) < min_words else small)


def random_sequences(number, num_types, rng, longest=14):
    sequences = {
        tuple(f"w{int(rng.random() ** 2 * num_types)}" for _ in range(rng.randrange(longest))) for _ in range(number)
    }
    for words in sorted(sequences)[::3]:
        changed = list(words)
        if changed:
            changed[rng.randrange(len(changed))] = "new"
            sequences |= {tuple(changed), words[: math.ceil(0.7 * len(words))]}
    return sorted(sequences)


@pytest.mark.parametrize("batch", [1, 40, 1 << 21])
@pytest.mark.parametrize(("threshold", "min_words"), [(0.75, 8), (0.75, 0), (0.5, 4), (1.0, 8), (0.3, 20), (0.7, 3)])
def test_pairs_are_those_of_comparing_all_with_all(threshold, min_words, batch, monkeypatch):
    monkeypatch.setattr(shingles, "_BATCH", batch)
    sequences = random_sequences(90, 40, random.Random(3))
    found = {}
    for pairs in similar_pairs(sequences, threshold=threshold, min_words=min_words):
        for left, right, similarity in zip(pairs.left, pairs.right, pairs.similarity, strict=True):
            assert (key := (min(left, right), max(left, right))) not in found, "each pair once"
            found[key] = similarity
    wanted = {
        (i, j): similarity
        for i in range(len(sequences))
        for j in range(i + 1, len(sequences))
        if (similarity := similarity_of(sequences[i], sequences[j], min_words)) >= threshold - 1e-9
    }
    assert found.keys() == wanted.keys()
    assert len(wanted) > 2
    assert all(found[key] == pytest.approx(wanted[key]) for key in wanted)


def kind_of(a, b, threshold, min_words):
    """What `b` is to `a`, one pair at a time."""
    exact = [" ".join(text.casefold().split()) for text in (a, b)]
    if exact[0] == exact[1]:
        return 0
    words = [split_words(text) for text in exact]
    if words[0] and words[0] == words[1]:
        return 1
    return 2 if similarity_of(*words, min_words) >= threshold else 3


def count_slowly(splits, labels, split, other, threshold=0.75, min_words=8):
    counts, other_label, twins = [0, 0, 0, 0], 0, []
    for i, text in enumerate(splits[split]):
        kinds = [
            3 if (split, i) == (other, j) else kind_of(text, twin, threshold, min_words)
            for j, twin in enumerate(splits[other])
        ]
        kind = min(kinds, default=3)
        counts[kind] += 1
        twins.append(kind < 3)
        theirs = {labels[other][j] for j, its in enumerate(kinds) if its == kind}
        other_label += kind < 3 and theirs != {labels[split][i]}
    return (*counts[:3], other_label), twins


def random_splits(rng):
    base = [" ".join(words) for words in random_sequences(40, 60, rng)] + ["?!", "...", ""]
    changes = [str.upper, lambda text: text.replace(" ", ", "), lambda text: text, lambda text: f"{text} more"]
    splits = {
        name: [rng.choice(changes)(text) for text in rng.choices(base, k=size)]
        for name, size in (("train", 70), ("dev", 30), ("test", 40))
    }
    return splits, {name: [rng.choice("ab") for _ in texts] for name, texts in splits.items()}


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_comparing_all_with_all(seed):
    splits, labels = random_splits(random.Random(seed))
    leakage = find_leakage(splits, labels=labels)
    assert [(found.split, found.other) for found in leakage.between] == [
        ("dev", "train"),
        ("test", "train"),
        ("test", "dev"),
    ]
    elsewhere = {name: np.zeros(len(texts), bool) for name, texts in splits.items()}
    for split in splits:
        for other in splits:
            counts, twins = count_slowly(splits, labels, split, other)
            if split != other:
                elsewhere[split] |= twins
            for found in leakage.between + leakage.within:
                if (found.split, found.other) == (split, other):
                    assert (found.exact, found.same_words, found.near, found.other_label) == counts
                    assert found.num_texts == len(splits[split])
    assert {name: leakage.unseen(name) for name in splits} == {
        name: (~seen).tolist() for name, seen in elsewhere.items()
    }


def counts_of(text, twin):
    (found,) = find_leakage({"train": [twin], "test": [text]}).between
    return found.exact, found.same_words, found.near


@pytest.mark.parametrize(
    ("twin", "wanted"),
    [
        (SENTENCE, (1, 0, 0)),
        (SENTENCE.upper(), (1, 0, 0)),
        (f"  {SENTENCE.replace(' ', chr(0x2003))}\n", (1, 0, 0)),
        (SENTENCE.replace("The", "\uff34\uff48\uff45"), (1, 0, 0)),
        (SENTENCE.replace(",", ""), (0, 1, 0)),
        (SENTENCE.replace("kinase", "<< kinase >>").replace("receptor", "[[ receptor ]]"), (0, 1, 0)),
        (SENTENCE.replace("growth", "survival"), (0, 0, 1)),
        (SENTENCE.partition(",")[0], (0, 0, 1)),
        (
            f"{SENTENCE} " + "This was shown in three studies of other cells, and of the blood of people. " * 5,
            (0, 0, 1),
        ),
        ("The receptor binds to it.", (0, 0, 0)),
        ("In mice, growth and tumour the cells of it, to the receptor: kinase inhibits, binds.", (0, 0, 0)),
        ("We found no difference.", (0, 0, 0)),
    ],
)
def test_what_a_twin_is(twin, wanted):
    assert counts_of(SENTENCE, twin) == wanted
    assert counts_of(twin, SENTENCE) == wanted


@pytest.mark.parametrize(
    ("text", "twin", "found"), [("?!", "...", 0), ("?!", "?!", 1), ("", "", 1), ("\U0001f400", "", 0)]
)
def test_texts_without_words_are_compared_as_they_are(text, twin, found):
    assert sum(counts_of(text, twin)) == found


def test_a_text_of_scripts_without_spaces_is_found_too():
    text = "研究表明该激酶抑制小鼠肿瘤细胞的生长"
    assert counts_of(text, text.replace("抑制", "促进") + "。") == (0, 0, 1)


def test_the_closest_twin_says_whether_the_label_is_another():
    marked = [SENTENCE.replace(word, f"<< {word} >>") for word in ("kinase", "receptor", "mice")]
    splits = {"train": marked[:2], "test": [marked[0], marked[2]]}
    labels = {"train": ["up", "down"], "test": ["up", "up"]}
    leakage = find_leakage(splits, labels=labels)
    # the first has its own right answer in the training split, the second has two sentences with two answers
    assert (leakage.between[0].exact, leakage.between[0].same_words, leakage.between[0].other_label) == (1, 1, 1)
    assert [found.other_label for found in leakage.within] == [2, 0]
    assert find_leakage(splits).between[0].other_label is None


def test_the_examples_are_rows_of_the_splits():
    splits = {
        "train": ["something else entirely", SENTENCE],
        "dev": [SENTENCE.lower()],
        "test": ["other", SENTENCE + " So"],
    }
    report = find_leakage(splits, labels={name: [0] * len(texts) for name, texts in splits.items()}).to_json()
    assert json.loads(json.dumps(report)) == report
    assert report["between"][1] == {
        "split": "test", "other": "train", "num_texts": 2, "exact": 0, "same_words": 0, "near": 1, "other_label": 0,
        "share": 0.5, "examples": [{"text": 1, "twin": 1, "kind": "near", "similarity": 1.0}],
    }  # fmt: skip
    assert report["unseen"] == {"train": 1, "dev": 0, "test": 1}
    assert report["threshold"] == 0.75


def test_the_summary_says_how_much_of_the_last_split_is_elsewhere():
    splits = {
        "train": [SENTENCE, "nothing"],
        "dev": ["dev alone"],
        "test": [SENTENCE, SENTENCE[:-1], "unheard of", "x"],
    }
    labels = {"train": [0, 0], "dev": [0], "test": [0, 1, 0, 0]}
    assert find_leakage(splits, labels=labels).summary() == (
        "2 of the 4 texts of test (50.0 %) stand in train or dev too: in train 1 word for word, 1 but for punctuation "
        "(1 with another label). 2 are unseen."
    )
    alone = find_leakage({"train": ["a"], "test": ["b", "c"]})
    assert alone.summary() == "None of the 2 texts of test stands in train."


@pytest.mark.parametrize("splits", [{"train": [], "test": []}, {"train": [SENTENCE], "dev": [], "test": []}])
def test_a_split_may_be_empty(splits):
    leakage = find_leakage(splits)
    assert leakage.unseen("test") == []
    assert leakage.to_json()["between"][0]["share"] == 0
    assert leakage.summary().startswith("None of the 0 texts of test")


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(InputError, match="the threshold of near duplicates is .*; give a share above 0 and at most 1"):
        find_leakage({"train": [], "test": []}, threshold=threshold)


def written_texts(number, seed):
    """Return sentences of words that are as unevenly frequent as real ones; clauses end with a comma."""
    rng = random.Random(seed)
    words = rng.choices([f"w{rank}" for rank in range(4000)], [1 / (rank + 3) for rank in range(4000)], k=45 * number)
    lengths = [rng.randrange(12, 45) for _ in range(number)]
    texts = [[word + "," * (rng.random() < 0.1) for word in words[45 * i : 45 * i + n]] for i, n in enumerate(lengths)]
    return [" ".join(text) + "." for text in texts]


def test_planted_duplicates_are_found_and_distinct_texts_are_not():
    texts = written_texts(800, seed=0)
    training, rest = texts[:400], texts[400:]
    num_near = num_found = 0
    for seed, (name, change) in enumerate(tool.CHANGES.items()):
        found = tool.measure(training, tool.plant(training, change, seed))
        assert found.num_texts == 400
        if name in tool.FOUND_AS:
            assert getattr(found.overlap, tool.FOUND_AS[name]) == 400, name
        else:
            assert found.num_found >= 0.95 * 400, name
            num_near, num_found = num_near + 400, num_found + found.num_found
    assert num_found >= 0.95 * num_near
    assert tool.measure(training, rest).num_found == 0


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs the data for measuring")
def test_sentences_of_chemprot_with_other_entities_marked_are_the_same_words():
    rows = {
        split: [json.loads(line) for line in (DATA / "chemprot" / f"{split}.jsonl").read_text().splitlines()]
        for split in ("train", "dev", "test")
    }
    texts, labels = ({split: [row[key] for row in rows[split]] for split in rows} for key in ("text", "label"))
    leakage = find_leakage(texts, labels=labels)
    within = {found.split: found for found in leakage.within}
    # a sentence stands once for each pair of its entities, and the pairs have different labels
    assert within["train"].same_words > 0.8 * 4169
    assert within["train"].other_label > 0.25 * 4169
    # documents are in one split
    assert leakage.unseen("test").count(False) < 0.01 * 3469
    assert leakage.between[1].exact == 4


def test_what_nobody_sees_makes_no_other_text():
    hidden = "\u00ad".join(SENTENCE)
    found = find_leakage({"train": [SENTENCE], "test": [hidden]})
    assert [overlap.exact for overlap in found.between] == [1]
