"""The quickstart on text: the documentation of installed packages, MiniLM, random and difference masking.

The task at its end: which subpackage does a text document?
"""

import hashlib
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from diffmask.config import HeadConfig, TextConfig, TextDataConfig, TextMaskingConfig, TrainingConfig
from diffmask.config.evaluation import PROBE, EvaluateSettings, ProbeSettings, TaskSettings
from diffmask.core.errors import InputError
from diffmask.demo.docstrings import Documented, find_package, read_docstrings, write_documents
from diffmask.pretrain import HEAD_FILE
from diffmask.quickstart.run import Quickstart, Sentences, Stage
from diffmask.text.anchors.anchor_set import load_anchors
from diffmask.text.anchors.find import AnchorSettings, build_anchors
from diffmask.text.model.load import load_tokenizer

_PACKAGES = {"sklearn": "scikit-learn", "scipy": "SciPy", "torch": "PyTorch"}
_SUBPACKAGES = {"torch": ("autograd", "distributions", "nn", "optim")}
"""Subpackages that are read; of packages that are not named here, all are."""
_MAX_TEXTS = 40
"""How many training texts of each subpackage the task has at most."""
_MAX_LENGTH = 64
"""How many tokens of a text the probe reads: the first sentences say what it is about."""
_LOSS_LIMIT = (
    "Means over the seeds. All runs saw the same text, those of one seed in the same order, at the same mask ratio, "
    "for the same number of steps, and started from the same model and the same freshly trained prediction head. The "
    "losses are on the same held-out text under the same random masks. Difference masking trains on other words than "
    "these masks ask for, so its loss on all words may well be higher. The losses do not say which policy is better "
    "for a task."
)
_TASK_LIMIT = (
    "What this does not show: which policy is better in general. It is one small task about the very text that was "
    "trained on, with frozen features, few held-out texts, a small model and minutes of training. Where it says that "
    "no difference is shown, that is the result; longer training, more seeds and your own task may show more."
)
_COMMANDS = (
    "These commands do the same. To use your own data, replace the text with your files, and the name after --model "
    "with your model, a folder or a name on the hub."
)


def _installed_sources() -> dict[str, Path]:
    """Return the source folders of the packages whose documentation is read.

    Raises:
        InputError: If one is not installed.
    """
    found = {name: find_package(name) for name in _PACKAGES}
    missing = [_PACKAGES[name] for name, folder in found.items() if folder is None]
    if missing:
        raise InputError(
            f"the quickstart reads the documentation of {', '.join(missing)}, which is not installed; "
            "run `pip install 'diffmask[demo]'`"
        )
    return {name: folder for name, folder in found.items() if folder is not None}


@dataclass(frozen=True)
class TextQuickstart(Quickstart[list[Documented]]):
    """The quickstart on text, and how large it is.

    Attributes:
        sources: Source folder of each package whose documentation is the text.
        model: The model that is continued.
        head_steps: Steps that a missing prediction head is trained for first.
        batch_size: Rows of a step.
        num_anchors: How many anchors to choose.
        min_count: How often a word has to occur to be an anchor.
        min_texts: How many training texts a subpackage needs to be a part of the task.
    """

    output: Path
    sources: Mapping[str, Path] = field(default_factory=_installed_sources)
    model: str = "minilm"
    steps: int = 30
    head_steps: int = 120
    batch_size: int = 8
    seeds: int = 3
    num_anchors: int = 20
    min_count: int = 10
    min_texts: int = 20
    seed: int = 0

    modality: ClassVar = "text"
    policies: ClassVar = {"whole-word": "random masking", "difference": "difference masking"}
    leaves: ClassVar = ("text", "task")
    shown: ClassVar = ("text/train.jsonl", 6, 3)
    fills_in: ClassVar = False

    def start(self) -> str:
        """Return the model: a head that it lacks is trained by the first run."""
        return self.model

    def sentences(self) -> Sentences:
        """Return what it says."""
        names = [_PACKAGES.get(name, name) for name in self.sources]
        about = f"the documentation of {' and '.join(part for part in (', '.join(names[:-1]), names[-1]) if part)}"
        return Sentences(
            data_step=f"Text: {about}, as installed here",
            anchor_step="Anchors: the words that make this text different from English in general",
            task_step="Which subpackage does a text document? Logistic regression on what each model makes of it",
            page_step="",
            title="diffmask quickstart",
            heading="Difference-Masking, start to finish",
            lead=f"A pretrained model, continued on {about}: once with random masks, once with masks that prefer what "
            "makes this text different.",
            question="Which subpackage does a text document?",
            masks="Heat maps",
            loss_limit=_LOSS_LIMIT,
            task_limit=_TASK_LIMIT,
            command_lead=_COMMANDS,
        )

    def commands(self) -> dict[str, str]:
        """Return what a user types for each step."""
        text, anchors, config, run, task = (
            shlex.quote(str(self.output / part))
            for part in ("text/train.jsonl", "anchors", "difference.yaml", "difference/seed-0", "task")
        )
        model = shlex.quote(self.model)
        return {
            "anchors": f"diffmask anchors {text} --reference wordfreq:en --model {model} -o my-anchors",
            "preview": f"diffmask preview {text} --anchors {anchors} -o my-preview.html",
            "pretrain": f"diffmask pretrain {config} output=my-run",
            "evaluate": f"diffmask evaluate {run} --task {task} --method probe --seeds 1 -o my-results",
        }

    def check(self) -> None:
        """Refuse to begin without weights."""
        load_tokenizer(self.model)

    def make_data(self, console: Console, *, progress: bool) -> list[Documented]:
        """Write the documentation, a part of it held out; the functions and classes are returned."""
        folder = self.output / "text"
        folder.mkdir()
        documents = list(read_docstrings(self.sources, _SUBPACKAGES))
        held_out = [document for document in documents if document.is_held_out]
        write_documents([each for each in documents if not each.is_held_out], folder / "train.jsonl")
        write_documents(held_out, folder / "heldout.jsonl")
        console.print(
            f"{len(documents):,} functions and classes of {len({each.label for each in documents})} subpackages, "
            f"{_count_words(documents):,} words; {len(held_out):,} are held out, and no sentence comes twice"
        )
        console.print("On your own data: any .txt, .jsonl, .csv or .parquet will do", style="dim")
        return documents

    def find_anchors(self, console: Console, *, progress: bool) -> None:
        """Write the anchors, and print them."""
        settings = AnchorSettings(
            data=self.config("whole-word").data.train,
            model=self.model,
            num_anchors=self.num_anchors,
            min_count=self.min_count,
        )
        anchors = build_anchors(settings, self.commands()["anchors"])
        anchors.save(self.output / "anchors")
        console.print(", ".join(anchors.anchors), style="bold")

    def stages(self) -> tuple[Stage, ...]:
        """Return one for each policy."""
        size = f"{self.seeds} seeds, {self.steps} steps of {self.batch_size} rows each"
        command = self.commands()["pretrain"]
        return tuple(
            Stage(
                f"Pretraining with {label}: {size}",
                command.replace("difference.yaml", f"{policy}.yaml"),
                {policy: label},
            )
            for policy, label in self.policies.items()
        )

    def config(self, run: str, seed: int = 0) -> TextConfig:
        """Return the settings of a run with a seed, of which the first has number 0."""
        output = self.output / run / f"seed-{seed}"
        # the first run trains the head that the model lacks, and all others begin with it
        head = self.output / next(iter(self.policies)) / "seed-0" / HEAD_FILE
        return TextConfig(
            model=self.model,
            output=str(output),
            data=TextDataConfig(
                train=(str(self.output / "text" / "train.jsonl"),),
                eval=(str(self.output / "text" / "heldout.jsonl"),),
                num_processes=1,
                cache=str(self.output / "cache"),
            ),
            masking=TextMaskingConfig(policy=run, anchors=str(self.output / "anchors"), seed=self.seed + seed),
            head=HeadConfig(
                steps=self.head_steps, weights=str(head) if head.exists() and output != head.parent else None
            ),
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

    def make_task(self, data: list[Documented], console: Console) -> None:
        """Write the texts and labels of the task.

        Raises:
            InputError: If too few subpackages have enough texts.
        """
        training = [document for document in data if not document.is_held_out]
        counts = Counter(document.label for document in training)
        labels = {label for label, count in counts.items() if count >= self.min_texts}
        tests = [document for document in data if document.is_held_out and document.label in labels]
        if len(labels) < 2 or not tests:
            raise InputError("the installed documentation has too few subpackages to tell apart; install scikit-learn")
        taken = list(_at_most(training, labels))
        folder = self.output / "task"
        folder.mkdir()
        write_documents(taken, folder / "train.jsonl")
        write_documents(tests, folder / "test.jsonl")
        console.print(
            f"{len(labels)} subpackages; {len(taken):,} texts to learn from, {len(tests):,} held-out ones to tell"
        )

    def evaluations(self) -> Mapping[str, EvaluateSettings]:
        """Return how models are evaluated: by a probe on the subpackages."""
        task = TaskSettings((str(self.output / "task"),), name="subpackages", text="text", label="label")
        probe = ProbeSettings(regularisations=(0.001, 0.01, 0.1))
        settings = EvaluateSettings(
            self.start(), task, method=PROBE, metric="accuracy", max_length=_MAX_LENGTH, probe=probe
        )
        return {"": settings}

    def facts(self, data: list[Documented]) -> list[tuple[str, str]]:
        """Return how much text, which model and reference, and how many steps."""
        anchors = load_anchors(self.output / "anchors")
        return [
            ("text", f"{len(data):,} documents, {_count_words(data):,} words"),
            ("model", self.model),
            ("reference", anchors.metadata["reference"]["name"]),
            ("steps", f"{self.steps:,} of {self.batch_size} rows"),
            ("mask ratio", f"{self.config('whole-word').masking.ratio.start:g}"),
        ]


def _count_words(documents: Sequence[Documented]) -> int:
    """Return the words of documents, as spaces divide them."""
    return sum(len(document.text.split()) for document in documents)


def _at_most(documents: Sequence[Documented], labels: set[str]) -> Iterator[Documented]:
    taken: Counter[str] = Counter()
    # neighbours in one file are much alike, so the order is that of a hash
    for document in sorted(documents, key=lambda each: hashlib.blake2b(each.name.encode(), digest_size=16).digest()):
        if document.label in labels and taken[document.label] < _MAX_TEXTS:
            taken[document.label] += 1
            yield document
