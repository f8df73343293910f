import pytest
import torch

from diffmask.core.units import Units
from diffmask.policies.difference import Difference


def units(types):
    types = torch.tensor(types)
    return Units(torch.zeros_like(types), torch.ones_like(types, dtype=torch.bool), torch.arange(len(types)), types)


def test_scores_are_the_tables():
    table = [0.5, -1.0, 2.0]
    types = [[2, 0, 1], [1, 1, 2]]
    assert Difference(torch.tensor(table)).score(units(types)).tolist() == [[table[t] for t in row] for row in types]


def test_unknown_types_are_neither_preferred_nor_avoided():
    assert Difference(torch.tensor([0.0, 1.0, 9.0])).score(units([[-1]])).item() == 1.0
    assert Difference(torch.tensor([0.0, 1.0]), unknown_score=7.0).score(units([[-1]])).item() == 7.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (torch.tensor([]), r"type_scores has shape \(0,\)"),
        (torch.tensor([1.0, torch.nan]), "values that are not finite"),
    ],
)
def test_an_unusable_table_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        Difference(table)


def test_units_without_types_are_refused():
    given = Units(torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool), torch.arange(1))
    with pytest.raises(ValueError, match="needs units with types"):
        Difference(torch.ones(2)).score(given)
