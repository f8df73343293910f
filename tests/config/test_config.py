import pytest
import yaml

from diffmask.assemble.modality import read_config
from diffmask.config import ScheduleConfig, TextConfig, describe_settings, from_mapping, to_mapping
from diffmask.core.errors import InputError

SHORT = "model: minilm\noutput: runs/a\ndata:\n  train: [a.txt]\n"


def read(tmp_path, text=SHORT, *overrides):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return read_config(path, overrides)


def test_defaults_fill_what_is_not_given(tmp_path):
    config = read(tmp_path)
    assert config.data.train == ("a.txt",)
    assert config.masking.ratio == ScheduleConfig("constant", 0.15)
    assert config.masking.strength.start == 1.0


def test_overrides_replace_and_reach_into_groups(tmp_path):
    config = read(
        tmp_path,
        SHORT + "masking: {ratio: 0.2}\n",
        "training.learning_rate=1e-4",
        "data.train=[b.txt, c/]",
        "masking.ratio.floor=0.1",
        "masking.strength={schedule: linear, start: 0, end: 1}",
    )
    assert config.training.learning_rate == 1e-4
    assert config.data.train == ("b.txt", "c/")
    assert config.masking.ratio == ScheduleConfig(start=0.2, floor=0.1)
    assert config.masking.strength == ScheduleConfig("linear", 0.0, 1.0)


def test_a_config_survives_the_way_through_yaml(tmp_path):
    config = read(tmp_path, SHORT, "masking.ratio={schedule: cosine, start: 0.3, end: 0.02}")
    again = from_mapping(TextConfig, yaml.safe_load(yaml.safe_dump(to_mapping(config))))
    assert again == config


@pytest.mark.parametrize(
    ("value", "schedule"),
    [
        ("30-15", ScheduleConfig("30-15")),
        ("mrd-cosine", ScheduleConfig("mrd-cosine")),
        ("0.2", ScheduleConfig(start=0.2)),
        ("1", ScheduleConfig(start=1.0)),
        ("2e-1", ScheduleConfig(start=0.2)),
        (
            "{schedule: mrd-cosine, normalise: mean, mean: 0.2}",
            ScheduleConfig("mrd-cosine", normalise="mean", mean=0.2),
        ),
        (
            "{schedule: steps, at: [0, 0.5], values: [0.3, 1e-1], bucket: 0.05}",
            ScheduleConfig("steps", at=(0.0, 0.5), values=(0.3, 0.1), bucket=0.05),
        ),
    ],
)
def test_a_schedule_is_a_number_a_word_or_settings(tmp_path, value, schedule):
    for config in (
        read(tmp_path, SHORT, f"masking.ratio={value}"),
        read(tmp_path, SHORT + f"masking: {{ratio: {value}}}"),
    ):
        assert config.masking.ratio == schedule
        again = from_mapping(TextConfig, yaml.safe_load(yaml.safe_dump(to_mapping(config))))
        assert again == config


def test_overrides_reach_into_a_preset(tmp_path):
    config = read(tmp_path, SHORT + "masking: {ratio: mrd-linear}", "masking.ratio.floor=0.05")
    assert config.masking.ratio == ScheduleConfig("mrd-linear", floor=0.05)


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        (SHORT + "maskign: {}\n", [], r"unknown setting `maskign`; did you mean `masking`\?"),
        (SHORT, ["masking.polcy=uniform"], r"unknown setting `masking.polcy`; did you mean `masking.policy`\?"),
        (
            SHORT,
            ["masking.ratio.strat=1"],
            r"unknown setting `masking.ratio.strat`; did you mean `masking.ratio.start`\?",
        ),
        ("model: minilm\noutput: a\n", [], "the setting `data` is missing; add it to the config, or as data=..."),
        ("model: minilm\noutput: a\ndata: {}\n", [], "the setting `data.train` is missing"),
        (SHORT, ["training.steps=many"], "`training.steps` is 'many'; it must be a whole number"),
        (SHORT, ["training.steps=1.5"], "`training.steps` is 1.5; it must be a whole number"),
        (SHORT, ["training.bucketed=3"], "`training.bucketed` is 3; it must be true or false"),
        (SHORT, ["training.learning_rate=fast"], "`training.learning_rate` is 'fast'; it must be a number"),
        (
            SHORT,
            ["masking.ratio=[1, 2]"],
            r"`masking.ratio` is \[1, 2\]; it must be a number, the name of a schedule such",
        ),
        (SHORT, ["masking.ratio=true"], "`masking.ratio` is True; it must be a number, the name"),
        (
            SHORT,
            ["masking.ratio={schedule: steps, at: 0.5}"],
            "`masking.ratio.at` is 0.5; it must be a list of numbers",
        ),
        (SHORT, ["masking.ratio={schedule: steps, at: [a]}"], "`masking.ratio.at` is 'a'; it must be a number"),
        (SHORT, ["masking.units=3"], "`masking.units` is 3; it must be text"),
        (SHORT, ["data.train={a: 1}"], r"`data.train` is {'a': 1}; it must be a path or a list of paths"),
        (SHORT, ["data=3"], "`data` is 3; it must be a group of settings"),
        (SHORT, ["training.steps"], "'training.steps' is not an override; write key=value"),
        ("- a\n", [], r"holds \['a'\], not settings"),
        ("", [], "holds empty, not settings"),
        ("a: [", [], "is not a YAML file"),
        (SHORT, ["masking.ratio={a: "], "the value of 'masking.ratio={a: ' is not YAML"),
        (SHORT, ["model=null"], "`model` is empty; it must be text"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, text, override, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text, *override)


def test_yaml_makes_no_objects(tmp_path):
    with pytest.raises(InputError, match="is not a YAML file"):
        read(tmp_path, "model: !!python/object/apply:os.getcwd []\n")


def test_every_setting_is_described():
    text = describe_settings(TextConfig)
    for name in ("model", "data.train", "masking.ratio", "head.steps", "training.layer_decay"):
        line = next(line for line in text.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 4


def test_an_empty_group_takes_overrides(tmp_path):
    assert read(tmp_path, SHORT + "training:\n", "training.steps=5").training.steps == 5
