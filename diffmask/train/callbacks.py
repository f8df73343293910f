"""Callbacks: logs as JSON lines, Ctrl-C that saves, a quiet progress bar, the state of policies."""

import json
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Any

from safetensors.torch import save_file
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from diffmask.core.policy import Policy
from diffmask.train.buckets import BucketSampler

POLICY_FILE = "policy.safetensors"


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
        kept = [line for line in self._path.read_text().splitlines() if json.loads(line)["step"] <= state.global_step]
        draft = self._path.with_suffix(".tmp")
        draft.write_text("".join(line + "\n" for line in kept))
        os.replace(draft, self._path)

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


class StopOnInterrupt(TrainerCallback):
    """On Ctrl-C finish the step, write a checkpoint and stop; a second Ctrl-C stops at once."""

    def __init__(self):
        self.interrupted = False
        self._before: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over SIGINT."""
        self._before = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, self._before)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Save and stop where asked."""
        if self.interrupted:
            control.should_save = control.should_training_stop = True
        return control

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give SIGINT back."""
        signal.signal(signal.SIGINT, self._before)


class EpochOrder(TrainerCallback):
    """Tell the sampler the epoch, before its rows are read; after a resume nobody else does on several ranks."""

    def __init__(self, sampler: BucketSampler):
        self._sampler = sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch."""
        self._sampler.set_epoch(int(state.epoch or 0))


class EvaluateAtEnd(TrainerCallback):
    """Evaluate after the last step, whatever the rhythm."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for an evaluation."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
        return control


class PolicyState(TrainerCallback):
    """Save what a policy has learned with each checkpoint."""

    def __init__(self, policy: Policy):
        self._policy = policy

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write the state beside the weights."""
        learned = self._policy.state_dict()
        if learned and state.is_world_process_zero:
            assert args.output_dir is not None
            save_file(learned, Path(args.output_dir) / f"checkpoint-{state.global_step}" / POLICY_FILE)


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
