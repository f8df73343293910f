"""The task that a run learns beside what is masked: its texts, its classifier, and what is left of it at the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from diffmask.config import TaskConfig, TextConfig
from diffmask.config.evaluation import MULTI_LABEL, SINGLE_LABEL
from diffmask.config.limits import check_limits
from diffmask.core.errors import InputError
from diffmask.files.folders import draft
from diffmask.files.splits import splits_named
from diffmask.tasks.columns import Columns, Example
from diffmask.tasks.labels import check_learnable, refuse_same_numbers
from diffmask.tasks.task import Row, Split, read_examples
from diffmask.text.corpus.documents import list_files
from diffmask.text.model.end_task import EndTask, detach, shared_classifier
from diffmask.text.model.load import LoadedModel
from diffmask.text.segment.segmenter import pad_id
from diffmask.train.trainer import MaskedTrainer

CLASSIFIER = "classifier"
"""Folder, in that of a run, of the classifier that it trained."""


def check_task(config: Any, *, streams: bool = False) -> None:
    """Refuse the settings of a task that cannot be learned in the run, or not be measured.

    Args:
        config: The run, which has a task.
        streams: Whether its rows have no end, so that no share of them is held out.

    Raises:
        InputError: If there is no step, nothing is held out, or a file is for something else by its name.
    """
    task, evaluates = config.task, bool(config.data.eval) or (not streams and config.data.eval_share > 0.0)
    check_limits(task, "task.")
    if config.training.steps == 0:
        raise InputError("a task cannot be learned in training.steps=0; leave task out, or give the number of steps")
    if task.eval and not evaluates:
        raise InputError(
            "task.eval is measured when the held-out data are, and there are none; give data.eval, or data.eval_share "
            "above 0"
        )
    _check_names("task.train", task.train, ("dev", "test"))
    _check_names("task.eval", task.eval, ("test",))


def _check_names(setting: str, sources: Sequence[str], refused: Sequence[str]) -> None:
    """Refuse files whose names say that they are for something else: nothing of a test set is ever read."""
    for path in list_files(sources) if sources else []:
        found = next((split for split in splits_named(path) if split in refused), None)
        if found is not None:
            raise InputError(
                f"{setting} names {path}, which by its name is for {'testing' if found == 'test' else 'evaluation'}; "
                f"give {'the files of training texts one by one' if len(refused) > 1 else 'a dev file'}, or rename it"
            )


def build_task(config: TextConfig, loaded: LoadedModel) -> EndTask | None:
    """Return the task of a run, its classifier sharing the encoder of the model that is trained; None without one.

    Raises:
        InputError: If a setting cannot be used, its files cannot be read, or the model has no classifier.
    """
    task = config.task
    if task is None:
        return None
    check_task(config, streams=config.data.streaming)
    columns, training = _read(task.train, task, None)
    held_out = _read(task.eval, task, columns)[1] if task.eval else []
    seen = {(text, pair) for text, pair, _ in training}
    held_out = [example for example in held_out if example[:2] not in seen]
    several = columns.kind == MULTI_LABEL
    names = sorted({name for _, _, label in training + held_out for name in (label if several else [label])})
    if len(names) < 2:
        raise InputError(f"the task has nothing to tell apart: task.train has {len(names)} label(s), and needs two")
    refuse_same_numbers(names)
    labels = {"train": [label for _, _, label in training], "dev": [label for _, _, label in held_out]}
    check_learnable(labels, columns.kind)
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        classifier = shared_classifier(loaded, names, several=several, dropout=task.dropout)

    def rows_of(part: list[Example]) -> list[Row]:
        if not part:
            return []
        split = Split.of(part, columns.kind, names)
        return split.encode(columns.kind, len(names), loaded.tokenizer, config.data.max_length)

    return EndTask(
        classifier,
        pad_id(loaded.tokenizer),
        rows_of(training),
        rows_of(held_out),
        batch_size=task.batch_size or config.training.batch_size,
        weight=task.weight,
    )


def _read(sources: Sequence[str], task: TaskConfig, columns: Columns | None) -> tuple[Columns, list[Example]]:
    """Return the examples of files, and the columns that they stand in, told by the first row of all."""
    columns, examples = read_examples(list_files(sources), task, columns)
    if columns is None or not examples:
        raise InputError(f"{sources[0]} has no rows; give texts with their labels")
    if columns.kind not in (SINGLE_LABEL, MULTI_LABEL):
        raise InputError(f"{sources[0]} labels words; a task beside masked words has labels of whole texts")
    return columns, examples


def save_classifier(trainer: MaskedTrainer, task: EndTask, loaded: LoadedModel, folder: Path) -> Path:
    """Take the classifier out of the model that was trained, write it as transformers loads it, return its folder."""
    detach(loaded.model)
    if not trainer.is_world_process_zero():
        return folder / CLASSIFIER
    with draft(folder / CLASSIFIER, "continue with --resume") as new:
        task.classifier.eval().save_pretrained(new)
        loaded.tokenizer.save_pretrained(new)
    return folder / CLASSIFIER
