import math

import pytest
import torch

from diffmask.video.read.sampling import NUM_DRAWS, Crop


def slow_map(values, times, wanted, crop, shape):
    """One patch, one sample and one time at a time."""
    count, height, width = values.shape

    def look(frame, y, x):
        y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
        top, left = math.floor(y), math.floor(x)
        below, right = min(top + 1, height - 1), min(left + 1, width - 1)
        fy, fx = y - top, x - left
        upper = frame[top][left] * (1 - fx) + frame[top][right] * fx
        return upper * (1 - fy) + (frame[below][left] * (1 - fx) + frame[below][right] * fx) * fy

    def at(time):
        for k in range(count - 1):
            if times[k] <= time <= times[k + 1]:
                share = (time - times[k]) / (times[k + 1] - times[k])
                return values[k] * (1 - share) + values[k + 1] * share
        return values[0] if time < times[0] else values[-1]

    down = max(1, math.ceil(crop.height * height / shape[0] - 1e-6))
    across = max(1, math.ceil(crop.width * width / shape[1] - 1e-6))
    result = torch.zeros(len(wanted), *shape)
    for t, time in enumerate(wanted):
        frame = at(time).tolist()
        for row in range(shape[0]):
            for column in range(shape[1]):
                seen = shape[1] - 1 - column if crop.flip else column
                total = 0.0
                for i in range(down):
                    for j in range(across):
                        y = crop.top + crop.height * (row + (i + 0.5) / down) / shape[0]
                        x = crop.left + crop.width * (seen + (j + 0.5) / across) / shape[1]
                        total += look(frame, y * height - 0.5, x * width - 0.5)
                result[t, row, column] = total / (down * across)
    return result


@pytest.mark.parametrize("crop", [Crop(), Crop(flip=True), Crop(0.1, 0.3, 0.5, 0.6), Crop(0.2, 0.0, 0.75, 0.5, True)])
@pytest.mark.parametrize(("count", "shape"), [(1, (3, 4)), (4, (2, 2)), (3, (14, 14)), (2, (5, 3))])
def test_a_map_is_cropped_as_a_loop_does_it(crop, count, shape):
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(count, 7, 6, generator=generator)
    times = torch.linspace(0, 1, count) if count > 1 else torch.tensor([0.0])
    wanted = torch.tensor([0.0, 0.13, 0.5, 1.0])
    found = crop.of_map(values, times, wanted, shape)
    assert torch.allclose(found, slow_map(values, times.tolist(), wanted.tolist(), crop, shape), atol=1e-5)


def test_the_whole_frame_at_its_own_size_is_the_map_itself():
    values = torch.rand(3, 4, 5).half()
    found = Crop().of_map(values, torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.5, 1.0]), (4, 5))
    assert torch.allclose(found, values.float(), atol=1e-6)


def test_frames_boxes_and_maps_show_the_same_place():
    """A bright square in the frames, a box around it and a map that marks it go through the same crops."""
    height, width, size, grid = 48, 64, 32, 8
    frames = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    frames[:, 16:24, 40:48] = 255
    values = torch.zeros(1, height // 8, width // 8)
    values[0, 2, 5] = 1.0
    box = torch.tensor([[40 / width, 16 / height, 48 / width, 24 / height]])
    for crop in (
        Crop(),
        Crop(flip=True),
        Crop(8 / 48, 24 / 64, 24 / 48, 32 / 64),
        Crop(8 / 48, 24 / 64, 0.5, 0.5, True),
    ):
        seen = crop.of_frames(frames, size)
        assert seen.shape == (2, 3, size, size)
        light = seen[0, 0].float()
        rows, columns = (light.sum(1) > 255).nonzero()[:, 0], (light.sum(0) > 255).nonzero()[:, 0]
        x1, y1, x2, y2 = (crop.of_boxes(box)[0] * size).tolist()
        assert [rows.min(), rows.max() + 1] == pytest.approx([y1, y2], abs=1.01)
        assert [columns.min(), columns.max() + 1] == pytest.approx([x1, x2], abs=1.01)
        marked = crop.of_map(values, torch.zeros(1), torch.zeros(1), (grid, grid))[0]
        best = marked.flatten().argmax().item()
        assert best // grid == pytest.approx((y1 + y2) / 2 / size * grid - 0.5, abs=0.51)
        assert best % grid == pytest.approx((x1 + x2) / 2 / size * grid - 0.5, abs=0.51)


def test_a_box_outside_of_the_crop_has_no_area():
    found = Crop(0.5, 0.5, 0.5, 0.5).of_boxes(torch.tensor([[0.0, 0.0, 0.2, 0.2]]))[0]
    assert (found[2] - found[0]) * (found[3] - found[1]) == 0


def test_random_crops_have_the_areas_and_shapes_that_are_asked_for():
    generator = torch.Generator().manual_seed(0)
    areas, shapes, flips, lefts = [], [], [], []
    for _ in range(2000):
        crop = Crop.random(240, 320, torch.rand(NUM_DRAWS, generator=generator), scale=(0.25, 0.5))
        assert 0 <= crop.top <= 1 - crop.height + 1e-9
        assert 0 <= crop.left <= 1 - crop.width + 1e-9
        areas.append(crop.height * crop.width)
        shapes.append(crop.width * 320 / (crop.height * 240))
        flips.append(crop.flip)
        lefts.append(crop.left / (1 - crop.width))
    assert min(areas) > 0.24
    assert max(areas) < 0.51
    assert sum(areas) / 2000 == pytest.approx(0.375, abs=0.01)
    assert min(shapes) > 0.74
    assert max(shapes) < 1.35
    assert sum(map(math.log, shapes)) / 2000 == pytest.approx(0.0, abs=0.02)
    assert sum(flips) / 2000 == pytest.approx(0.5, abs=0.04)
    assert sum(lefts) / 2000 == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 300), (300, 2), (7, 5)])
def test_any_frame_has_a_crop(height, width):
    crop = Crop.random(height, width, torch.full((NUM_DRAWS,), 0.999), scale=(0.9, 1.0))
    frames = torch.randint(0, 255, (2, height, width, 3), dtype=torch.uint8)
    for each in (crop, Crop.centre(height, width)):
        assert each.of_frames(frames, 16).shape == (2, 3, 16, 16)


def test_the_centre_is_the_largest_square():
    assert Crop.centre(100, 200) == Crop(0.0, 0.25, 1.0, 0.5)
