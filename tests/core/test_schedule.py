import pytest

from diffmask.core.schedule import Constant, Cosine, Floor, Linear

QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Constant(0.15), (0.15, 0.15, 0.15, 0.15, 0.15)),
        (Linear(0.3, 0.0), (0.3, 0.225, 0.15, 0.075, 0.0)),
        (Linear(0.0, 0.3), (0.0, 0.075, 0.15, 0.225, 0.3)),
        (Cosine(0.32, 0.02), (0.32, 0.276, 0.17, 0.064, 0.02)),
        (Floor(Linear(0.3, 0.0), 0.1), (0.3, 0.225, 0.15, 0.1, 0.1)),
    ],
)
def test_values_of_the_papers_table(schedule, values):
    assert [schedule(progress) for progress in QUARTERS] == pytest.approx(values, abs=5e-4)


def test_progress_is_clamped():
    line = Linear(0.3, 0.1)
    assert (line(-1), line(2)) == pytest.approx((0.3, 0.1))
