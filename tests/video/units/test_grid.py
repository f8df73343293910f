import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import linear_weights
from diffmask.core.schedule import Constant
from diffmask.core.select import mask_count
from diffmask.core.units import Units
from diffmask.policies.feature import Feature
from diffmask.policies.uniform import Uniform
from diffmask.video.units.grid import Grid

GRID = Grid(8, 14, 14, 2, 16)
SMALL = Grid(4, 4, 6, 2, 8)
KINDS = [("patch", ()), ("tube", ()), ("frame", ()), ("block", (2, 2, 2)), ("cell", (2, 2))]


def places(grid):
    return [(t, y, x) for t in range(grid.frames) for y in range(grid.rows) for x in range(grid.columns)]


def test_units_are_what_they_are_called():
    for kind, key in {
        "patch": lambda t, y, x: (t, y, x),
        "tube": lambda t, y, x: (y, x),
        "frame": lambda t, y, x: (t,),
        "block": lambda t, y, x: (t // 2, y // 2, x // 3),
    }.items():
        ids = SMALL.unit_ids(kind, (2, 2, 3) if kind == "block" else ()).tolist()
        names = [key(*place) for place in places(SMALL)]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        assert ids == [numbers[name] for name in names], kind


def test_a_running_cell_visits_each_place_of_its_cell_and_steps_to_neighbours():
    ids = Grid(8, 4, 6, 2, 8).unit_ids("cell", (2, 2)).view(8, 4, 6)
    for unit in range(ids.max() + 1):
        path = [(ids[t] == unit).nonzero().tolist() for t in range(8)]
        assert all(len(at) == 1 for at in path)  # one place at each time
        where = [tuple(at[0]) for at in path]
        assert len({(y // 2, x // 2) for y, x in where}) == 1
        assert len(set(where[:4])) == 4
        assert where[4:] == where[:4]
        for (y, x), (v, u) in zip(where, where[1:], strict=False):
            assert abs(y - v) + abs(x - u) == 1


@pytest.mark.parametrize(("kind", "size"), KINDS)
@pytest.mark.parametrize("ratio", [0.5, 0.75, 0.9, 0.95])
def test_every_row_has_exactly_the_count_that_the_ratio_says(kind, size, ratio):
    ids = GRID.unit_ids(kind, size)
    num_units = int(ids.max()) + 1
    lengths = ids.bincount()
    assert (lengths == lengths[0]).all()
    units = Units(ids.expand(32, -1), torch.ones(32, num_units, dtype=torch.bool), torch.arange(32))
    masked = Masker(Uniform(), Constant(ratio), uniform=True)(units, 3, 10)
    assert (masked.sum(1) == mask_count(num_units, ratio)).all()
    assert (units.to_positions(masked).sum(1) == mask_count(num_units, ratio) * int(lengths[0])).all()
    num_choices = math.comb(num_units, mask_count(num_units, ratio))
    assert len({tuple(row) for row in masked.tolist()}) > min(20, num_choices) / 2  # rows are drawn apart


@pytest.mark.parametrize(("kind", "size"), [("patch", ()), ("tube", ()), ("frame", ()), ("block", (2, 2, 3))])
def test_units_are_included_as_often_as_their_weights_say(kind, size):
    """Against a draw without replacement, one unit at a time (Wilson's band of 4.5 standard deviations)."""
    ids = SMALL.unit_ids(kind, size)
    num_units, rows = int(ids.max()) + 1, 4000
    scores = torch.linspace(0.2, 3.0, SMALL.num_positions)
    parts = Units(
        None,
        torch.ones(rows, SMALL.num_positions, dtype=torch.bool),
        torch.arange(rows),
        features={"score": scores.expand(rows, -1)},
    )
    eligible = torch.ones(rows, num_units, dtype=torch.bool)
    units = Units(ids.expand(rows, -1), eligible, parts.sample_ids, parts=parts, part_units=ids.expand(rows, -1))
    masker = Masker(Feature("score"), Constant(0.5), weighting=linear_weights, uniform=True)
    found = masker(units, 0, 1).double().mean(0)
    weights = torch.stack([scores[ids == unit].mean() for unit in range(num_units)])
    generator = torch.Generator().manual_seed(1)
    drawn = torch.multinomial(weights.expand(rows, -1), mask_count(num_units, 0.5), generator=generator)
    expected = torch.zeros(rows, num_units).scatter_(1, drawn, 1.0).double().mean(0)
    spread = (2 * expected * (1 - expected) / rows).sqrt().clamp_min(1e-3)
    assert ((found - expected).abs() < 4.5 * spread).all()
    assert found.argmax() > num_units // 2


def test_the_grid_of_a_model():
    config = SimpleNamespace(tubelet_size=2, patch_size=16)
    grid = Grid.of(config, 16, 224)
    assert (grid.shape, grid.num_positions, grid.num_frames) == ((8, 14, 14), 1568, 16)
    assert Grid.of(SimpleNamespace(patch_size=16), 1, 32).shape == (1, 2, 2)
    with pytest.raises(InputError, match="15 frames cannot be cut into patches of 2 frames; give a multiple of 2"):
        Grid.of(config, 15, 224)
    with pytest.raises(InputError, match="100 pixels cannot be cut into patches of 16; give a multiple of 16"):
        Grid.of(config, 16, 100)


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        ("pixel", (), "unknown units 'pixel'; choose from: patch, tube, frame, block, cell"),
        (
            "block",
            (3, 2, 2),
            r"blocks of \[3, 2, 2\] patches do not divide the grid of \[8, 14, 14\] in time, height and",
        ),
        ("block", (2, 2), r"choose from 1, 2, 4, 8; 1, 2, 7, 14; 1, 2, 7, 14"),
        ("cell", (3, 2), r"cells of \[3, 2\] patches do not divide the grid of \[14, 14\] in height and width"),
    ],
)
def test_what_does_not_divide_is_refused(kind, size, message):
    with pytest.raises(InputError, match=message):
        GRID.unit_ids(kind, size)


def test_the_guide_has_these_counts():
    guide = (Path(__file__).parents[3] / "docs" / "video.md").read_text()
    for label, kind, size in (
        ("patch", "patch", ()),
        ("tube, cell", "tube", ()),
        ("frame", "frame", ()),
        ("block 2 x 2 x 2", "block", (2, 2, 2)),
    ):
        ids = GRID.unit_ids(kind, size)
        num_units, length = int(ids.max()) + 1, int((ids == 0).sum())
        counts = [mask_count(num_units, ratio) for ratio in (0.5, 0.75, 0.9, 0.95)]
        cells = [f"{count * length:,}" if count < num_units else "all: refused" for count in counts]
        (row,) = [line for line in guide.splitlines() if line.startswith(f"| {label} |")]
        assert row.split(" | ")[2:] == [*cells[:-1], f"{cells[-1]} |"]
