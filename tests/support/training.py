"""A trainer on a tiny BERT that remembers what it masked, and runs of it that end early or in several processes."""

import json
import os
import signal
import tempfile

import torch
from transformers import TrainerCallback, TrainingArguments

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import softmax_weights
from diffmask.core.processes import rank_errors
from diffmask.core.schedule import Constant, Linear
from diffmask.policies.difference import Difference
from diffmask.policies.loss_weighted import LossWeighted
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import text_adapter
from diffmask.text.model.end_task import EndTask, shared_classifier
from diffmask.text.model.load import LoadedModel
from diffmask.train.buckets import RowOrder
from diffmask.train.folder import last_checkpoint
from diffmask.train.masking import Masking
from diffmask.train.meter import DomainTypes
from diffmask.train.trainer import MaskedTrainer
from support.tiny import tiny_model, tiny_rows, tiny_tokenizer

CLASSES = ("rare", "common", "other")
TYPE_SCORES = torch.tensor([0.0, 0.3, -1.0, 2.0, 0.1, -0.5])


class Recorder:
    """An adapter that also notes each sample's masked positions and inputs, by step."""

    def __init__(self, adapter):
        self._adapter = adapter
        self.seen = {}
        self.pad, self.units, self.losses = adapter.pad, adapter.units, adapter.losses
        self.predicted, self.positions = adapter.predicted, adapter.positions

    def corrupt(self, batch, units, masked, step):
        inputs = self._adapter.corrupt(batch, units, masked, step)
        for row, sample in enumerate(units.sample_ids.tolist()):
            length = int(batch["attention_mask"][row].sum())
            self.seen[step, sample] = (
                inputs["input_ids"][row, :length].tolist(),
                inputs["labels"][row, :length].tolist(),
            )
        return inputs


class NotedTask(EndTask):
    """A task that notes the rows that were trained on, in their order."""

    def __init__(self, *given, **settings):
        super().__init__(*given, **settings)
        self.trained, self._pad, self.pad = [], self.pad, self.note

    def note(self, rows):
        self.trained += [row["place"] for row in rows if row["place"] is not None]
        return self._pad(rows)


def tiny_task(model, *, batch_size=8, weight=0.5):
    """Return a task of 20 texts for a tiny BERT, the label told by one word; and 7 that are held out."""
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(7)
        model.save_pretrained(folder)
        loaded = LoadedModel(folder, model, tiny_tokenizer(), ())
        classifier = shared_classifier(loaded, ["a", "b"], dropout=0.0)
    texts = [[max(token, 11) for token in row["input_ids"][1:-1]] for row in tiny_rows(27, seed=4)]
    rows = [
        {"input_ids": [2, *[9 + place % 2] * 3, *text, 3], "labels": place % 2, "place": place if place < 20 else None}
        for place, text in enumerate(texts)
    ]
    return NotedTask(classifier, 0, rows[:20], rows[20:], batch_size=batch_size, weight=weight)


def loss_weighted():
    """Return loss-weighted masking over difference masking, with a momentum that shows in a few steps."""
    return LossWeighted(CLASSES, Difference(TYPE_SCORES), softmax_weights, momentum=0.5)


def make_trainer(
    folder, *, model=None, rows=None, units="word", policy=None, bucketed=True, num_rows=24, task=None, **settings
):
    """Return a trainer; the policy is an object, or the name "loss-weighted", the task settings of `tiny_task`."""
    defaults = {
        "per_device_train_batch_size": 8,
        "max_steps": 6,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "use_cpu": True,
        "seed": 3,
        "logging_nan_inf_filter": False,
        "label_names": ["labels"],
    }
    model = model or tiny_model()
    objective = None if task is None else tiny_task(model, **task)  # before the ranks know each other and one saves
    args = TrainingArguments(output_dir=str(folder), **(defaults | settings))
    rows = tiny_rows(num_rows) if rows is None else rows
    for row in rows:
        row["classes"] = [(kind + place) % 4 - 1 for place, kind in enumerate(row["types"])]
    adapter = Recorder(text_adapter(tiny_tokenizer(), units, seed=5, features=("classes",)))
    policy = loss_weighted() if policy == "loss-weighted" else policy
    masking = Masking(
        adapter,
        Masker(policy or Difference(TYPE_SCORES), ratio=Linear(0.4, 0.2), strength=Constant(0.8), seed=5),
        Masker(Uniform(), ratio=Constant(0.2), seed=11),
        DomainTypes(torch.tensor([True, False, False, True, False, False])),
    )
    order = RowOrder([len(row["input_ids"]) for row in rows]) if bucketed else None
    trainer = MaskedTrainer(model, args, masking, rows, rows[:10], order, objective=objective)
    trainer.task = objective
    return trainer


def steps(trainer, key):
    return [entry[key] for entry in trainer.state.log_history if key in entry]


class InterruptAt(TrainerCallback):
    """Press Ctrl-C before a step of the training itself, or send another signal."""

    def __init__(self, step, number=signal.SIGINT):
        self._step, self._number = step, number

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self._step and "head" not in args.output_dir:
            signal.raise_signal(self._number)


class Die(TrainerCallback):
    """Kill the process without warning after a step."""

    def __init__(self, step):
        self._step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


def train(folder, settings):
    """Train, and leave what happened in files of the folder."""
    torch.set_num_threads(1)
    dies_at, resumes = settings.pop("dies_at", None), settings.pop("resumes", False)
    trainer = make_trainer(folder, **settings)
    if dies_at is not None:
        trainer.add_callback(Die(dies_at))
    trainer.train(resume_from_checkpoint=str(last_checkpoint(folder)) if resumes else None)
    seen = {f"{step},{sample}": value for (step, sample), value in trainer.masking.adapter.seen.items()}
    rank = trainer.args.process_index
    evaluation = trainer.evaluate()
    record = {"seen": seen, "grad_norm": steps(trainer, "grad_norm"), "eval_loss": evaluation["eval_loss"]}
    record["learned"] = trainer.masking.masker.policy.report()
    if trainer.task is not None:
        task_accuracy = steps(trainer, "task_accuracy")
        record |= {"trained": trainer.task.trained, "task_accuracy": task_accuracy, "evaluation": evaluation}
    (folder / f"rank{rank}.json").write_text(json.dumps(record))
    if rank == 0:
        torch.save(trainer.model.state_dict(), folder / "weights.pt")


def lose_a_rank(folder):
    """Wait for another rank that is killed, and leave what the error says."""
    torch.distributed.init_process_group("gloo")
    if torch.distributed.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        with rank_errors():
            torch.distributed.all_reduce(torch.ones(1))
    except InputError as error:
        (folder / "said.txt").write_text(str(error))
