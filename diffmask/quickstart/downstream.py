"""The task at the end of the quickstart: which subpackage does a text document?"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from diffmask.config.evaluation import PROBE, EvaluateSettings, ProbeSettings, TaskSettings
from diffmask.core.errors import InputError
from diffmask.demo.docstrings import Documented, is_held_out, write_documents
from diffmask.evaluate.compare import CompareSettings, Comparison, compare
from diffmask.evaluate.results import read_results
from diffmask.evaluate.run import evaluate
from diffmask.quickstart.losses import BEFORE
from diffmask.quickstart.plan import RUNS, Plan

MAX_TEXTS = 40
"""Of a subpackage with more training texts, so many are taken."""
MAX_LENGTH = 64
"""Tokens of a text that are read: the first sentences say what it is about."""
PROBING = ProbeSettings(regularisations=(0.001, 0.01, 0.1))


def write_task(plan: Plan, documents: Sequence[Documented]) -> str:
    """Write the texts and labels of the task, and return what it consists of in a few words.

    Raises:
        InputError: If too few subpackages have enough texts.
    """
    training = [document for document in documents if not is_held_out(document)]
    counts = Counter(document.label for document in training)
    labels = {label for label, count in counts.items() if count >= plan.min_texts}
    tests = [document for document in documents if is_held_out(document) and document.label in labels]
    if len(labels) < 2 or not tests:
        raise InputError("the installed documentation has too few subpackages to tell apart; install scikit-learn")
    taken = list(_at_most(training, labels))
    folder = plan.output / "task"
    folder.mkdir()
    write_documents(taken, folder / "train.jsonl")
    write_documents(tests, folder / "test.jsonl")
    return f"{len(labels)} subpackages; {len(taken):,} texts to learn from, {len(tests):,} held-out ones to tell"


def _at_most(documents: Sequence[Documented], labels: set[str]) -> Iterator[Documented]:
    taken: Counter[str] = Counter()
    # neighbours in one file are much alike
    for document in sorted(documents, key=lambda each: hashlib.blake2b(each.name.encode(), digest_size=16).digest()):
        if document.label in labels and taken[document.label] < MAX_TEXTS:
            taken[document.label] += 1
            yield document


def evaluate_all(plan: Plan, *, progress: bool) -> Comparison:
    """Probe the model that was not continued, and those of each policy and seed, and compare them."""
    folder = plan.output / "evaluation"
    _probe(plan, plan.model, BEFORE, folder / "none", range(plan.seeds), progress=progress)
    for policy, label in RUNS.items():
        for seed in range(plan.seeds):
            run = plan.config(policy, seed).output
            _probe(plan, run, label, folder / policy, range(seed, seed + 1), progress=progress)
    results = read_results([folder / "none", *(folder / policy for policy in RUNS)])
    return compare(results, CompareSettings(metric="accuracy", all_pairs=True))


def _probe(plan: Plan, model: str, name: str, output: Path, seeds: range, *, progress: bool) -> None:
    task = TaskSettings((str(plan.output / "task"),), name="subpackages", text="text", label="label")
    settings = EvaluateSettings(
        model=model,
        task=task,
        method=PROBE,
        seeds=len(seeds),
        first_seed=seeds[0],
        metric="accuracy",
        max_length=MAX_LENGTH,
        name=name,
        output=str(output),
        probe=PROBING,
    )
    evaluate(settings, progress=progress)
