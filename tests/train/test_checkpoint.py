"""Checkpoints: a damaged one is named, and the newest whole one used; old ones go by their steps."""

import json
import logging
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file
from support.training import make_trainer

from diffmask.core.errors import InputError
from diffmask.train.checkpoint import MANIFEST_FILE, damage
from diffmask.train.folder import last_checkpoint

SETTINGS = {"max_steps": 4, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 2, "policy": "loss-weighted"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    make_trainer(folder, **SETTINGS).train()
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def flip(path, place=-1):
    """Flip a bit of a byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_checkpoint_is_sealed_and_old_ones_are_removed(run):
    assert sorted(path.name for path in run.glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-4"]
    newest = run / "checkpoint-4"
    files = json.loads((newest / MANIFEST_FILE).read_text())["files"]
    assert files.keys() == {path.name for path in newest.iterdir()} - {MANIFEST_FILE}
    assert damage(newest) is None and last_checkpoint(run) == newest
    assert all(path.stat().st_mode & 0o777 == 0o666 & ~_umask() for path in newest.iterdir())


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


NAMES = [
    "model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "policy.safetensors",
]


@pytest.mark.parametrize("name", [*NAMES, MANIFEST_FILE])
@pytest.mark.parametrize("harm", ["remove", "cut", "flip", "empty"])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_damaged_one_is_named_and_the_one_before_is_used(run, name, harm, sealed, caplog):
    path = run / "checkpoint-4" / name
    if not sealed:
        (run / "checkpoint-4" / MANIFEST_FILE).unlink()
        if name in (MANIFEST_FILE, "policy.safetensors") or (harm == "flip" and name != "optimizer.pt"):
            return  # what an earlier version wrote does not tell
    if harm == "remove":
        path.unlink()
    elif harm == "flip":
        flip(path, path.stat().st_size // 2)
    else:
        os.truncate(path, path.stat().st_size // 2 if harm == "cut" else 0)
    if (name, harm) == (MANIFEST_FILE, "remove"):
        assert last_checkpoint(run) == run / "checkpoint-4"  # as one of an earlier version, all of it is there
        return
    caplog.set_level(logging.WARNING)
    assert last_checkpoint(run) == run / "checkpoint-3"
    (said,) = caplog.messages
    assert said.startswith(f"the checkpoint {run}/checkpoint-4 is damaged: its ")
    if name != MANIFEST_FILE and harm == "remove":
        assert f"its {name}" in said and "is missing" in said
    assert said.endswith(f"; the run continues from {run}/checkpoint-3")


def test_where_none_is_whole_the_run_starts_again(run, caplog):
    for path in run.glob("checkpoint-*"):
        (path / "optimizer.pt").unlink()
    assert last_checkpoint(run) is None
    assert [message.rpartition("; ")[2] for message in caplog.messages] == ["the run continues from the beginning"] * 2


def test_the_trainer_refuses_a_damaged_one(run):
    flip(run / "checkpoint-4" / "model.safetensors")
    with pytest.raises(
        InputError, match="checkpoint-4 is damaged: its model.safetensors has changed since it was written"
    ):
        make_trainer(run, **SETTINGS).train(resume_from_checkpoint=str(run / "checkpoint-4"))


def test_what_comes_after_the_damage_is_as_if_nothing_had_been(run, trained):
    flip(run / "checkpoint-4" / "optimizer.pt", 1000)
    found = last_checkpoint(run)
    trainer = make_trainer(run, **SETTINGS)
    trainer.train(resume_from_checkpoint=str(found))
    assert damage(run / "checkpoint-4") is None  # written anew in its place
    expected = load_file(trained / "checkpoint-4" / "model.safetensors")
    for name, value in load_file(run / "checkpoint-4" / "model.safetensors").items():
        assert torch.equal(value, expected[name]), name


def test_a_clock_that_was_set_back_deletes_nothing_new(tmp_path):
    """The newest by its step is the oldest by its time."""
    trainer = make_trainer(tmp_path, **SETTINGS)
    for step, past in ((1, 0), (2, 10_000), (3, 20_000)):
        trainer.state.global_step = step
        trainer.create_optimizer_and_scheduler(4)
        trainer._save_checkpoint(trainer.model, None)
        now = (tmp_path / f"checkpoint-{step}").stat().st_mtime
        os.utime(tmp_path / f"checkpoint-{step}", (now - past, now - past))
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3"]
