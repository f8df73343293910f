"""Callbacks: logs as JSON lines, Ctrl-C that saves, the order of an epoch, a quiet progress bar."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from diffmask.core.policy import Policy
from diffmask.files.folders import write_text
from diffmask.train.buckets import BucketSampler


class JsonLog(TrainerCallback):
    """Write every log line to a file of JSON lines, which a resumed run continues without doubling a step."""

    def __init__(self, path: Path):
        self._path = path

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forget what was logged after the checkpoint that the run goes on from."""
        if not state.is_world_process_zero or not self._path.exists():
            return
        kept = [line for line in self._path.read_text().splitlines() if _step_of(line) <= state.global_step]
        write_text(self._path, "".join(line + "\n" for line in kept))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append one line."""
        if state.is_world_process_zero and logs:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def _step_of(line: str) -> float:
    """Return the step of a log line; infinity for one that was cut off while it was written."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")


class StopOnInterrupt(TrainerCallback):
    """On Ctrl-C finish the step, write a checkpoint and stop; a second Ctrl-C, a second later, stops at once."""

    def __init__(self):
        self.interrupted = False
        self._before: Any = None
        self._at = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over SIGINT."""
        self._before = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # a terminal and a launcher may both pass on the same Ctrl-C
        if self.interrupted and time.monotonic() - self._at > 1.0:
            raise KeyboardInterrupt
        self._at = self._at if self.interrupted else time.monotonic()
        self.interrupted = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Save and stop where asked, all ranks in the same step."""
        if args.world_size > 1:
            asked = torch.tensor(float(self.interrupted), device=args.device)
            torch.distributed.all_reduce(asked)
            self.interrupted = bool(asked)
        if self.interrupted:
            control.should_save = control.should_training_stop = True
        return control

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give SIGINT back."""
        self.release()

    def release(self) -> None:
        """Give SIGINT back, also where training ended with an error."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None


class EpochOrder(TrainerCallback):
    """Tell the sampler the epoch, before its rows are read; after a resume nobody else does on several ranks."""

    def __init__(self, sampler: BucketSampler):
        self._sampler = sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch."""
        self._sampler.set_epoch(int(state.epoch or 0))


class Feedback(TrainerCallback):
    """Let the policy learn from a step on all ranks, before the next masks are drawn or a checkpoint is written."""

    def __init__(self, policy: Policy, total: Callable[[Tensor], Tensor]):
        self._policy, self._total = policy, total

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """End the policy's step."""
        self._policy.learn(self._total)


class EvaluateAtEnd(TrainerCallback):
    """Evaluate after the last step, whatever the rhythm."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for an evaluation."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
        return control


class Bar(ProgressCallback):
    """The Trainer's progress bar, with the loss beside it in the place of a printed dictionary."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the latest losses."""
        if state.is_world_process_zero and self.training_bar is not None and logs:
            shown = {name: f"{value:.3f}" for name, value in logs.items() if name in ("loss", "eval_loss")}
            if shown:
                self.training_bar.set_postfix(shown, refresh=False)
