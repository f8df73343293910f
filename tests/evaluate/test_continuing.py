"""Whether continuing helps: which result is of the model as it was, and what is said against it."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from support.compared import write_result

from diffmask.evaluate.compare import HIGHER, LOWER, NOT_SHOWN, CompareSettings, compare
from diffmask.evaluate.results import read_results
from diffmask.evaluate.step_curves import compare_steps
from diffmask.report.comparison import ComparisonReport
from diffmask.report.continuing import answer, step_notes, table_of_worth

FAST = CompareSettings(num_draws=1000)
AS_IT_WAS = {"parts": {"model_hash": "old", "continued": {"from": [], "steps": 0}}}
OF_OLD = {"parts": {"model_hash": "new", "continued": {"from": ["old"], "steps": 300}}}


def written(tmp_path, **accuracies):
    """Write results by name; `none` is of the model as it was, all others of models continued from it."""
    for name, (accuracy, shares) in accuracies.items():
        origin = AS_IT_WAS if name == "none" else OF_OLD
        write_result(tmp_path / name, name, accuracy=accuracy, shares=shares, num_texts=400, **origin)
    return [tmp_path / name for name in accuracies]


def test_each_continued_model_is_held_against_the_one_it_came_from(tmp_path):
    one = (1.0,)
    paths = written(tmp_path, better=(0.9, one), worse=(0.4, one), same=(0.6, one), none=(0.6, one))
    found = compare(read_results(paths), FAST).continuing
    verdicts = {each.name: (each.other, each.verdict) for each in found.differences[1.0]}
    expected = {"better": ("none", HIGHER), "worse": ("none", LOWER), "same": ("none", NOT_SHOWN)}
    assert verdicts == expected and found.areas == () and found.without == ()
    told = answer(found)
    assert told.startswith("Does continuing help here? Yes: better by ")
    assert "points better than none, but worse by " in told and told.endswith("no difference is shown for 1 of 3.")


def test_each_share_of_the_labels_has_its_answer_and_the_area_is_that_under_the_curve(tmp_path):
    shares = (0.1, 0.3, 1.0)
    paths = written(tmp_path, none=(0.5, shares), more=(0.8, shares))
    found = compare(read_results(paths), FAST)
    cells = {share: cell.mean for share, (cell,) in found.continuing.differences.items()}
    curve = {(point.name, point.share): point.mean for point in found.curve}
    assert cells == pytest.approx({share: curve["more", share] - curve["none", share] for share in shares})
    area = np.trapezoid(list(cells.values()), np.log(shares)) / np.log(10)
    assert found.continuing.areas[0].mean == pytest.approx(area)
    assert found.continuing.areas[0].low < area < found.continuing.areas[0].high
    assert "With 10 % of the labels yes: more by" in answer(found.continuing)
    assert table_of_worth(found.continuing)[0] == ("continued", "against", "10 %", "30 %", "100 %", "area")
    markdown = ComparisonReport(found).to_markdown().splitlines()
    assert markdown[2].startswith("**Does continuing help here? With 10 %")


def test_all_answers_are_corrected_together(tmp_path):
    shares = (0.1, 1.0)
    paths = written(tmp_path, none=(0.6, shares), one=(0.62, shares), two=(0.63, shares))
    cells = [cell for row in compare(read_results(paths), FAST).continuing.differences.values() for cell in row]
    smallest = min(cells, key=lambda cell: cell.p_value)
    assert smallest.corrected == pytest.approx(min(1.0, 4 * smallest.p_value))


def test_of_several_ancestors_the_oldest_counts(tmp_path):
    paths = written(tmp_path, none=(0.6, (1.0,)), first=(0.7, (1.0,)))
    second = {"model_hash": "newest", "continued": {"from": ["old", "new"], "steps": 600}}
    paths.append(write_result(tmp_path / "second", "second", num_texts=400, parts=second))
    found = compare(read_results(paths), FAST).continuing
    assert {each.name: each.other for each in found.differences[1.0]} == {"first": "none", "second": "none"}
    found = compare(read_results(paths[1:]), FAST).continuing
    assert {each.name: each.other for each in found.differences[1.0]} == {"second": "first"}
    assert found.without == ("first",) and "Nothing is said of first" in answer(found)


def test_a_model_that_got_no_more_than_a_head_was_not_continued(tmp_path):
    head = {"model_hash": "with head", "continued": {"from": ["old"], "steps": 0}}
    later = {"model_hash": "new", "continued": {"from": ["old", "with head"], "steps": 300}}
    paths = [write_result(tmp_path / "none", "none", parts=head), write_result(tmp_path / "one", "one", parts=later)]
    found = compare(read_results(paths), FAST).continuing
    assert [(each.name, each.other) for each in found.differences[1.0]] == [("one", "none")] and found.without == ()


def test_without_the_model_as_it_was_nothing_is_claimed(tmp_path):
    paths = written(tmp_path, one=(0.6, (1.0,)), two=(0.9, (1.0,)))
    assert "This comparison cannot tell: no result is of the model as it was" in answer(
        compare(read_results(paths), FAST).continuing
    )


def test_where_nothing_was_continued_or_nothing_is_known_it_is_not_asked(tmp_path):
    paths = [write_result(tmp_path / name, name, **AS_IT_WAS) for name in ("one", "two")]
    assert compare(read_results(paths), FAST).continuing is None
    paths = [write_result(tmp_path / f"older-{name}", name) for name in ("one", "two")]
    found = compare(read_results(paths), FAST)
    assert found.continuing is None and "continuing" not in ComparisonReport(found).finding


def test_curves_over_steps_say_how_soon_an_arm_is_where_the_baseline_ends(tmp_path):
    accuracies = {0: (0.4, 0.4), 100: (0.5, 0.8), 300: (0.7, 0.8)}
    results = {}
    for step, pair in accuracies.items():
        folders = [
            write_result(tmp_path / f"{name}-{step}", name, accuracy=accuracy, num_texts=400)
            for name, accuracy in zip(("random", "fast"), pair, strict=True)
        ]
        results[step] = read_results(folders)
    found = compare_steps(results, replace(FAST, baseline="random"))
    means = {name: [found.scores[step][name].mean for step in accuracies] for name in ("random", "fast")}
    area = np.trapezoid(means["fast"], list(accuracies)) - np.trapezoid(means["random"], list(accuracies))
    assert [each.name for each in found.areas] == ["fast"]
    assert found.areas[0].mean == pytest.approx(area / 300) and found.areas[0].verdict == HIGHER
    start, end = means["fast"][:2]
    assert found.reached["random"] == 300
    assert found.reached["fast"] == pytest.approx(100 * (means["random"][2] - start) / (end - start))
    assert "fast reaches" in step_notes(found)


def test_a_narrow_terminal_shows_each_model_and_share_on_a_line(tmp_path, capsys):
    shares = (0.1, 1.0)
    paths = written(tmp_path, none=(0.5, shares), more=(0.8, shares))
    ComparisonReport(compare(read_results(paths), FAST)).print(Console(width=80))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = [line[:4] for line in lines if line[:2] == ["more", "none"] and line[-1] == "higher"]
    assert [line[2] for line in shown[:2]] == ["10", "100"] and not any("…" in word for line in lines for word in line)
