import pytest
import torch

from diffmask.video.units.features import _motion
from diffmask.video.units.grid import Grid

GRID = Grid(frames=3, rows=2, columns=4, tubelet=2, patch_size=8)


def slow_motion(frames, grid):
    """One number per patch, pixel by pixel of the definition."""
    grey = (frames.float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(2)
    found = torch.zeros(len(frames), grid.num_positions)
    for clip in range(len(frames)):
        steps = []
        for before, after in zip(grey[clip], grey[clip, 1:], strict=False):
            step = after - before
            steps.append((step - step[::4, ::4].flatten().median()).abs())
        for t in range(grid.frames):
            for y in range(grid.rows):
                for x in range(grid.columns):
                    values = []
                    for frame in range(t * grid.tubelet, (t + 1) * grid.tubelet):
                        near = [steps[i] for i in (frame - 1, frame) if 0 <= i < len(steps)]
                        change = sum(near) / len(near)
                        size = grid.patch_size
                        values.append(change[y * size : (y + 1) * size, x * size : (x + 1) * size].mean())
                    found[clip, (t * grid.rows + y) * grid.columns + x] = sum(values) / len(values)
    return found


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_motion_is_the_mean_change_of_each_patch(kind):
    frames = torch.randint(0, 256, (2, 6, 3, 16, 32), generator=torch.Generator().manual_seed(0)).to(kind)
    torch.testing.assert_close(_motion(frames, GRID), slow_motion(frames, GRID), rtol=1e-5, atol=1e-3)


def test_what_moves_is_found_and_what_stands_is_not():
    frames = torch.full((1, 6, 3, 16, 32), 90, dtype=torch.uint8)
    for frame in range(6):
        frames[0, frame, :, 8:12, 24 + frame : 27 + frame] = 250
    found = _motion(frames, GRID).view(3, 2, 4)
    assert (found[:, 1, 3] > 1).all()
    found[:, 1, 3] = 0
    assert found.abs().max() < 1e-3


def test_a_light_that_goes_on_everywhere_moves_nothing():
    frames = torch.full((1, 6, 3, 16, 32), 90, dtype=torch.uint8)
    frames[:, 3:] = 200
    assert _motion(frames, GRID).abs().max() < 1e-3


def test_one_frame_has_no_motion():
    assert not _motion(torch.rand(2, 1, 3, 16, 32), Grid(1, 2, 4, 1, 8)).any()


def test_frames_of_another_grid_are_a_mistake_of_the_caller():
    with pytest.raises(AssertionError, match="4 frames"):
        _motion(torch.rand(1, 4, 3, 16, 32), GRID)
    with pytest.raises(AssertionError, match="32x32"):
        _motion(torch.rand(1, 6, 3, 32, 32), GRID)
