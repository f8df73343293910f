import io
import math

import pytest
from rich.console import Console

from diffmask.core.schedule import Constant, Cosine, Linear, Random, Steps
from diffmask.report.figures.schedules import NUM_PLACES, NUM_ROWS, Course, draw_courses


def printed(given, width=60, encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, highlight=False)
    given.print(console)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("num_steps", [1, 2, 7, 300, NUM_PLACES])
def test_a_course_is_what_each_step_is_given(num_steps):
    schedule = Cosine(0.3, 0.1)
    slow = [schedule(step / num_steps) for step in range(num_steps)]
    found = Course.of("mask ratio", schedule, num_steps)
    assert found.values == pytest.approx(slow)
    assert found.mean == pytest.approx(sum(slow) / num_steps)
    assert (found.least, found.greatest) == pytest.approx((min(slow), max(slow)))


@pytest.mark.parametrize("num_steps", [None, 123_457])
def test_a_long_course_is_a_sample_of_its_steps(num_steps):
    found = Course.of("mask ratio", Linear(0.3, 0.0), num_steps)
    assert len(found.values) == NUM_PLACES
    assert found.mean == pytest.approx(0.15, abs=1e-5)
    assert found.at(0.5) == pytest.approx(0.15, abs=1e-4)


@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_a_chart_fits_its_console_and_rises_with_the_values(width):
    lines = printed(Course.of("mask ratio", Linear(0.0, 0.3), 1000), width)
    start = next(index for index, line in enumerate(lines) if "│" in line)
    chart = lines[start : start + NUM_ROWS]
    assert all(len(line) <= width for line in lines)
    columns = list(zip(*(line.split("│")[1] for line in chart), strict=True))
    heights = [sum(" ▁▂▃▄▅▆▇█".index(cell) for cell in column) for column in columns]
    assert heights == sorted(heights)
    slow = [8 * NUM_ROWS * (index + 0.5) / len(columns) for index in range(len(columns))]
    assert heights == pytest.approx(slow, abs=1.0)
    assert lines[-1].split()[0] == "0"
    assert lines[-1].split()[-1] == "1,000"


def test_a_terminal_without_unicode_gets_plain_characters():
    lines = printed(Course.of("mask ratio", Linear(0.3, 0.1), None), encoding="ascii")
    assert any("#" in line for line in lines)
    assert "progress" in lines[-1]


def test_a_constant_is_said_and_not_drawn():
    assert printed(Course.of("strength", Constant(1.0), 10)) == ["strength: 100 % throughout"]


def test_what_is_drawn_is_said_with_its_ends_and_counted_by_them():
    course = Course.of("mask ratio", Random(0.15, 0.9), 200)
    assert course.in_words == "mask ratio: mean 52.5 %, drawn at random from 15.0 % to 90.0 %"
    assert (min(course.ratios), max(course.ratios)) == pytest.approx((0.15, 0.9), abs=1e-3)
    assert sum(course.ratios) / len(course.ratios) == pytest.approx(0.525)


def test_a_jump_is_seen():
    lines = printed(Course.of("mask ratio", Steps((0.0, 0.5), (0.3, 0.1)), 100), 70)
    top = next(line for line in lines if line.startswith(" 30 %"))
    assert abs(top.count("█") - top.split("│")[1].count(" ")) <= 1 or top.rstrip().endswith("█")
    assert top.split("│")[1].rstrip().count("█") == pytest.approx(31, abs=2)


def test_mean_least_and_greatest_in_words():
    assert Course.of("mask ratio", Linear(0.3, 0.1), 2).in_words == "mask ratio: mean 25.0 %, from 20.0 % to 30.0 %"


def test_the_figure_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    courses = [Course.of("mask ratio", Linear(0.3, 0.1), 100), Course.of("strength", Constant(0.0), 100)]
    draw_courses(courses, "a run", ["100 steps"], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    draw_courses(courses, "a run", [], tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()[:500]

    from matplotlib.figure import Figure

    def fails(self, *args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", fails)
    with pytest.raises(OSError, match="No space"):
        draw_courses(courses, "a run", [], tmp_path / "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg"]


def test_the_ends_of_a_sampled_mean_are_weighed_as_in_the_trapezoid_rule():
    found = Course.of("x", lambda t: math.sin(math.pi * t), None)
    assert found.mean == pytest.approx(2 / math.pi, abs=1e-7)
