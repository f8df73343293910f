"""run.json: what a run took, however often it was interrupted."""

import json

import pytest
from support.training import make_trainer
from transformers import TrainerCallback

from diffmask.train.record import PACKAGES, RunRecord, hub_name, write_card


def record(folder):
    return json.loads((folder / "run.json").read_text())


class StopAt(TrainerCallback):
    def __init__(self, step, error=None):
        self._step, self._error = step, error

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self._step:
            if self._error is not None:
                raise self._error
            control.should_save = control.should_training_stop = True
        return control


def train(folder, *callbacks, resume=None):
    trainer = make_trainer(folder)
    for each in (RunRecord(folder / "run.json"), *callbacks):
        trainer.add_callback(each)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def test_a_run_is_recorded(tmp_path):
    trainer = train(tmp_path)
    made = record(tmp_path)
    assert made["format"] == 1 and made["num_steps"] == 6 and made["rows"] == 24
    assert made["parameters"] == sum(each.numel() for each in trainer.model.parameters())
    assert made["text"] is None  # rows of a list; nothing is known of their corpus
    (session,) = made["sessions"]
    assert (session["first_step"], session["last_step"], session["ended"]) == (0, 6, True)
    assert session["seconds"] > 0 and session["device"] == "cpu" and session["num_processes"] == 1
    assert {"diffmask", "python", *PACKAGES} == session["versions"].keys()
    assert " x " in session["hardware"] and session["started"].endswith("+00:00")
    assert not list(tmp_path.glob("*.tmp"))


def test_a_resumed_run_adds_a_session(tmp_path):
    train(tmp_path, StopAt(2))
    first = record(tmp_path)["sessions"][0]
    assert (first["last_step"], first["ended"]) == (2, True)
    train(tmp_path, resume=str(tmp_path / "checkpoint-2"))
    sessions = record(tmp_path)["sessions"]
    assert sessions[0] == first
    assert (sessions[1]["first_step"], sessions[1]["last_step"]) == (2, 6)


def test_a_killed_run_has_a_record_up_to_its_last_log_line(tmp_path):
    with pytest.raises(SystemError):
        train(tmp_path, StopAt(4, SystemError("killed")))
    (session,) = record(tmp_path)["sessions"]
    assert (session["last_step"], session["ended"]) == (3, False)
    assert session["seconds"] > 0


def test_a_card_holds_no_folders(tmp_path):
    config = {
        "model": "/home/someone/models/mine",
        "masking": {"policy": "difference", "salient": "spacy:/opt/pipes/en"},
    }
    inputs = {"data": [{"path": "/home/someone/papers.txt"}], "command": "diffmask anchors /data/x.txt ~/y -o a/b"}
    write_card(
        tmp_path / "README.md", {"base_model": None, "tags": ["a"]}, config | {"url": "https://h/x/y"}, inputs, {}
    )
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\ntags:\n- a\n---\n\n# mine, continued")
    for said in ("path: papers.txt", "command: diffmask anchors x.txt y -o a/b", "salient: spacy:en", "https://h/x/y"):
        assert said in card
    assert hub_name("bert-base-uncased") == "bert-base-uncased"
    assert hub_name("microsoft/deberta-v3-base") == "microsoft/deberta-v3-base"
    for name in (str(tmp_path), "./models/mine", "../mine", "~/mine", "a/b/c"):
        assert hub_name(name) is None
