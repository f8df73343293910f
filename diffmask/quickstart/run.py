"""The steps of the quickstart, one after the other."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from rich.console import Console

import diffmask
from diffmask.build import build_look
from diffmask.config import to_mapping
from diffmask.core.errors import InputError
from diffmask.pretrain import pretrain
from diffmask.quickstart.downstream import evaluate_all, write_task
from diffmask.quickstart.plan import RUNS, SUBPACKAGES, Plan
from diffmask.quickstart.story import LOSS_LIMIT, TASK_LIMIT, count_words, story
from diffmask.report.comparison import print_comparison
from diffmask.report.curves import Log, read_log
from diffmask.report.page import write_page
from diffmask.report.preview import PreviewSettings, make_preview
from diffmask.report.results import Result, mean_results, read_results, result_table
from diffmask.report.terminal import print_preview
from diffmask.text.anchors import build_anchors
from diffmask.text.corpus import read_documents
from diffmask.text.docstrings import Documented, is_held_out, read_docstrings, write_documents
from diffmask.text.load import load_tokenizer

MARKER = "quickstart.json"
PAGE = "quickstart.html"
_OURS = (MARKER, PAGE, "text", "task", "anchors", "cache", "evaluation", *RUNS, *(f"{name}.yaml" for name in RUNS))


def run_quickstart(plan: Plan, console: Console, *, overwrite: bool = False, progress: bool = False) -> Path | None:
    """Do every step, and return the page; None if it was interrupted.

    Args:
        plan: How large.
        console: What is done is printed here.
        overwrite: Write into a folder that holds something else.
        progress: Show progress bars.

    Raises:
        InputError: If the folder holds something else, or what the quickstart needs is not installed.
    """
    tokenizer = load_tokenizer(plan.model)  # what is missing is said first
    _claim(plan, overwrite=overwrite)
    documents = _write_text(plan, console)
    commands = plan.commands()
    with _step(
        console, "2/6", "Anchors: the words that make this text different from English in general", commands["anchors"]
    ):
        anchors = build_anchors(plan.anchor_settings, commands["anchors"])
        anchors.save(plan.output / "anchors")
        console.print(", ".join(anchors.anchors), style="bold")
    with _step(console, "3/6", "Preview: what each policy would hide", commands["preview"]):
        settings = PreviewSettings(num_sentences=6)
        looks = {label: build_look(plan.config(name).masking, tokenizer, anchors) for name, label in RUNS.items()}
        text = read_documents(plan.config("whole-word").data.train)
        preview = make_preview(text, looks, anchors, tokenizer, settings)
        print_preview(preview, console, 3)
    logs = _pretrain_all(plan, console, progress=progress)
    if logs is None:
        console.print("\nstopped; the same command starts over")
        return None
    results = _mean_losses(logs)
    console.print()
    console.print(result_table(results))
    console.print(f"\n{LOSS_LIMIT}")
    question = "Which subpackage does a text document? Logistic regression on what each model makes of it"
    with _step(console, "6/6", question, commands["evaluate"]):
        console.print(write_task(plan, documents))
        downstream = evaluate_all(plan, progress=progress)
    print_comparison(downstream, console)
    console.print(f"\n{TASK_LIMIT}")
    path = plan.output / PAGE
    first = {label: seeds[0] for label, seeds in logs.items()}
    write_page(story(plan, documents, anchors, preview, first, results, downstream), path)
    console.print(f"\nEverything is in {plan.output}. Open the page: {path}", highlight=False)
    return path


def _claim(plan: Plan, *, overwrite: bool) -> None:
    """Make the folder; what an earlier quickstart left in it is deleted, and nothing else."""
    folder = plan.output
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the output {folder} is a file; give the name of a folder with -o")
    ours = (folder / MARKER).exists()
    if folder.exists() and any(folder.iterdir()) and not ours and not overwrite:
        raise InputError(
            f"the folder {folder} exists and was not made by the quickstart; give another with -o, or use --overwrite "
            f"to write into it ({', '.join(_OURS)} are then replaced)"
        )
    for name in _OURS:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (folder / "text").mkdir(parents=True)
    record = {"version": diffmask.__version__, "steps": plan.steps, "seed": plan.seed, "model": plan.model}
    (folder / MARKER).write_text(json.dumps(record) + "\n", encoding="utf-8")


def _write_text(plan: Plan, console: Console) -> list[Documented]:
    with _step(console, "1/6", f"Text: {plan.text_name}, as installed here"):
        documents = list(read_docstrings(plan.sources, SUBPACKAGES))
        held_out = [document for document in documents if is_held_out(document)]
        write_documents([each for each in documents if not is_held_out(each)], plan.output / "text" / "train.jsonl")
        write_documents(held_out, plan.output / "text" / "heldout.jsonl")
        console.print(
            f"{len(documents):,} functions and classes of {len({each.label for each in documents})} subpackages, "
            f"{count_words(documents):,} words; {len(held_out):,} are held out, and no sentence comes twice"
        )
        console.print("On your own data: any .txt, .jsonl, .csv or .parquet will do", style="dim")
    return documents


def _pretrain_all(plan: Plan, console: Console, *, progress: bool) -> dict[str, list[Log]] | None:
    """Continue the model once per policy and seed, and return the logs; None if it was interrupted."""
    logs: dict[str, list[Log]] = {}
    for place, (policy, label) in enumerate(RUNS.items()):
        written = yaml.safe_dump(to_mapping(plan.config(policy)), sort_keys=False)
        (plan.output / f"{policy}.yaml").write_text(written, encoding="utf-8")
        title = f"Pretraining with {label}: {plan.seeds} seeds, {plan.steps} steps of {plan.batch_size} rows each"
        command = plan.commands()["pretrain"].replace("difference.yaml", f"{policy}.yaml")
        with _step(console, f"{4 + place}/6", title, command):
            for seed in range(plan.seeds):
                outcome = pretrain(plan.config(policy, seed), progress=progress)
                if outcome.interrupted:
                    return None
                logs.setdefault(label, []).append(read_log(outcome.folder / "log.jsonl"))
    return logs


def _mean_losses(logs: Mapping[str, Sequence[Log]]) -> list[Result]:
    """Return the means over seeds; all runs begin alike, and the first of them has looked at it."""
    before = next(iter(logs.values()))[0][:1]
    seeds = range(len(next(iter(logs.values()))))
    return mean_results(
        [read_results({label: [*before, *each[seed]] for label, each in logs.items()}) for seed in seeds]
    )


@contextmanager
def _step(console: Console, number: str, title: str, command: str = "") -> Iterator[None]:
    """Print what is done, what a user types for it, and how long it took."""
    console.print()
    console.rule(f"[bold]{number}[/] {title}", align="left", style="dim")
    if command:
        console.print(f"$ {command}", style="cyan", highlight=False, markup=False, soft_wrap=True)
    start = time.monotonic()
    yield
    console.print(f"{time.monotonic() - start:.0f} s", style="dim", highlight=False)
