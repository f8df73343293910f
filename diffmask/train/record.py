"""How a model was made: run.json, with the time and the machine of each session of a run, and the model card.

A session is one start of a run, the first one or a resumption.
"""

import hashlib
import json
import platform
import re
import time
from collections.abc import Mapping, Sized
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, TypedDict

import datasets
import torch
import yaml
from huggingface_hub import ModelCard
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from diffmask.core.machine import code_version, describe_hardware
from diffmask.files.folders import write_text
from diffmask.files.json_object import read_object
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
        front: Front matter of the card, except for the name of the library; what is None is left out.
        config: Settings of the run.
        inputs: Files that were read, with their hashes, and what is known about the anchors.
        metrics: Figures of the last evaluation.
    """
    # a card is published: where files lie on somebody's disk is nobody's business
    config, inputs = _without_folders(config), _without_folders(inputs)
    front = {"library_name": "transformers", **{name: value for name, value in front.items() if value is not None}}
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {config['model']}, continued",
        f"Continued from `{config['model']}` with diffmask, masking policy `{_policy(config['masking'])}`.",
        "## Evaluation",
        _table(metrics) if metrics else "It was not evaluated on held-out data after its last step.",
        "## Settings",
        _code(config),
        "## Inputs",
        _code(inputs),
        "## Versions",
        _code(versions()),
    ]
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


LINEAGE = "continued"
"""What the front matter of a model card calls the lineage."""


@dataclass(frozen=True)
class Lineage:
    """What diffmask has made of a model.

    Attributes:
        ancestors: The models that it was continued from, the oldest first, as `identify_model` names them.
        steps: For how many steps, by all runs together.
    """

    ancestors: tuple[str, ...] = ()
    steps: int = 0

    @classmethod
    def read(cls, model: str | Path) -> Self:
        """Return what the card of a model tells; of one on the hub nothing is known here.

        Args:
            model: Its folder or its name.
        """
        card = Path(model) / "README.md"
        if not card.is_file():
            return cls()
        told = ModelCard.load(card, ignore_metadata_errors=True).data.get(LINEAGE)
        match told:
            case {"from": [*ancestors], "steps": int(steps)}:
                return cls(tuple(map(str, ancestors)), steps)
        return cls()

    def longer(self, model: str | Path, steps: int) -> Self:
        """Return the lineage of what a run makes of a model that has this one."""
        return replace(self, ancestors=(*self.ancestors, identify_model(model)), steps=self.steps + steps)

    def to_json(self) -> dict[str, Any]:
        """Return what stands in cards and results."""
        return {"from": list(self.ancestors), "steps": self.steps}


def write_short_card(folder: Path, title: str, told: str, lineage: Lineage) -> None:
    """Write the card of a model that no run has made: what it was made of, and from which models it comes."""
    front = yaml.safe_dump({"library_name": "transformers", LINEAGE: lineage.to_json()}, sort_keys=False)
    (folder / "README.md").write_text(f"---\n{front}---\n\n# {title}\n\n{told}\n", encoding="utf-8")


def identify_model(model: str | Path) -> str:
    """Return the sha256 of a model's weights as they are in its folder; of one on the hub, its name."""
    folder = Path(model)
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not files:
        return str(model)
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _policy(masking: Mapping[str, Any]) -> str:
    """Return the policy of a masking, or those of its sides."""
    sides = [side["policy"] for side in masking.values() if isinstance(side, Mapping) and "policy" in side]
    return masking["policy"] if "policy" in masking else "+".join(sides)


def plain_name(model: str) -> str:
    """Return the name of a model on the hub, or that of its folder without the folders around it."""
    return hub_name(model) or Path(model).name


def hub_name(name: str) -> str | None:
    """Return the name of a model on the hub, or None of one that lies in a folder of this machine."""
    return name if re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", name) and not Path(name).exists() else None


def forget_local_base(folder: Path) -> None:
    """Take the folder of the base model out of what peft has saved; the name of one on the hub stays.

    Args:
        folder: Where adapters were saved, each with its config, here or in folders of their names.
    """
    for path in (*folder.glob("adapter_config.json"), *folder.glob("*/adapter_config.json")):
        settings = json.loads(path.read_text(encoding="utf-8"))
        base = settings.get("base_model_name_or_path")
        if base is not None and hub_name(base) is None:
            write_text(path, json.dumps(settings | {"base_model_name_or_path": None}, indent=2) + "\n")
            readme = folder / "README.md"
            if readme.is_file():
                card: Any = ModelCard.load(readme)
                card.data.base_model = None
                card.data.tags = [tag for tag in card.data.tags or [] if not tag.startswith("base_model:")]
                card.save(readme)


_FOLDERS = re.compile(r"(?:(?<![\w./~:-])|(?<=\w:))~?/(?!/)(?:[^\s:'\",/]+/)*(?=[^\s:'\",/]+)")
"""The folders of an absolute path, in a text such as a command."""


def _without_folders(value: Any) -> Any:
    """Return settings or records in which absolute paths are names of files and folders."""
    if isinstance(value, Mapping):
        return {name: _without_folders(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(inner) for inner in value]
    if not isinstance(value, str):
        return value
    return Path(value).name if Path(value).is_absolute() else _FOLDERS.sub("", value)


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


class _Session(TypedDict):
    """What every session has that is read again."""

    seconds: float
    first_step: int
    last_step: int
    hardware: str


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of a run.

    Raises:
        InputError: If the file is damaged.
    """
    remedy = "delete it, and the times of the run up to now are lost, but nothing else"
    return read_object(path, {"sessions": list[_Session]}, remedy)


class RunRecord(TrainerCallback):
    """Write the record at the start, with every log line and at the end, so that even a killed run has one.

    Args:
        path: File to write; the sessions of an earlier record are kept.
        held_out: What was held out, if anything could be.
    """

    def __init__(self, path: Path, held_out: Mapping[str, Any] | None = None):
        self._path, self._held_out = path, held_out
        self._began = time.monotonic()
        self._record: dict[str, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin a session."""
        before = read_record(self._path) if self._path.exists() else {"sessions": []}
        session = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": 0.0,
            "first_step": state.global_step,
            "last_step": state.global_step,
            "ended": False,
            "num_processes": args.world_size,
            "device": str(args.device),
            "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
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
            **({} if self._held_out is None else {"held_out": dict(self._held_out)}),
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
