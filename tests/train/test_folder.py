"""The folder of a run: what may be deleted, what may change on a resumption, and what a damaged file says."""

import json
import os
import shutil

import pytest
import yaml
from support.training import make_trainer

from diffmask.config import TextConfig, TextDataConfig, to_mapping
from diffmask.core.errors import InputError
from diffmask.files.lock import locked
from diffmask.train.folder import RunFolder, read_settings


def settings_of(folder, **changes):
    """Return all settings of a run, some of them replaced by their whole names."""
    settings = to_mapping(TextConfig("model", str(folder), TextDataConfig(("papers.txt",))))
    settings["masking"]["anchors"] = "anchors"
    for name, value in changes.items():
        *groups, last = name.split("__")
        group = settings
        for each in groups:
            group = group[each]
        group[last] = value
    return settings


INPUTS = {
    "model": "a1",
    "data": [{"path": "papers.txt", "bytes": 3, "sha256": "b2"}],
    "anchors": {"format": 1, "data": [{"path": "papers.txt", "sha256": "b2"}], "anchors": ["kinase"]},
    "world_size": 1,
}


@pytest.fixture
def folder(tmp_path):
    """The folder of a run that has begun, and has a checkpoint."""
    path = tmp_path / "run"
    RunFolder(path, settings_of(path)).claim(INPUTS, overwrite=False)
    (path / "checkpoint-2").mkdir()
    (path / "checkpoint-2" / "model.safetensors").touch()
    (path / "tensorboard").mkdir()
    (path / "tensorboard" / "events.out.tfevents.1.host.2.0").touch()
    (path / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    (path / "run.json").write_text(json.dumps({"format": 1, "sessions": []}))
    return path


def refusal(folder, settings=None, *, inputs=None, **how):
    run = RunFolder(folder, settings or settings_of(folder))
    with pytest.raises(InputError) as caught, run.held(is_main=True, **({"resume": False, "overwrite": False} | how)):
        if inputs is not None:
            run.check_inputs(inputs)
    return str(caught.value)


def test_a_run_is_deleted_with_all_that_it_holds(folder):
    run = RunFolder(folder, settings_of(folder))
    with run.held(is_main=True, resume=False, overwrite=True):
        run.claim(INPUTS, overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "inputs.json", ".lock"}


@pytest.mark.parametrize("name", ["results.csv", "checkpoint-2/notes.txt", "model/results/month.csv", ".git/config"])
def test_a_folder_with_one_other_file_is_never_deleted(folder, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")
    before = sorted(folder.rglob("*"))
    assert f"{folder} holds {name}, which no run writes, so it is not deleted" in refusal(folder, overwrite=True)
    assert sorted(set(folder.rglob("*")) - {folder / ".lock"}) == before


def test_a_project_with_a_config_is_no_run(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("model: minilm\n")
    monkeypatch.chdir(tmp_path)
    assert "is no run (it holds config.yaml alone)" in refusal(tmp_path, settings_of("."), overwrite=True)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").touch()
    assert f"{tmp_path} holds src/a.py, which no run writes" in refusal(tmp_path, settings_of("."), overwrite=True)
    assert (tmp_path / "config.yaml").exists()


def test_links_are_not_followed(folder, tmp_path):
    shutil.move(folder / "checkpoint-2", tmp_path / "kept")
    (folder / "checkpoint-2").symlink_to(tmp_path / "kept")
    assert "holds checkpoint-2, which no run writes" in refusal(folder, overwrite=True)
    (folder / "checkpoint-2").unlink()
    (tmp_path / "link").symlink_to(folder)
    assert f"{tmp_path / 'link'} is a link to {folder}, so it is not deleted" in refusal(
        tmp_path / "link", overwrite=True
    )
    assert (tmp_path / "kept" / "model.safetensors").exists() and (folder / "config.yaml").exists()


def test_two_processes_do_not_share_a_folder(folder, tmp_path):
    for how in ("resume", "overwrite"):
        with locked(folder):
            assert f"another process is using {folder} (process {os.getpid()} on" in refusal(folder, **{how: True})
    with locked(tmp_path / "new"):
        assert "another process is using" in refusal(tmp_path / "new")
        # the other ranks of a run share the lock of the first
        with RunFolder(tmp_path / "new", settings_of("new")).held(is_main=False, resume=False, overwrite=False):
            pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    assert f"the folder {tmp_path}/file/run cannot be written (" in refusal(tmp_path / "file" / "run")


def moved(value):
    """Return a record as it is after all files were moved."""
    if isinstance(value, list):
        return [moved(each) for each in value]
    return (
        {name: f"elsewhere/{each}" if name == "path" else moved(each) for name, each in value.items()}
        if isinstance(value, dict)
        else value
    )


def test_a_run_is_resumed_where_only_places_and_what_does_not_decide_changed(folder, tmp_path):
    away = tmp_path / "bigdisk"
    shutil.move(folder, away)
    changes = {
        "model": "elsewhere/model",
        "data__train": ["elsewhere/papers.txt"],
        "masking__anchors": "elsewhere/anchors",
        "data__num_processes": 7,
        "data__cache": "elsewhere",
        "training__keep": 5,
        "training__log_every": 3,
        "training__save_every": 4,
        "training__num_workers": 1,
    }
    run = RunFolder(away, settings_of(away, **changes))
    with run.held(is_main=True, resume=True, overwrite=False):
        run.check_inputs(moved(INPUTS))
        run.claim(moved(INPUTS), overwrite=False)
    text = (away / "config.yaml").read_text()
    assert "training.keep=5 (before: 2)" in text and 'model="elsewhere/model" (before: "model")' in text
    assert read_settings(away) == settings_of(away, **changes)
    run.claim(moved(INPUTS), overwrite=False)
    assert (away / "config.yaml").read_text() == text  # nothing changed since


@pytest.mark.parametrize(
    "name, value",
    [("training__steps", 7), ("training__seed", 1), ("data__max_length", 64), ("training__eval_every", 8)],
)
def test_what_decides_the_result_is_held_fixed(folder, name, value):
    assert f"was started with {name.replace('__', '.')}=" in refusal(
        folder, settings_of(folder, **{name: value}), resume=True
    )


@pytest.mark.parametrize(
    "inputs",
    [
        INPUTS | {"model": "other"},
        INPUTS | {"data": [{"path": "papers.txt", "bytes": 3, "sha256": "other"}]},
        INPUTS | {"world_size": 2},
        INPUTS | {"anchors": INPUTS["anchors"] | {"anchors": ["lipid"]}},
        {name: value for name, value in INPUTS.items() if name != "anchors"},
    ],
)
def test_other_content_is_refused(folder, inputs):
    assert "cannot be resumed, because its " in refusal(folder, inputs=inputs, resume=True)


def test_a_run_of_an_earlier_version_is_held_to_the_paths_that_it_knows(folder):
    (folder / "inputs.json").write_text(json.dumps({name: INPUTS[name] for name in ("data", "world_size")}))
    assert "was started with model=model, not other" in refusal(folder, settings_of(folder, model="other"), resume=True)
    run = RunFolder(folder, settings_of(folder))
    with run.held(is_main=True, resume=True, overwrite=False):
        run.check_inputs(INPUTS | {"anchors": None})


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "inputs.json", "log.jsonl"])
@pytest.mark.parametrize("content", [b"[1, 2", b"\xff\xfe\x00", b"[]", b'"text"', b"[" * 100_000, b"- a\n- b\n"])
def test_a_damaged_file_is_one_sentence(folder, name, content):
    (folder / name).write_bytes(content + b"\n")
    sentence = refusal(folder, resume=True)
    assert sentence.startswith(f"{folder / name}") and "\n" not in sentence
    assert any(word in sentence for word in ("delete it", "the config that the run was started with"))


def test_a_record_without_its_sessions_is_damaged(folder):
    for content in ({}, {"sessions": [{}]}, {"sessions": ["x"]}, {"sessions": [{"seconds": "1"}]}):
        (folder / "run.json").write_text(json.dumps(content))
        assert f"{folder / 'run.json'} is damaged" in refusal(folder, resume=True)


def test_a_log_that_was_cut_off_is_mended(folder):
    from diffmask.train.callbacks import JsonLog

    for rest in (b'{"step": 2, "lo', b'{"step": 2, "lo\0\0\0\0', b"\0\0\0"):
        (folder / "log.jsonl").write_bytes(b'{"step": 1, "loss": 2.0}\n' + rest)
        with RunFolder(folder, settings_of(folder)).held(is_main=True, resume=True, overwrite=False):
            pass
        trainer = make_trainer(folder / "t")
        trainer.state.global_step, trainer.state.is_world_process_zero = 1, True
        JsonLog(folder / "log.jsonl").on_train_begin(trainer.args, trainer.state, trainer.control)
        assert (folder / "log.jsonl").read_text() == '{"step": 1, "loss": 2.0}\n'


def test_the_settings_file_is_still_read_as_one(folder):
    assert yaml.safe_load((folder / "config.yaml").read_text()) == settings_of(folder)
