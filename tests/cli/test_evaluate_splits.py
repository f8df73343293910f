import pytest

from diffmask.cli.evaluate import _splits


@pytest.mark.parametrize(
    ("num_dev", "said"),
    [(1, "dev:   a tenth of train, 1 only: what it chooses is chance"), (10, "dev:   a tenth of train")],
)
def test_a_held_out_share_of_few_examples_is_told(num_dev, said):
    assert _splits({"dev_from_train": True, "num_dev": num_dev}) == [said]
