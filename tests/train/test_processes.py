"""What holds across processes: two ranks train as one does, and a killed run goes on as if nothing had happened."""

import json
import re
import signal

import pytest
import torch
from support.processes import Process, run_ranks
from support.training import lose_a_rank, make_trainer, steps, train

from diffmask.core.processes import rank_errors


def launch(folder, settings):
    folder.mkdir(exist_ok=True)
    return Process(train, folder, settings).wait()


def launch_two(folder, settings):
    """Train in two processes, and return what each has seen."""
    folder.mkdir()
    for done in run_ranks(2, train, folder, settings):
        assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_two_ranks_equal_one(tmp_path):
    settings = {"per_device_train_batch_size": 4, "ddp_backend": "gloo", "policy": "loss-weighted"}
    ranks = launch_two(tmp_path / "two", settings)
    one = make_trainer(tmp_path / "one", policy="loss-weighted")
    one.train()
    expected = {f"{step},{sample}": list(value) for (step, sample), value in one.masking.adapter.seen.items()}
    assert not ranks[0]["seen"].keys() & ranks[1]["seen"].keys()
    assert ranks[0]["seen"] | ranks[1]["seen"] == expected
    for rank in ranks:
        assert rank["grad_norm"] == pytest.approx(steps(one, "grad_norm"), rel=1e-5)
        assert rank["learned"] == pytest.approx(one.masking.masker.policy.report(), rel=1e-5)
    # ten rows do not divide over two ranks and batches of eight: none may be counted twice
    assert ranks[0]["eval_loss"] == pytest.approx(one.evaluate()["eval_loss"], rel=1e-5)


def test_two_ranks_learn_a_task_as_one_does(tmp_path):
    settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "ddp_backend": "gloo"}
    ranks = launch_two(tmp_path / "two", settings | {"task": {"batch_size": 2}})
    one = make_trainer(tmp_path / "one", task={})
    one.train()
    for step in range(6):
        rows = [row for rank in ranks for row in rank["trained"][4 * step : 4 * step + 4]]
        assert sorted(rows) == sorted(one.task.trained[8 * step : 8 * step + 8])
    evaluation = one.evaluate()
    for rank in ranks:
        assert rank["grad_norm"] == pytest.approx(steps(one, "grad_norm"), rel=1e-5)
        assert rank["task_accuracy"] == steps(one, "task_accuracy")
        assert rank["evaluation"]["eval_task_loss"] == pytest.approx(evaluation["eval_task_loss"], rel=1e-5)
        assert rank["evaluation"]["eval_task_accuracy"] == evaluation["eval_task_accuracy"]


def test_a_rank_that_dies_is_a_sentence_of_the_others(tmp_path):
    survivor, dead = run_ranks(2, lose_a_rank, tmp_path)
    assert (survivor.returncode, dead.returncode) == (0, -signal.SIGKILL), survivor.stderr[-3000:]
    said = (tmp_path / "said.txt").read_text()
    assert re.fullmatch(
        r"another process of this run has ended, or cannot be reached \([^()\n]+\); see what it said itself, and start "
        "all of them again with --resume",
        said,
    )
    assert "/" not in said.partition("(")[2].partition(")")[0]  # no path of a compiler's machine


def test_an_error_of_another_kind_stays(tmp_path):
    with pytest.raises(RuntimeError, match="^shapes differ$"), rank_errors():
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize("task", [None, {"batch_size": 6}])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, task):
    settings = {"max_steps": 8, "save_strategy": "steps", "save_steps": 2, "policy": "loss-weighted", "task": task}
    killed = launch(tmp_path / "cut", settings | {"dies_at": 5})
    assert killed.returncode == -signal.SIGKILL
    # a checkpoint that was cut off while it was written is passed over
    (tmp_path / "cut" / "checkpoint-6").mkdir()
    (tmp_path / "cut" / "checkpoint-6" / "model.safetensors").write_bytes(b"half")
    resumed = launch(tmp_path / "cut", settings | {"resumes": True})
    assert resumed.returncode == 0, resumed.stderr[-3000:]

    whole = make_trainer(tmp_path / "whole", **settings)
    whole.train()
    weights = torch.load(tmp_path / "cut" / "weights.pt", weights_only=True)
    for name, parameter in whole.model.state_dict().items():
        assert torch.equal(parameter, weights[name]), name
    late = {f"{s},{i}": list(seen) for (s, i), seen in whole.masking.adapter.seen.items() if s >= 4}
    record = json.loads((tmp_path / "cut" / "rank0.json").read_text())
    assert record["seen"] == late
    assert record["learned"] == whole.masking.masker.policy.report()
    if task is not None:
        assert any(name.startswith("task_head.") for name in weights)
        assert record["trained"] == whole.task.trained[4 * 6 :]  # the order goes on where the checkpoint was
