"""Another objective beside masking: its rows, its weight, its gradient."""

import pytest
import torch
from support.tiny import tiny_model
from support.training import make_trainer, steps
from torch.nn.functional import cross_entropy

from diffmask.text.end_task import HEAD, detach


def gradient(trainer, step=0):
    """Return the gradient of one optimiser step, before it is clipped."""
    found = {}

    def keep(*_):
        found.update({name: value.grad.clone() for name, value in trainer.model.named_parameters()})
        return clip(*_)

    clip, trainer._clip_grad_norm = trainer._clip_grad_norm, keep
    trainer.train()
    return found


def test_the_gradient_is_that_of_the_sum_of_both_losses(tmp_path):
    trainer = make_trainer(tmp_path / "run", max_steps=1, task={"weight": 0.5})
    found = gradient(trainer)

    plain = make_trainer(tmp_path / "plain", max_steps=1)
    masked = gradient(plain)
    model = tiny_model()
    task = make_trainer(tmp_path / "task", model=model, task={}).task
    batch = task.pad([task.rows[row] for row in trainer.task.trained])
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    cross_entropy(task.classifier(**inputs).logits, batch["labels"]).backward()
    for name, parameter in model.named_parameters():
        expected = masked.get(name, torch.zeros(())) + (0.0 if parameter.grad is None else 0.5 * parameter.grad)
        torch.testing.assert_close(found[name], expected.expand_as(parameter), rtol=1e-4, atol=1e-7)
    assert any(name.startswith(HEAD) for name in found)


def test_a_step_may_be_divided_into_micro_batches(tmp_path):
    whole = make_trainer(tmp_path / "8", task={"batch_size": 8})
    parts = make_trainer(
        tmp_path / "4x2", task={"batch_size": 2}, per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    for trainer in (whole, parts):
        trainer.train()
    assert parts.task.trained == whole.task.trained
    assert parts.masking.adapter.seen == whole.masking.adapter.seen
    assert steps(parts, "grad_norm") == pytest.approx(steps(whole, "grad_norm"), rel=1e-5)
    for name in ("loss", "masked_loss", "task_loss", "task_accuracy"):
        assert steps(parts, name) == pytest.approx(steps(whole, name), rel=1e-5)
    assert len(steps(parts, "task_loss")) == 6


def test_every_row_is_trained_on_once_a_pass_in_another_order_each_time(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=5, task={"batch_size": 8})
    trainer.train()
    passes = [trainer.task.trained[:20], trainer.task.trained[20:]]
    assert [sorted(each) for each in passes] == [list(range(20))] * 2
    assert passes[0] != passes[1]
    other = make_trainer(tmp_path, max_steps=5, task={"batch_size": 8}, seed=4)
    other.train()
    assert other.task.trained[:20] != passes[0]


def test_the_logged_losses_add_up(tmp_path):
    trainer = make_trainer(tmp_path, task={"weight": 0.5}, logging_steps=3)
    trainer.train()
    for entry in (entry for entry in trainer.state.log_history if "loss" in entry):
        assert entry["loss"] == pytest.approx(entry["masked_loss"] + 0.5 * entry["task_loss"], rel=1e-4)
        assert 0.0 <= entry["task_accuracy"] <= 1.0


def test_both_are_learned_and_the_held_out_rows_tell(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=60, learning_rate=1e-2, logging_steps=5, task={"weight": 1.0})
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert trainer.model.training is True
    assert after["eval_task_accuracy"] == 1.0 > before["eval_task_accuracy"]
    assert after["eval_task_loss"] < 0.3 < before["eval_task_loss"]
    assert steps(trainer, "masked_loss")[-1] < steps(trainer, "masked_loss")[0]
    rows = trainer.task.pad(trainer.task.held_out)
    outcome = trainer.task.outcome(rows, training=False).detach()
    assert after["eval_task_loss"] == pytest.approx(outcome[:, 0].mean().item(), rel=1e-5)


def test_the_encoder_is_one_and_the_head_is_taken_out(tmp_path):
    trainer = make_trainer(tmp_path, task={})
    model, classifier = trainer.model, trainer.task.classifier
    shared = dict(model.bert.named_parameters())
    own = [name for name, parameter in classifier.bert.named_parameters() if parameter is not shared.get(name)]
    assert own == ["pooler.dense.weight", "pooler.dense.bias"]
    names = {name for name, _ in model.named_parameters() if name.startswith(HEAD)}
    assert names == {
        f"{HEAD}.{name}" for name in ("classifier.bias", "classifier.weight", "bert.pooler.dense.bias")
    } | {f"{HEAD}.bert.pooler.dense.weight"}
    detach(model)
    assert model.state_dict().keys() == tiny_model().state_dict().keys()


def test_mixed_precision_reaches_the_classifier(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=2, bf16=True, task={})
    kinds = []
    trainer.task.classifier.classifier.register_forward_hook(lambda _m, _a, output: kinds.append(output.dtype))
    trainer.train()
    trainer.evaluate()
    assert set(kinds) == {torch.bfloat16}
