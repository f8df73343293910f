"""Limits of settings: names that become paths, and numbers that nobody can mean."""

import pytest

from diffmask.config import read_settings
from diffmask.config.evaluation import EvaluateSettings
from diffmask.config.limits import Name
from diffmask.core.errors import InputError


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/b",
        "a\\b",
        "..",
        ".",
        ".hidden",
        "-o",
        "",
        " a",
        "a ",
        "a\nb",
        "a\0b",
        "a\x1b[31m",
        "a" * 101,
        "é" * 51,
    ],
)
def test_a_name_is_one_part_of_a_path_and_no_option(name):
    assert Name().refusal("task.name", name)
    with pytest.raises(InputError, match="in `task.name` is"):
        read_settings(EvaluateSettings, {"model": "m", "task": {"files": ["t"], "name": name}})


def test_names_that_people_give_are_names():
    for name in ("chemprot", "not continued", "BERT-base_v1.2", "蛋白质", "a" * 100):
        assert Name().refusal("name", name) is None
    assert "is the name of a file or a folder of diffmask" in str(Name(("logs",), plain=True).refusal("tasks", "Logs"))
    assert "use letters, digits" in str(Name(plain=True).refusal("arms", "a b"))
