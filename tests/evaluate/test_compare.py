"""Comparing results: what is read and refused, what is computed, and what is said of it."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score
from support.compared import SCORES, write_result

from diffmask.core.errors import InputError
from diffmask.evaluate.compare import HIGHER, LOWER, NOT_SHOWN, CompareSettings, compare
from diffmask.evaluate.results import common_seeds, find_results, read_results

FAST = {"num_draws": 1000}


def compared(paths, **settings):
    return compare(read_results(paths), CompareSettings(**FAST | settings))


def test_scores_are_those_of_scikit_learn_over_the_seeds(tmp_path):
    folders = [write_result(tmp_path / name, name) for name in ("none", "random")]
    found = compared(folders, metric="macro_f1")
    for folder, score in zip(folders, found.scores, strict=True):
        files = [json.loads((folder / f"seed-{seed}.json").read_text()) for seed in range(3)]
        expected = [f1_score(f["targets"], f["shares"][0]["predictions"], average="macro") for f in files]
        assert list(score.scores) == [0, 1, 2]
        assert np.allclose(list(score.scores.values()), expected)
        assert score.mean == pytest.approx(np.mean(expected))
        assert score.deviation == pytest.approx(np.std(expected, ddof=1))
        assert score.low < score.mean < score.high
    (difference,) = found.differences
    assert (difference.name, difference.other) == ("random", "none")
    assert difference.mean == pytest.approx(found.scores[1].mean - found.scores[0].mean)


def test_a_large_difference_is_told_and_a_small_one_is_not(tmp_path):
    accuracies = {"none": 0.6, "same": 0.6, "better": 0.9, "worse": 0.3}
    found = compared(
        [write_result(tmp_path / name, name, accuracy=a, seeds=range(5)) for name, a in accuracies.items()]
    )
    verdicts = {each.name: each.verdict for each in found.differences}
    assert verdicts == {"same": NOT_SHOWN, "better": HIGHER, "worse": LOWER}
    for each in found.differences:
        assert each.corrected >= each.p_value
        assert each.low < each.mean < each.high


def test_the_same_predictions_differ_by_nothing(tmp_path):
    files = [write_result(tmp_path / name, "none") for name in ("a", "b")]
    (difference,) = compared(files).differences
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert difference.p_value == 1.0
    assert difference.verdict == NOT_SHOWN


def test_each_pair_is_compared_when_asked_and_more_is_corrected_for(tmp_path):
    folders = [write_result(tmp_path / name, name) for name in ("a", "b", "c")]
    to_first, pairs = compared(folders, baseline="b"), compared(folders, baseline="b", all_pairs=True)
    assert [(each.name, each.other) for each in to_first.differences] == [("a", "b"), ("c", "b")]
    assert [(each.name, each.other) for each in pairs.differences] == [("a", "b"), ("c", "b"), ("c", "a")]
    # a pair is the same, whatever else is compared
    assert pairs.differences[0].p_value == to_first.differences[0].p_value
    assert pairs.differences[0].low == to_first.differences[0].low
    assert to_first.settings.baseline == "b"


def test_seeds_that_not_all_have_are_left_out_and_named(tmp_path):
    folders = [
        write_result(tmp_path / "a", "a", seeds=(0, 1, 2, 7)),
        write_result(tmp_path / "b", "b", seeds=(1, 2, 3)),
    ]
    found = compared(folders)
    assert found.seeds == (1, 2)
    assert found.left_out == {"a": [0, 7], "b": [3]}
    assert list(found.scores[0].scores) == [1, 2]


def test_one_seed_speaks_of_texts_alone(tmp_path):
    found = compared(
        [write_result(tmp_path / name, name, seeds=(4,), accuracy=a) for name, a in (("a", 0.4), ("b", 0.9))]
    )
    assert found.seeds == (4,)
    assert found.scores[0].deviation is None
    assert found.differences[0].verdict == HIGHER


def test_unseen_texts_alone_are_scored_when_asked(tmp_path):
    folders = [write_result(tmp_path / name, name) for name in ("a", "b")]
    found = compared(folders, texts="unseen")
    assert (found.num_texts, found.num_seen) == (90, 30)
    first = json.loads((folders[0] / "seed-0.json").read_text())
    rows = np.flatnonzero(first["unseen"])
    right = np.array(first["targets"])[rows] == np.array(first["shares"][0]["predictions"])[rows]
    assert found.scores[0].scores[0] == pytest.approx(right.mean())


def test_the_largest_common_share_is_taken_and_a_curve_is_made(tmp_path):
    write_result(tmp_path / "a", "a", shares=(0.1, 0.3, 1.0))
    write_result(tmp_path / "b", "b", shares=(0.1, 0.3))
    found = compared([tmp_path / "a", tmp_path / "b"])
    assert found.settings.share == 0.3
    assert [(each.name, each.share, each.num_train) for each in found.curve] == [
        ("a", 0.1, 90), ("b", 0.1, 90), ("a", 0.3, 270), ("b", 0.3, 270),
    ]  # fmt: skip
    assert found.curve[2].mean == found.scores[0].mean
    assert compared([tmp_path / "a", tmp_path / "b"], share=0.1).scores[0].mean == found.curve[0].mean


def test_one_share_is_no_curve(tmp_path):
    assert compared([write_result(tmp_path / name, name) for name in ("a", "b")]).curve == ()


def test_draws_depend_on_the_seed_and_on_nothing_else(tmp_path):
    folders = [write_result(tmp_path / name, name) for name in ("a", "b")]
    assert compared(folders) == compared(folders)
    assert compared(folders).differences[0].low != compared(folders, seed=1).differences[0].low


def test_results_are_found_below_a_folder_once_and_named_by_their_names(tmp_path):
    write_result(tmp_path / "runs" / "x" / "evaluation" / "toy-finetune", "ours")
    write_result(tmp_path / "runs" / "y" / "evaluation" / "toy-finetune", "theirs")
    (tmp_path / "runs" / "x" / "seed-notes.json").write_text("{}")
    read = read_results([tmp_path / "runs", tmp_path / "runs" / "x" / "evaluation" / "toy-finetune"])
    assert [each.name for each in read] == ["ours", "theirs"]
    assert find_results(tmp_path / "runs" / "y") == [tmp_path / "runs" / "y" / "evaluation" / "toy-finetune"]


def test_results_of_one_name_are_told_apart_by_their_folders(tmp_path):
    folders = [write_result(tmp_path / name, "model") for name in ("a", "b")]
    assert [each.name for each in read_results(folders)] == [f"model ({folder})" for folder in folders]


def test_names_hold_nothing_that_a_terminal_obeys(tmp_path):
    (result,) = read_results([write_result(tmp_path / "a", "a\x1b[31m\nb")])
    assert result.name == "a [31m b"


def test_the_shares_of_results_may_differ_as_a_setting(tmp_path):
    write_result(tmp_path / "a", "a", shares=(0.5, 1.0))
    write_result(tmp_path / "b", "b")
    assert len(read_results([tmp_path / "a", tmp_path / "b"])) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task": {"name": "other"}}, "have different tasks (toy and other), so their scores cannot be compared"),
        ({"task": {"kind": "multi-label"}, "targets": [[0]] * 120}, "is damaged: share 1: "),
        ({"method": "probe"}, "have different methods (finetune and probe)"),
        ({"settings": {"finetune": {"epochs": 9}}}, "have different settings (finetune.epochs: 3 and 9)"),
        ({"settings": {"more": 1}}, "have different settings (more: absent and 1)"),
        ({"task": {"hash": "f"}}, "have different texts or labels, in spite of the same task name (toy)"),
        ({"unseen": [True] * 120}, "have different texts or labels"),
    ],
)
def test_results_that_cannot_be_compared_are_refused(tmp_path, changes, sentence):
    write_result(tmp_path / "a", "a")
    write_result(tmp_path / "b", "b", **changes)
    with pytest.raises(InputError) as refused:
        read_results([tmp_path / "a", tmp_path / "b"])
    message = str(refused.value)
    assert sentence in message and str(tmp_path / "b") in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.clear(), "has format None, not 1; use the diffmask that wrote it"),
        (lambda d: d.update(format=2), "has format 2, not 1"),
        (lambda d: d.pop("targets"), "is damaged: targets is missing or of a wrong type; delete it and evaluate"),
        (lambda d: d.update(seed=True), "is damaged: seed is missing or of a wrong type"),
        (lambda d: d["task"].pop("hash"), "is damaged: task.hash is missing"),
        (lambda d: d["task"].update(kind="graph"), "the kind of its task is 'graph', not one of single-label"),
        (lambda d: d.update(shares=[1]), "is damaged: shares[0].share is missing"),
        (lambda d: d.update(shares=[]), "is damaged: it holds no test texts or no shares"),
        (lambda d: d["unseen"].pop(), "is damaged: 119 marks of unseen texts for 120 texts"),
        (lambda d: d["shares"][0]["predictions"].pop(), "119 predictions at share 1 for 120 texts"),
        (lambda d: d["targets"].__setitem__(0, 3), "targets: [3] is no label of a single-label task of 3 labels"),
        (lambda d: d["shares"][0].pop("test"), "is damaged: shares[0].test is missing or of a wrong type"),
        (lambda d: d.update(seed=5), "is of seed 5; give the file the name of its seed"),
        (lambda d: d.update(name="b"), "have different names (none and b), so they are not of one result"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, change, sentence):
    path = write_result(tmp_path / "a") / "seed-1.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as refused:
        read_results([tmp_path / "a"])
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["", "[]", "\xff"])
def test_what_is_no_json_object_is_damaged(tmp_path, content):
    (write_result(tmp_path / "a") / "seed-1.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match="seed-1.json is damaged: it (is no JSON|holds no object)"):
        read_results([tmp_path / "a"])


def test_tokens_and_several_labels_are_checked_for_their_shape(tmp_path):
    def write(name, kind, targets, predictions):
        shares = [{"share": 1.0, "num_train": 1, "predictions": predictions, "test": {"all": SCORES}}]
        parts = {"targets": targets, "unseen": [True] * 2, "shares": shares}
        return write_result(tmp_path / name, task={"kind": kind}, parts=parts)

    write("words", "tokens", [[0, 1], [2]], [[0], [2]])
    with pytest.raises(InputError, match="share 1: a text has not one label for each of its words"):
        read_results([tmp_path / "words"])
    write("several", "multi-label", [[0, 1], []], [[0, 0], [2]])
    with pytest.raises(InputError, match="share 1: a text has the same label twice"):
        read_results([tmp_path / "several"])
    good = [write("a", "tokens", [[0, 1], [2]], [[0, 1], [1]]), write("b", "tokens", [[0, 1], [2]], [[0, 0], [2]])]
    assert len(read_results(good)) == 2


def test_one_model_with_two_weights_is_no_result(tmp_path):
    write_result(tmp_path / "a", seeds=(0,), model_hash="ab")
    write_result(tmp_path / "a", seeds=(1,), model_hash="ab")
    assert len(read_results([tmp_path / "a"])) == 1
    write_result(tmp_path / "a", seeds=(1,), model="runs/other", model_hash="cd")
    assert len(read_results([tmp_path / "a"])) == 1
    write_result(tmp_path / "a", seeds=(2,), model="runs/other", model_hash="ef")
    with pytest.raises(InputError, match=r"seeds 1 and 2 in \S+ have different weights, though both are of runs/other"):
        read_results([tmp_path / "a"])


def test_what_holds_no_results_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for path, sentence in {
        "none": "does not exist; give the output folder",
        "file": "is a file; give the folder of the results",
        "empty": r"holds no results \(no seed-N.json\)",
    }.items():
        with pytest.raises(InputError, match=sentence):
            read_results([tmp_path / path])


def test_seeds_without_overlap_are_refused(tmp_path):
    for name, seeds in {"a": (0, 1), "b": (1, 2), "c": (2, 3), "d": (0, 2)}.items():
        write_result(tmp_path / name, name, seeds=seeds)
    a, b, c, d = read_results([tmp_path / name for name in "abcd"])
    with pytest.raises(InputError, match=r"a and c have no seed in common \(seeds 0, 1; seeds 2, 3\); evaluate both"):
        common_seeds([a, b, c])
    with pytest.raises(InputError, match="no seed is common to all results"):
        common_seeds([a, b, d])


def test_shares_without_overlap_are_refused(tmp_path):
    write_result(tmp_path / "a", "a", shares=(0.1,))
    write_result(tmp_path / "b", "b")
    with pytest.raises(InputError, match="no share of the labels is common to all results"):
        compared([tmp_path / "a", tmp_path / "b"])
    path = write_result(tmp_path / "c", "c", seeds=(0,)) and write_result(
        tmp_path / "c", "c", seeds=(1,), shares=(0.1,)
    )
    with pytest.raises(InputError, match=f"the seeds in {path} share no share of the labels"):
        read_results([path])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"metric": "f1"},
            "unknown metric 'f1'; choose from: micro_f1, macro_f1, accuracy, recall_at_1, recall_at_5, recall_at_10",
        ),
        ({"texts": "some"}, "unknown texts 'some'; choose from: all, unseen"),
        ({"share": 0.2}, "the share 0.2 is not in all results; choose from: 1"),
        ({"baseline": "c"}, "no result is named 'c'; choose the baseline from: a, b"),
        ({"num_draws": 10}, "num_draws=10 must be at least 1000; fewer are too few for an interval"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(tmp_path, settings, sentence):
    folders = [write_result(tmp_path / name, name) for name in ("a", "b")]
    with pytest.raises(InputError) as refused:
        compared(folders, **settings)
    assert str(refused.value) == sentence


def test_one_result_is_nothing_to_compare(tmp_path):
    with pytest.raises(InputError, match=r"one result \(none\) cannot be compared; give at least two"):
        compared([write_result(tmp_path / "a")])


def test_no_unseen_text_is_refused(tmp_path):
    folders = [write_result(tmp_path / name, name, unseen=[False] * 120) for name in ("a", "b")]
    with pytest.raises(InputError, match="no test text of toy is unseen in the other splits; give --texts all"):
        compared(folders, texts="unseen")
