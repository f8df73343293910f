import pytest
import torch

from diffmask.core.units import Units

IDS = torch.tensor([[-1, 0, 0, 1, 2, -1, -1], [0, 1, 1, 1, -1, -1, -1]])
ELIGIBLE = torch.tensor([[True, False, True], [True, True, False]])


def test_lengths_count_positions_of_eligible_units():
    assert Units(IDS, ELIGIBLE, torch.arange(2)).lengths.tolist() == [[2, 0, 1], [1, 3, 0]]


def test_to_positions_spreads_a_mask_over_positions():
    units = Units(IDS, ELIGIBLE, torch.arange(2))
    masked = torch.tensor([[True, False, False], [False, True, False]])
    expected = [[int(i) >= 0 and bool(masked[row, i]) for i in ids] for row, ids in enumerate(IDS)]
    assert units.to_positions(masked).tolist() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_ids": torch.arange(3)}, r"sample_ids has shape \(3,\)"),
        ({"types": torch.zeros(2, 4)}, r"types has shape \(2, 4\); with eligible \(2, 3\) it must be \(2, 3\)"),
        ({"unit_ids": IDS[:1]}, r"unit_ids has shape \(1, 7\); it must be \(2, L\)"),
        ({"eligible": ELIGIBLE.long()}, "eligible is torch.int64; it must be torch.bool"),
        ({"features": {"gain": torch.zeros(2, 4)}}, r"gain has shape \(2, 4\)"),
        ({"features": {"gain": torch.zeros(2, 3, device="meta")}}, r"several devices \(cpu, meta\)"),
        ({"part_units": IDS}, "parts and part_units go together"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Units(**({"unit_ids": IDS, "eligible": ELIGIBLE, "sample_ids": torch.arange(2)} | change))


def test_positions_may_be_units_themselves():
    alone = Units(None, ELIGIBLE, torch.arange(2))
    spelt = Units(torch.arange(3).expand(2, 3), ELIGIBLE, torch.arange(2))
    masked = torch.tensor([[True, False, False], [False, True, False]])
    rows, columns = masked.nonzero(as_tuple=True)
    assert alone.num_positions == spelt.num_positions
    assert torch.equal(alone.lengths, spelt.lengths)
    assert torch.equal(alone.to_positions(masked), spelt.to_positions(masked))
    assert torch.equal(alone.of_positions(rows, columns), spelt.of_positions(rows, columns))


def test_rows_of_which_nothing_is_a_unit_have_none_of_anything():
    nothing, ids = torch.zeros(2, 0, dtype=torch.bool), torch.full((2, 3), -1)
    parts = Units(ids, nothing, torch.arange(2))
    whole = Units(ids, nothing, torch.arange(2), parts=parts, part_units=nothing.long())
    for units in (parts, whole):
        assert units.lengths.shape == (2, 0)
        assert units.pool(torch.zeros(2, 0)).shape == (2, 0)
        assert units.to_smallest(nothing).shape == (2, 0)
        assert not units.to_positions(nothing).any()
    some = Units(torch.zeros(2, 3).long(), torch.ones(2, 1, dtype=torch.bool), torch.arange(2))
    empty = Units(ids, nothing, torch.arange(2), parts=some, part_units=torch.full((2, 1), -1))
    assert empty.pool(torch.ones(2, 1)).shape == (2, 0)
    assert not empty.to_smallest(nothing).any()
