"""docs/schedules.md says what the code does."""

from pathlib import Path

import pytest
import yaml

from diffmask.build.presets import PRESETS
from diffmask.build.schedules import RATIO_FLOOR, SCHEDULES, build_schedule
from diffmask.config import ScheduleConfig
from diffmask.core.schedule_limits import mean

TEXT = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")
ROWS = {line.split("`")[1]: line for line in TEXT.splitlines() if line.startswith("| `")}


def test_every_schedule_is_described_with_its_settings():
    for name, shape in SCHEDULES.items():
        settings = ROWS[name].split(" | ")[1]
        assert [word.split("`")[0] for word in settings.replace("(`out`)", "").split("`")[1::2]] == [
            *shape.needs,
            *shape.takes,
        ]


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_of_presets_has_their_values(name):
    cells = ROWS[name].replace("\\|", "!").strip("| ").split(" | ")
    *values, average, floored = map(float, cells[2:])
    schedule = PRESETS[name].schedule
    assert cells[1].replace("!", "|") == PRESETS[name].formula
    assert values == pytest.approx([schedule(t) for t in (0.0, 0.25, 0.5, 0.75, 1.0)], abs=6e-4)
    assert average == pytest.approx(mean(schedule), abs=6e-4)
    built = build_schedule(ScheduleConfig(name), "masking.ratio", RATIO_FLOOR)
    assert floored == pytest.approx(mean(built), abs=6e-4)


def test_its_settings_are_yaml_that_can_be_followed():
    for text in {part for part in TEXT.split("`") if part.startswith("{schedule")}:
        given = {key: tuple(each) if isinstance(each, list) else each for key, each in yaml.safe_load(text).items()}
        assert build_schedule(ScheduleConfig(**given), "masking.strength", 0.0)(0.5) >= 0.0
