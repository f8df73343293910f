"""What the quickstart does, and what a user types for each step of it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diffmask.config import DataConfig, HeadConfig, MaskingConfig, PretrainConfig, TrainingConfig
from diffmask.core.errors import InputError
from diffmask.demo.docstrings import find_package
from diffmask.pretrain import HEAD_FILE
from diffmask.text.anchors.find import AnchorSettings

PACKAGES = {"sklearn": "scikit-learn", "scipy": "SciPy", "torch": "PyTorch"}
SUBPACKAGES = {"torch": ("autograd", "distributions", "nn", "optim")}
"""Of the others, all."""
RUNS = {"whole-word": "random masking", "difference": "difference masking"}
"""Policies that are compared, and what they are called."""


@dataclass(frozen=True)
class Plan:
    """How large the quickstart is.

    Attributes:
        output: Folder that everything lands in.
        sources: Source folder of each package whose documentation is the text.
        model: The model that is continued.
        steps: Optimiser steps of each run.
        head_steps: Steps that a missing prediction head is trained for before.
        batch_size: Rows of a step.
        seeds: Runs of each policy, which differ in their seed.
        num_anchors: How many anchors to choose.
        min_count: A rarer word is no anchor.
        min_texts: A subpackage with fewer training texts is no part of the task.
        seed: The first; of everything.
    """

    output: Path
    sources: Mapping[str, Path]
    model: str = "minilm"
    steps: int = 30
    head_steps: int = 120
    batch_size: int = 8
    seeds: int = 3
    num_anchors: int = 20
    min_count: int = 10
    min_texts: int = 20
    seed: int = 0

    @property
    def head(self) -> Path:
        """Head that the first run trains, where the model lacks one, and all others begin with."""
        return self.output / next(iter(RUNS)) / "seed-0" / HEAD_FILE

    def config(self, policy: str, seed: int = 0) -> PretrainConfig:
        """Return the settings of a run; those of one seed differ in the policy and in the folder, and in nothing else.

        Args:
            policy: The policy.
            seed: Its number, from 0.
        """
        folder = self.output
        run = folder / policy / f"seed-{seed}"
        weights = str(self.head) if self.head.exists() and run != self.head.parent else None
        return PretrainConfig(
            model=self.model,
            output=str(run),
            data=DataConfig(
                train=(str(folder / "text" / "train.jsonl"),),
                eval=(str(folder / "text" / "heldout.jsonl"),),
                num_processes=1,
                cache=str(folder / "cache"),
            ),
            masking=MaskingConfig(policy=policy, anchors=str(folder / "anchors"), seed=self.seed + seed),
            head=HeadConfig(steps=self.head_steps, weights=weights),
            training=TrainingConfig(
                steps=self.steps,
                batch_size=self.batch_size,
                learning_rate=1e-4,
                seed=self.seed + seed,
                log_every=max(1, self.steps // 20),
                # before the first step all are the same, and one look is enough
                eval_every=max(1, self.steps // 2) if seed == 0 else 0,
                save_every=0,
            ),
        )

    def commands(self) -> dict[str, str]:
        """Return what a user types for each step."""
        text, anchors = (shlex.quote(str(self.output / part)) for part in ("text/train.jsonl", "anchors"))
        model, config = shlex.quote(self.model), shlex.quote(str(self.output / "difference.yaml"))
        run, task = (shlex.quote(str(self.output / part)) for part in ("difference/seed-0", "task"))
        return {
            "anchors": f"diffmask anchors {text} --reference wordfreq:en --model {model} -o my-anchors",
            "preview": f"diffmask preview {text} --anchors {anchors} -o my-preview.html",
            "pretrain": f"diffmask pretrain {config} output=my-run",
            "evaluate": f"diffmask evaluate {run} --task {task} --method probe --seeds 1 -o my-results",
        }

    @property
    def anchor_settings(self) -> AnchorSettings:
        """How the anchors are found."""
        return AnchorSettings(
            data=self.config("whole-word").data.train,
            model=self.model,
            num_anchors=self.num_anchors,
            min_count=self.min_count,
        )

    @property
    def text_name(self) -> str:
        """What the text is, for titles."""
        *names, last = [PACKAGES.get(name, name) for name in self.sources]
        return f"the documentation of {', '.join(names)} and {last}" if names else f"the documentation of {last}"


def installed_sources() -> dict[str, Path]:
    """Return the source folders of the packages whose documentation is read.

    Raises:
        InputError: If one is not installed.
    """
    found = {name: find_package(name) for name in PACKAGES}
    missing = [PACKAGES[name] for name, folder in found.items() if folder is None]
    if missing:
        raise InputError(
            f"the quickstart reads the documentation of {', '.join(missing)}, which is not installed; "
            "run `pip install 'diffmask[demo]'`"
        )
    return {name: folder for name, folder in found.items() if folder is not None}
