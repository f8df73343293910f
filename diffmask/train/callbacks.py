"""Callbacks: logs as JSON lines, Ctrl-C that saves, the order of an epoch, a quiet progress bar."""

import json
import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from diffmask.files.folders import write_text, writing
from diffmask.train.log import read_log


class JsonLog(TrainerCallback):
    """Write the log as lines of JSON; a resumed run continues the file without repeating a step."""

    def __init__(self, path: Path):
        self._path = path

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drop the lines that were written after the checkpoint from which the run continues."""
        if not state.is_world_process_zero or not self._path.exists():
            return
        kept = [entry for entry in read_log(self._path) if entry["step"] <= state.global_step]
        write_text(self._path, "".join(json.dumps(entry) + "\n" for entry in kept))

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
            with writing(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
                file.flush()
                os.fsync(file.fileno())


class StopOnInterrupt(TrainerCallback):
    """On Ctrl-C or SIGTERM finish the step, write a checkpoint and stop.

    Another Ctrl-C, a second later, stops at once.

    Attributes:
        number: The signal that asked to stop; 0 before one does.
    """

    def __init__(self):
        self.number = 0
        self._before: dict[int, Any] = {}
        self._at = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over the signals."""
        self._before = {
            each: signal.signal(each, self._interrupt)
            for each in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(each) is not signal.SIG_IGN or each == signal.SIGINT
        }

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # within a second it may be the same Ctrl-C, passed on by both the terminal and a launcher
        if number == signal.SIGINT and self.number and time.monotonic() - self._at > 1.0:
            raise KeyboardInterrupt
        self._at = self._at if self.number else time.monotonic()
        self.number = self.number or number

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Save and stop if any rank was asked to; all ranks stop after the same step."""
        if args.world_size > 1:
            asked = torch.tensor(float(self.number), device=args.device)
            torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX)
            self.number = int(asked)
        if self.number:
            control.should_save = control.should_training_stop = True
        return control

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the signals back."""
        self.release()

    def release(self) -> None:
        """Give the signals back; call it after an error too, when the Trainer calls nothing."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}


class EvaluateAtEnd(TrainerCallback):
    """Evaluate after the last step, even if no evaluation is due."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for an evaluation."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
        return control


class Snapshots(TrainerCallback):
    """Keep the model as it is after some steps.

    Args:
        steps: After which.
        save: Called after each of them, on every rank.
    """

    def __init__(self, steps: Collection[int], save: Callable[[], None]):
        self._steps, self._save = steps, save

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save what is asked for."""
        if state.global_step in self._steps:
            self._save()


class Bar(ProgressCallback):
    """The Trainer's progress bar, with the losses beside it instead of a printed dictionary."""

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
