"""How a model was made: run.json, with the time and the machine of each session of a run, and the model card.

A session is one start of a run, the first one or a resumption.
"""

import json
import platform
import time
from collections.abc import Mapping, Sized
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
import torch
import yaml
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from diffmask.core.machine import code_version, describe_hardware
from diffmask.files.folders import write_text
from diffmask.version import __version__

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "wordfreq")


def write_card(
    path: Path,
    front: Mapping[str, Any],
    config: Mapping[str, Any],
    inputs: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> None:
    """Write a model card: the settings, the inputs with their hashes, versions, and the last evaluation.

    Args:
        path: File to write, README.md beside the weights.
        front: Front matter of the card, except for the name of the library.
        config: Settings of the run.
        inputs: Files that were read, with their hashes, and what is known about the anchors.
        metrics: Figures of the last evaluation.
    """
    sections = [
        f"---\n{yaml.safe_dump({'library_name': 'transformers', **front}, sort_keys=False)}---",
        f"# {config['model']}, continued",
        f"Continued from `{config['model']}` with diffmask, masking policy `{config['masking']['policy']}`.",
        "## Evaluation",
        _table(metrics) if metrics else "No held-out data were given.",
        "## Settings",
        _code(config),
        "## Inputs",
        _code(inputs),
        "## Versions",
        _code(versions()),
    ]
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions of Python, diffmask and the packages on which results depend."""
    own = {"diffmask": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in PACKAGES}


def _table(metrics: Mapping[str, float]) -> str:
    rows = [
        f"| {name} | {value:.4f} |" if isinstance(value, float) else f"| {name} | {value:,} |"
        for name, value in metrics.items()
    ]
    return "\n".join(["| measure | value |", "|---|---|", *rows])


def _code(mapping: Mapping[str, Any]) -> str:
    return f"```yaml\n{yaml.safe_dump(dict(mapping), sort_keys=False, allow_unicode=True)}```"


RECORD_FILE = "run.json"
FORMAT = 1


class RunRecord(TrainerCallback):
    """Write the record at the start, with every log line and at the end, so that even a killed run has one.

    Args:
        path: File to write; the sessions of an earlier record are kept.
    """

    def __init__(self, path: Path):
        self._path = path
        self._began = time.monotonic()
        self._record: dict[str, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin a session."""
        before = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {"sessions": []}
        session = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": 0.0,
            "first_step": state.global_step,
            "last_step": state.global_step,
            "ended": False,
            "num_processes": args.world_size,
            "device": str(args.device),
            "hardware": describe_hardware(),
            "versions": versions(),
            "commit": code_version(Path(__file__).parents[2]),
        }
        self._record = {
            "format": FORMAT,
            "num_steps": state.max_steps,
            "parameters": sum(parameter.numel() for parameter in kwargs["model"].parameters()),
            "text": _describe(kwargs.get("train_dataloader")),
            "rows": _num_rows(kwargs.get("train_dataloader")),
            "sessions": [*before["sessions"], session],
        }
        self._write(state)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Update the session; an evaluation without training has none."""
        if self._record:
            self._write(state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the session, also after Ctrl-C."""
        self._record["sessions"][-1]["ended"] = True
        if args.device.type == "cuda":
            self._record["sessions"][-1]["gpu_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        self._write(state)

    def _write(self, state: TrainerState) -> None:
        self._record["sessions"][-1] |= {
            "seconds": round(time.monotonic() - self._began, 3),
            "last_step": state.global_step,
        }
        write_text(self._path, json.dumps(self._record, indent=2) + "\n")


def _num_rows(loader: DataLoader | None) -> int | None:
    """Return the number of rows of a data set; None if it is a stream, or there is none."""
    return len(loader.dataset) if loader is not None and isinstance(loader.dataset, Sized) else None


def _describe(loader: DataLoader | None) -> str | None:
    """Return the description of the corpus from which the rows were made, if there is one."""
    rows = None if loader is None else loader.dataset
    return rows.info.description or None if isinstance(rows, datasets.Dataset) else None
