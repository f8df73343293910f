import itertools
import math

import pytest
import torch
from support.tiny import tiny_model
from support.training import TYPE_SCORES, make_trainer, steps

from diffmask.core.errors import InputError
from diffmask.policies.uniform import Uniform


def test_accumulation_changes_nothing(tmp_path):
    whole = make_trainer(tmp_path / "a")
    whole.train()
    parts = make_trainer(tmp_path / "b", per_device_train_batch_size=2, gradient_accumulation_steps=4)
    parts.train()
    assert steps(parts, "grad_norm") == pytest.approx(steps(whole, "grad_norm"), rel=1e-5)
    assert steps(parts, "loss") == pytest.approx(steps(whole, "loss"), rel=1e-5)
    assert parts.masking.adapter.seen == whole.masking.adapter.seen


def test_the_loss_is_hugging_faces_on_the_same_masks(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=1)
    model = trainer.model
    model.eval()
    trainer.state.max_steps = 1
    batch = trainer._mask(trainer.masking.adapter.pad(trainer.train_dataset[:8]))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    ours = trainer.masking.adapter.losses(model, inputs).mean()
    assert ours.item() == pytest.approx(model(**inputs).loss.item(), abs=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_do_not_depend_on_workers(tmp_path, workers):
    trainer = make_trainer(tmp_path / "w", dataloader_num_workers=workers, max_steps=3)
    trainer.train()
    reference = make_trainer(tmp_path / "r", max_steps=3)
    reference.train()
    assert trainer.masking.adapter.seen == reference.masking.adapter.seen


def test_masks_do_not_depend_on_padding(tmp_path):
    bucketed = make_trainer(tmp_path / "a", num_train_epochs=1, max_steps=-1)
    bucketed.train()
    shuffled = make_trainer(tmp_path / "b", bucketed=False, num_train_epochs=1, max_steps=-1)
    shuffled.train()
    for (step, sample), seen in shuffled.masking.adapter.seen.items():
        if (step, sample) in bucketed.masking.adapter.seen:
            assert bucketed.masking.adapter.seen[step, sample] == seen
    shared = bucketed.masking.adapter.seen.keys() & shuffled.masking.adapter.seen.keys()
    assert len(shared) > 3


def test_every_row_is_read_once_an_epoch_and_masked_anew_in_the_next(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=6)
    trainer.train()
    seen = trainer.masking.adapter.seen
    for epoch in (0, 1):
        assert sorted(sample for step, sample in seen if step // 3 == epoch) == list(range(24))
    long = [row["sample_id"] for row in trainer.train_dataset if len(row["types"]) >= 8]
    by_sample = {s: [labels for (_, sample), (_, labels) in sorted(seen.items()) if sample == s] for s in long}
    assert sum(first == second for first, second in by_sample.values()) <= 1


def test_the_ratio_follows_the_schedule_at_the_step_it_is_for(tmp_path):
    rows = [{"input_ids": [5] * 400, "unit_ids": list(range(400)), "types": [0] * 400, "sample_id": 0}] * 8
    model = tiny_model(max_position_embeddings=400)
    trainer = make_trainer(tmp_path, model=model, rows=rows, max_steps=4, bucketed=False)
    trainer.train()
    assert steps(trainer, "mask_ratio") == pytest.approx([0.4, 0.35, 0.3, 0.25], abs=2e-3)


def test_logs_say_what_was_masked(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=2)
    trainer.train()
    logged = next(entry for entry in trainer.state.log_history if "loss" in entry)
    assert logged["strength"] == 0.8
    assert 0 < logged["entropy"] < 1
    assert 0 < logged["domain_share"] < 1
    assert logged["tokens_per_second"] > 0


def test_evaluation_is_the_same_for_every_policy_and_disturbs_nothing(tmp_path):
    quiet = make_trainer(tmp_path / "a")
    quiet.train()
    watched = make_trainer(tmp_path / "b", eval_strategy="steps", eval_steps=1)
    watched.train()
    assert steps(watched, "grad_norm") == steps(quiet, "grad_norm")
    for name, parameter in quiet.model.state_dict().items():
        assert torch.equal(parameter, watched.model.state_dict()[name])

    first = make_trainer(tmp_path / "c").evaluate()
    other = make_trainer(tmp_path / "d", policy=Uniform(), per_device_eval_batch_size=3).evaluate()
    for key in ("eval_loss", "eval_loss_domain", "eval_masked", "eval_masked_domain"):
        assert first[key] == pytest.approx(other[key], rel=1e-6)
    assert 0 < first["eval_masked_domain"] < first["eval_masked"]


def test_evaluation_equals_a_slow_reference(tmp_path):
    trainer = make_trainer(tmp_path)
    got = trainer.evaluate()
    adapter, losses, domain_losses = trainer.masking.adapter, [], []
    for row in trainer.eval_dataset:
        batch = adapter.pad([row])
        units = adapter.units(batch, 0)
        inputs = adapter.corrupt(batch, units, trainer.masking.evaluation(units, 0, 1), 0)
        with torch.no_grad():
            logits = trainer.model.eval()(inputs["input_ids"], inputs["attention_mask"]).logits[0].log_softmax(-1)
        for position, label in enumerate(inputs["labels"][0].tolist()):
            if label != -100:
                losses.append(-logits[position, label].item())
                if row["types"][row["unit_ids"][position]] in (0, 3):
                    domain_losses.append(losses[-1])
    assert got["eval_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert got["eval_loss_domain"] == pytest.approx(sum(domain_losses) / len(domain_losses), rel=1e-5)
    assert got["eval_masked"] == len(losses)


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path):
    whole = make_trainer(tmp_path / "whole", max_steps=8)
    whole.train()
    first = make_trainer(tmp_path / "cut", max_steps=8, save_strategy="steps", save_steps=5)
    first.train()
    again = make_trainer(tmp_path / "cut", max_steps=8, save_strategy="steps", save_steps=5)
    again.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-5"))
    for name, parameter in whole.model.state_dict().items():
        assert torch.equal(parameter, again.model.state_dict()[name]), name
    late = {key: seen for key, seen in whole.masking.adapter.seen.items() if key[0] >= 5}
    assert again.masking.adapter.seen == late


def test_feedback_reaches_the_policy_and_is_kept_in_checkpoints(tmp_path):
    whole = make_trainer(tmp_path / "whole", policy="loss-weighted")
    whole.train()
    learned = whole.masking.masker.policy.losses
    assert (learned > 0).all()
    assert steps(whole, "class_loss/rare")[-1] == pytest.approx(float(learned[0]))
    settings = {"save_strategy": "steps", "save_steps": 4}
    make_trainer(tmp_path / "cut", policy="loss-weighted", **settings).train()
    again = make_trainer(tmp_path / "cut", policy="loss-weighted", **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-4"))
    assert torch.equal(again.masking.masker.policy.losses, learned)
    for name, parameter in whole.model.state_dict().items():
        assert torch.equal(parameter, again.model.state_dict()[name]), name


def test_what_is_learned_is_the_same_in_micro_batches(tmp_path):
    whole = make_trainer(tmp_path / "a", policy="loss-weighted")
    parts = make_trainer(
        tmp_path / "b", policy="loss-weighted", per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    for trainer in (whole, parts):
        trainer.train()
    learned = [trainer.masking.masker.policy.losses for trainer in (whole, parts)]
    assert torch.allclose(*learned, rtol=1e-5)


def test_spans_are_evaluated_and_observed_by_their_words(tmp_path):
    rows = [row(60, sample_id) for sample_id in range(16)]
    trainer = make_trainer(tmp_path, policy="loss-weighted", units="span", rows=rows)
    trainer.train()
    assert (trainer.masking.masker.policy.losses > 0).all()
    assert steps(trainer, "mask_ratio") == pytest.approx([0.4 - 0.2 * step / 6 for step in range(6)], abs=0.05)


def row(length, sample_id):
    types = [(place + sample_id) % 6 for place in range(length)]
    return {"input_ids": [5] * length, "unit_ids": list(range(length)), "types": types, "sample_id": sample_id}


def test_the_state_of_another_policy_is_refused(tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 4}
    make_trainer(tmp_path, policy="loss-weighted", **settings).train()
    message = "the checkpoint holds the state of another policy .loss_weighted.losses, loss_weighted.names, "
    with pytest.raises(InputError, match=message):
        make_trainer(tmp_path, **settings).train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path):
    trainer = make_trainer(tmp_path, save_strategy="steps", save_steps=1)
    poison = itertools.count()
    losses = trainer.masking.adapter.losses
    trainer.masking.adapter.losses = lambda model, inputs: (
        losses(model, inputs) * (math.nan if next(poison) == 2 else 1)
    )
    message = (
        r"the loss is nan at step 2, in the batch of samples \d+(, \d+)+; the last good checkpoint is .*checkpoint-2"
    )
    with pytest.raises(InputError, match=message):
        trainer.train()
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.model.bert.encoder.layer[0].output.dense.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(InputError, match="the gradient's norm is (nan|inf) at step 0; no checkpoint was written yet"):
        trainer.train()


def test_layers_near_the_input_learn_more_slowly(tmp_path):
    trainer = make_trainer(tmp_path)
    object.__setattr__(trainer.masking, "layer_decay", 0.5)
    trainer.create_optimizer()
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in trainer.optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(names)
    assert rates["bert.embeddings.word_embeddings.weight"] == pytest.approx(1e-3 / 8)
    assert rates["bert.encoder.layer.0.output.dense.weight"] == pytest.approx(1e-3 / 4)
    assert rates["bert.encoder.layer.1.output.dense.weight"] == pytest.approx(1e-3 / 2)
    assert rates["cls.predictions.transform.dense.weight"] == pytest.approx(1e-3)


def test_a_tiny_model_learns_its_rows_by_heart(tmp_path):
    trainer = make_trainer(tmp_path, num_rows=8, max_steps=160, learning_rate=2e-2, lr_scheduler_type="constant")
    trainer.train()
    losses = steps(trainer, "loss")
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert TYPE_SCORES.isfinite().all()
