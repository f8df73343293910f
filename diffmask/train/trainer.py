"""The Hugging Face Trainer with masks drawn on the device, in the training process, at the step they are for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import send_to_device
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    get_constant_schedule_with_warmup,
)
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput

from diffmask.core.errors import InputError
from diffmask.core.masker import Drawn
from diffmask.core.policy import Policy
from diffmask.files.folders import writing
from diffmask.train.buckets import RowOrder
from diffmask.train.checkpoint import (
    MANIFEST_FILE,
    POLICY_FILE,
    check_checkpoint,
    read_policy,
    remove_old,
    seal,
    weights_files,
)
from diffmask.train.folder import tell_last
from diffmask.train.masking import Batch, Masks, by_unit
from diffmask.train.meter import LossMeter, Meter, of_side
from diffmask.train.objective import BESIDE, Beside, Objective
from diffmask.train.optimizer import parameter_groups
from diffmask.train.record import forget_local_base


class _EpochOrder(TrainerCallback):
    """Tell the sampler the epoch before its rows are read; on several ranks a resumed Trainer does not."""

    def __init__(self, set_epoch: Callable[[int], None]):
        self._set_epoch = set_epoch

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch."""
        self._set_epoch(int(state.epoch or 0))


class _Feedback(TrainerCallback):
    """Make policies learn from a step of all ranks, before the next masks are drawn or a checkpoint is written."""

    def __init__(self, policies: Iterable[Policy], total: Callable[[Tensor], Tensor]):
        self._policies, self._total = list(policies), total

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Make the policies learn."""
        for policy in self._policies:
            policy.learn(self._total)


class MaskedTrainer(Trainer):
    """Continue the pretraining of a model, with the masks of a masker.

    Everything else is Hugging Face's Trainer: mixed precision, accumulation, checkpoints, torchrun, loggers. A loss is
    the mean over all predicted positions of an optimiser step, on all ranks, so one batch of eight rows, two batches of
    four, and two ranks with four rows each give the same gradient. Of several losses the weighted sum is trained on.

    On a CPU that has other work too, set `OMP_WAIT_POLICY=passive` before torch is imported, as the commands do: else
    each of OpenMP's threads keeps a core while it waits, and a step takes several times as long.

    Args:
        model: A pretrained model with the head that is trained; of one with adapters of peft, these alone are saved.
        args: Settings of the Trainer. All columns of the rows are kept, whatever `remove_unused_columns` says.
        masking: How to mask.
        train_dataset: Rows for `masking.pad`: a data set of Hugging Face or torch, or a list.
        eval_dataset: Rows for evaluation, or None.
        order: Order of the training rows; None is the Trainer's own.
        callbacks: Callbacks, as for the Trainer.
        objective: A second objective that is learned in the same steps; its loss is added.
        processing_class: Tokenizer or processor of the model, which is saved beside its weights, in checkpoints too.

    Raises:
        InputError: If a setting has no effect here, or cannot be followed.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        args: TrainingArguments,
        masking: Masks,
        train_dataset: Any,
        eval_dataset: Any = None,
        order: RowOrder | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        *,
        objective: Objective | None = None,
        processing_class: Any = None,
    ):
        _check_arguments(args, ordered=order is not None)
        if args.n_gpu > 1:
            raise InputError(
                f"one process sees {args.n_gpu} GPUs; start one per GPU (torchrun --nproc_per_node {args.n_gpu} "
                "-m diffmask pretrain ...), or show it one with CUDA_VISIBLE_DEVICES=0"
            )
        args.dataloader_pin_memory &= torch.accelerator.is_available()  # else torch warns at every pass
        self.masking = masking
        self.meters = {name: Meter(side.domain, side.adapter.positions, name) for name, side in masking.sides.items()}
        self._policies = {name: side.masker.policy for name, side in masking.sides.items()}
        self._losses = LossMeter(masking.weights)
        seed = args.seed if args.data_seed is None else args.data_seed
        rows_per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        self._sampler = None if order is None else order.sampler(rows_per_step, seed)
        epochs = [_EpochOrder(self._sampler.set_epoch)] if self._sampler is not None else []
        super().__init__(
            model=model,
            args=args,
            data_collator=masking.pad,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            callbacks=[_Feedback(self._policies.values(), self._total), *epochs, *callbacks],
        )
        # compute_loss divides by the number of losses of the whole step; the Trainer must not divide again
        self.loss_is_scaled_for_ga = True
        self._beside = Beside(objective, self.accelerator, seed)
        # not the Trainer's own `processing_class`, by which it would change the ids in the model's config
        self._processing = processing_class

    def _remove_unused_columns(self, dataset: Any, description: str | None = None) -> Any:
        return dataset  # masks need columns that the model's forward does not take

    def _get_collator_with_removed_columns(self, data_collator: Any, description: str | None = None) -> Any:
        return data_collator

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        return self._sampler if self._sampler is not None else super()._get_train_sampler(train_dataset)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Create the optimizer, with a learning rate for each layer if `layer_decay` is below 1."""
        if self.masking.layer_decay == 1.0 or self.optimizer is not None:
            return super().create_optimizer(model)
        trained = self._model() if model is None else model
        kind, settings = self.get_optimizer_cls_and_kwargs(self.args)
        decayed = set(self.get_decay_parameter_names(trained))
        groups = parameter_groups(
            trained, decayed, self.args.learning_rate, self.args.weight_decay, self.masking.layer_decay
        )
        self.optimizer = kind(groups, **settings)
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Create the schedule of the learning rate; a polynomial whose warm-up takes all steps has nothing to decay."""
        warmup = self.args.get_warmup_steps(num_training_steps)
        if self.lr_scheduler is None and warmup >= num_training_steps and self.args.lr_scheduler_type == "polynomial":
            rising = cast(torch.optim.Optimizer, self.optimizer if optimizer is None else optimizer)
            self.lr_scheduler = get_constant_schedule_with_warmup(rising, warmup)
        return super().create_scheduler(num_training_steps, optimizer)

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, Tensor | int | None]:
        """Collect the batches of one optimiser step, mask them, and count the losses of each name on all ranks.

        The Trainer calls this before `on_step_begin`, so `state.global_step` is the step for which masks are drawn.
        """
        if self.state.global_step >= self.state.max_steps:
            return [], None  # resumed from the checkpoint of the last step: nothing is left to do
        batches = [self._mask(batch) for batch in islice(epoch_iterator, num_batches)]
        self._beside.join(batches, self.state.global_step, self.args.gradient_accumulation_steps)
        none = torch.zeros(1, len(self.masking.weights), device=device)
        counts = sum((batch[_COUNTS][None] for batch in batches), none)
        self._losses.end_step()
        return batches, self._gathered(counts).sum(0).clamp_min(1)

    def _model(self) -> torch.nn.Module:
        assert isinstance(self.model, torch.nn.Module)
        return self.model

    def _gathered(self, value: Tensor) -> Tensor:
        gathered = self.accelerator.gather(value)
        assert isinstance(gathered, Tensor)
        return gathered

    def _total(self, value: Tensor) -> Tensor:
        total = self.accelerator.reduce(value, "sum")
        assert isinstance(total, Tensor)
        return total

    def _mask(self, rows: Batch) -> dict[str, Any]:
        step, num_steps = self.state.global_step, self.state.max_steps
        drawn = self.masking.draw(self._on_device(rows), step, num_steps)
        for name, side in self.masking.sides.items():
            self.meters[name].add(drawn.choices[name], side.masker.strength(step / num_steps))
        return {
            **drawn.inputs,
            _UNITS: {name: each.units for name, each in drawn.choices.items()},
            _COUNTS: drawn.counts,
        }

    def _on_device(self, batch: Batch) -> dict[str, Any]:
        return cast("dict[str, Any]", send_to_device(dict(batch), self.args.device))

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Run one micro-batch; stop before the weights change if the loss is not finite."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            units = next(iter(inputs[_UNITS].values()))
            rows = ", ".join(map(str, units.sample_ids.tolist()))
            step = self.state.global_step
            raise self._diverged(f"the loss is {loss.item()} at step {step}, in the batch of samples {rows}")
        return loss

    def _clip_grad_norm(self, model: torch.nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)
        # with fp16, infinite gradients are normal: the scaler skips such steps
        if norm is not None and self.accelerator.scaler is None and not torch.isfinite(torch.as_tensor(norm)):
            raise self._diverged(f"the gradient's norm is {float(norm)} at step {self.state.global_step}")
        return norm

    def _diverged(self, what: str) -> InputError:
        kept = tell_last(Path(str(self.args.output_dir)))
        return InputError(f"{what}; {kept}; lower training.learning_rate, or use precision bf16 or fp32")

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save a checkpoint, seal it once all ranks have written, and only then delete old ones, by their steps."""
        run, step = Path(self._get_output_dir(trial=trial)), self.state.global_step
        checkpoint = run / f"{PREFIX_CHECKPOINT_DIR}-{step}"
        keep, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            with writing(checkpoint):
                (checkpoint / MANIFEST_FILE).unlink(missing_ok=True)  # of one that was damaged, and is replaced
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.is_world_process_zero():
                    seal(checkpoint)
                    remove_old(run, step, keep, self.state.best_model_checkpoint)
        finally:
            self.args.save_total_limit = keep

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Also save the tokenizer or processor, and no path of this machine."""
        super()._save(output_dir, state_dict)
        folder = Path(str(output_dir or self.args.output_dir))
        if self.args.should_save:
            forget_local_base(folder)
            if self._processing is not None:
                self._processing.save_pretrained(folder)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Also save what policies have learned, before the file that marks a checkpoint as complete."""
        super()._save_optimizer_and_scheduler(output_dir)
        states = {name: policy.state_dict() for name, policy in self._policies.items()}
        learned = {of_side(key, name): value for name, state in states.items() for key, value in state.items()}
        if learned and self.is_world_process_zero():
            save_file(learned, Path(output_dir) / POLICY_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        """Load the weights of a whole checkpoint, including those that are saved under other names."""
        check_checkpoint(Path(resume_from_checkpoint))
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if isinstance(self.model, PreTrainedModel):
            _restore_renamed(self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Also load what policies had learned; the Trainer calls this on every rank, and with DeepSpeed too."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            learned = read_policy(Path(checkpoint))
            for name, policy in self._policies.items():
                ending = of_side("", name)
                own = {key.removesuffix(ending): value for key, value in learned.items() if key.endswith(ending)}
                policy.load_state_dict(own)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return this micro-batch's part of the step's loss, the weighted sum of the means.

        It is multiplied by the number of ranks, since DistributedDataParallel averages gradients over them.
        """
        assert not return_outputs, "masks are drawn in get_batch_samples and evaluation_loop; there are no outputs"
        assert isinstance(num_items_in_batch, Tensor)
        units, _ = inputs.pop(_UNITS), inputs.pop(_COUNTS)
        beside = inputs.pop(BESIDE, None)
        with self._beside.within(self._model(), beside) as outcomes:
            losses = self.masking.losses(model, inputs)
        for name, policy in self._policies.items():
            if name in losses and type(policy).observe is not Policy.observe:
                smallest = units[name].smallest
                means, counts = by_unit(losses[name].detach(), smallest, self.masking.predicted(inputs, name))
                policy.observe(smallest, counts > 0, means)
        means = [losses[name].sum() * self.accelerator.num_processes / count for name, count in
                 zip(self.masking.weights, num_items_in_batch, strict=True)]  # fmt: skip
        self._losses.add(means)
        loss = sum(mean * weight for mean, weight in zip(means, self.masking.weights.values(), strict=True))
        assert isinstance(loss, Tensor)
        return self._beside.add(loss, outcomes, beside)

    @torch.no_grad()
    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return the mean of each loss, of all units and of the domain's, under fixed masks."""
        model = self._model()
        was_training = model.training
        model.eval()
        totals = torch.zeros(len(self.masking.weights), 4, dtype=torch.float64, device=self.args.device)
        num_rows = 0
        for batch in dataloader:
            with self.compute_loss_context_manager():
                sums = self._row_sums(model, self._on_device(batch))
            rows = self.accelerator.gather_for_metrics(sums)
            assert isinstance(rows, Tensor)
            totals += rows.sum(0)
            num_rows += len(rows)
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        model.train(was_training)
        metrics = self._metrics(metric_key_prefix, totals) | self._beside.evaluate(metric_key_prefix)
        return EvalLoopOutput(predictions=np.empty(0), label_ids=None, metrics=metrics, num_samples=num_rows)

    def _metrics(self, prefix: str, totals: Tensor) -> dict[str, float]:
        """Return the figures of an evaluation, given sums as `_row_sums` has them for each loss; first, the sum."""
        metrics = {f"{prefix}_loss": 0.0}
        for (name, weight), sums in zip(self.masking.weights.items(), totals.tolist(), strict=True):
            loss, count, domain_loss, domain_count = sums
            figures = {"loss": loss / max(count, 1)}
            if name in self.masking.sides:
                figures["masked"] = int(count)
            if domain_count > 0:
                figures |= {"loss_domain": domain_loss / domain_count, "masked_domain": int(domain_count)}
            metrics[f"{prefix}_loss"] += weight * figures["loss"]
            metrics |= {of_side(f"{prefix}_{key}", name): value for key, value in figures.items()}
        return metrics

    def _row_sums(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Return the sum and the number of each loss of each row, float64 (B, K, 4).

        The first two columns are of all units, the last two of those that belong to the domain.
        """
        fixed = self.masking.fixed
        drawn = fixed.draw(batch, 0, 1)
        losses = fixed.losses(model, drawn.inputs)
        return torch.stack([self._sums_of(name, losses[name], drawn) for name in self.masking.weights], dim=1)

    def _sums_of(self, name: str, losses: Tensor, drawn: Drawn) -> Tensor:
        """Return the sum and the number of a loss of each row, of all units and of the domain's, float64 (B, 4)."""
        if name not in drawn.choices:  # each row has one, as a whole
            return torch.stack([losses, *torch.ones_like(losses)[None], *losses.new_zeros(2, len(losses))], 1).double()
        units = drawn.choices[name].units.smallest
        means, counts = by_unit(losses, units, self.masking.fixed.predicted(drawn.inputs, name))
        domain, columns = self.meters[name].is_domain(units), [means.double() * counts, counts.double()]
        return torch.stack([value.sum(1) for value in (*columns, *(value * domain for value in columns))], dim=1)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, adding what was masked since the last time, and what the policy has learned."""
        if "loss" in logs:
            for name, meter in self.meters.items():
                learned = self._policies[name].report()
                logs.update(meter.read() | {of_side(key, name): value for key, value in learned.items()})
            logs.update(self._losses.read(self._total, self.accelerator.num_processes) | self._beside.report())
        super().log(logs, start_time)


_UNITS, _COUNTS = "units", "counts"
"""Keys under which a masked batch carries its units by side, and how many losses of each name it has."""


_WITHOUT_EFFECT = {
    "label_smoothing_factor": "the loss at masked positions is the plain cross entropy",
    "auto_find_batch_size": "the order of the rows and their masks are those of one batch size",
    "include_for_metrics": "an evaluation is the mean loss, and computes no metrics",
    "batch_eval_metrics": "an evaluation is the mean loss, and computes no metrics",
}
"""Settings of the Trainer that this one does not follow, and why."""


def _check_arguments(args: TrainingArguments, *, ordered: bool) -> None:
    for name, reason in _WITHOUT_EFFECT.items():
        if value := getattr(args, name):
            raise InputError(f"TrainingArguments({name}={value!r}) has no effect here: {reason}; leave it out")
    if ordered and args.train_sampling_strategy != "random":
        raise InputError(
            f"TrainingArguments(train_sampling_strategy={args.train_sampling_strategy!r}) has no effect with an "
            "order of the rows; leave one of them out"
        )
    if not args.average_tokens_across_devices and args.world_size > 1:
        raise InputError(
            "TrainingArguments(average_tokens_across_devices=False) has no effect here: the loss is the mean over the "
            "masked positions of all ranks; leave it out"
        )
    if args.fp16 and args.device.type == "cpu":
        raise InputError("fp16 needs a GPU, and the device is the CPU, where the model would train in fp32; use bf16")


def _restore_renamed(model: PreTrainedModel, checkpoint: Path) -> None:
    """Load the parameters that a checkpoint holds under other names than the model has.

    `save_pretrained` writes some architectures with the names of their first release (VideoMAE's query.bias is q_bias),
    but the Trainer reads a checkpoint by the present names of the model. Without this, a resumed run would silently
    start these parameters from scratch.

    Raises:
        InputError: If the checkpoint lacks a parameter under any name.
    """
    files = weights_files(checkpoint)
    if not all((checkpoint / name).exists() for name in files):
        return  # FSDP and DeepSpeed have files of their own, by the model's own names
    held: set[str] = set()
    for name in files:
        with safe_open(checkpoint / name, "pt") as file:
            held.update(file.keys())
    own = model.state_dict(keep_vars=True)
    absent = own.keys() - held - set(model.all_tied_weights_keys)
    if not absent:
        return
    kind: Any = type(model)
    loaded, report = kind.from_pretrained(checkpoint, config=model.config, output_loading_info=True)
    if lost := sorted(absent & report["missing_keys"]):
        raise InputError(f"the checkpoint {checkpoint} lacks {lost[0]}; continue from another one")
    renamed = loaded.state_dict()
    with torch.no_grad():
        for name in absent:
            own[name].copy_(renamed[name])
