"""A run that is interrupted at a step, as by Ctrl-C."""

import signal

from transformers import TrainerCallback


class InterruptAt(TrainerCallback):
    def __init__(self, step):
        self._step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self._step and "head" not in args.output_dir:
            signal.raise_signal(signal.SIGINT)
