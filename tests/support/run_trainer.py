"""A training run for tests that need several processes, or one that dies."""

import json
import os
import signal

import torch
from transformers import TrainerCallback

from diffmask.train.checkpoints import last_checkpoint
from support.training import make_trainer, steps


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
