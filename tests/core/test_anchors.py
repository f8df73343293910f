"""Choosing the best types, edits by hand, and what is refused."""

import pytest
import torch

from diffmask.core.anchors import check_anchors, choose_anchors, edit_anchors
from diffmask.core.errors import InputError


def test_the_best_eligible_rows_are_chosen_and_ties_keep_their_order():
    scores = torch.tensor([1.0, 9.0, 5.0, 5.0, 7.0, 5.0])
    eligible = torch.tensor([True, False, True, True, True, True])
    slow = sorted((row for row in range(6) if eligible[row]), key=lambda row: (-scores[row].item(), row))
    assert choose_anchors(scores, eligible, 4).tolist() == slow[:4] == [4, 2, 3, 5]


def test_fewer_are_chosen_where_fewer_are_eligible():
    assert choose_anchors(torch.rand(3), torch.tensor([False, True, False]), 20).tolist() == [1]


def test_nothing_to_choose_is_refused():
    with pytest.raises(InputError, match="^no word of the data may be an anchor; lower min_count, or give more data$"):
        choose_anchors(torch.rand(3), torch.zeros(3, dtype=torch.bool), 20)
    with pytest.raises(InputError, match="^num_anchors=0 is below 1; the published method takes 20$"):
        choose_anchors(torch.rand(3), torch.ones(3, dtype=torch.bool), 0)


def test_edits_keep_the_places():
    anchors = ["a", "b", "c", "d"]
    assert edit_anchors(anchors, drop=["b"], replace={"c": "x"}, add=["y", "b"]) == ["a", "x", "d", "y", "b"]
    assert anchors == ["a", "b", "c", "d"]
    assert edit_anchors(anchors) == anchors


def test_an_edit_of_what_is_not_there_is_refused():
    with pytest.raises(InputError, match="^'z' is not among the anchors; drop or replace one of: a, b$"):
        edit_anchors(["a", "b"], drop=["z"])
    with pytest.raises(InputError, match="^'z' is not among the anchors"):
        edit_anchors(["a", "b"], replace={"z": "y"})


def test_an_anchor_that_comes_twice_is_refused():
    with pytest.raises(InputError, match="^the edited anchors: 'a' occurs twice; remove one$"):
        edit_anchors(["a", "b"], add=["a"])
    with pytest.raises(InputError, match="^the edited anchors: 'b' occurs twice; remove one$"):
        edit_anchors(["a", "b"], replace={"a": "b"})
    with pytest.raises(InputError, match="^my.csv: there is no anchor; give at least one word$"):
        check_anchors([], "my.csv")


def test_anchors_may_not_be_edited_away():
    with pytest.raises(InputError, match="^the edited anchors: there is no anchor; give at least one word$"):
        edit_anchors(["a"], drop=["a"])
