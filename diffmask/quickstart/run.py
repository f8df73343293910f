"""The steps of the quickstart, one after the other."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from rich.console import Console

import diffmask
from diffmask.build import build_look
from diffmask.config import to_mapping
from diffmask.core.errors import InputError
from diffmask.pretrain import HEAD_FILE, pretrain
from diffmask.quickstart.plan import RUNS, SUBPACKAGES, Plan
from diffmask.quickstart.story import LIMITS, count_words, story
from diffmask.report.curves import Log, read_log
from diffmask.report.page import write_page
from diffmask.report.preview import PreviewSettings, make_preview
from diffmask.report.results import read_results, result_table
from diffmask.report.terminal import print_preview
from diffmask.text.anchors import build_anchors
from diffmask.text.corpus import read_documents
from diffmask.text.docstrings import Documented, is_held_out, read_docstrings, write_documents
from diffmask.text.load import load_tokenizer
from diffmask.train.folder import SETTINGS_FILE

MARKER = "quickstart.json"
PAGE = "quickstart.html"
_OURS = (MARKER, PAGE, "text", "anchors", "cache", *RUNS, *(f"{name}.yaml" for name in RUNS))


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
        console, "2/5", "Anchors: the words that make this text different from English in general", commands["anchors"]
    ):
        anchors = build_anchors(plan.anchor_settings, commands["anchors"])
        anchors.save(plan.output / "anchors")
        console.print(", ".join(anchors.anchors), style="bold")
    with _step(console, "3/5", "Preview: what each policy would hide", commands["preview"]):
        settings = PreviewSettings(num_sentences=6)
        looks = {label: build_look(plan.config(name).masking, tokenizer, anchors) for name, label in RUNS.items()}
        text = read_documents(plan.config("whole-word").data.train)
        preview = make_preview(text, looks, anchors, tokenizer, settings)
        print_preview(preview, console, 3)
    logs = _pretrain_all(plan, console, progress=progress)
    if len(logs) < len(RUNS):
        console.print("\nstopped; the same command starts over")
        return None
    results = read_results(logs)
    console.print()
    console.print(result_table(results))
    for limit in LIMITS:
        console.print(f"\n{limit}")
    path = plan.output / PAGE
    write_page(story(plan, documents, anchors, preview, logs), path)
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
    with _step(console, "1/5", f"Text: {plan.text_name}, as installed here"):
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


def _pretrain_all(plan: Plan, console: Console, *, progress: bool) -> dict[str, Log]:
    """Continue the model once per policy, and return the logs of the runs that were completed."""
    logs: dict[str, Log] = {}
    for place, (policy, label) in enumerate(RUNS.items()):
        config = plan.config(policy)
        written = yaml.safe_dump(to_mapping(config), sort_keys=False)
        (plan.output / f"{policy}.yaml").write_text(written, encoding="utf-8")
        title = f"Pretraining with {label}: {plan.steps} steps of {plan.batch_size} rows"
        command = plan.commands()["pretrain"].replace("difference.yaml", f"{policy}.yaml")
        with _step(console, f"{4 + place}/5", title, command):
            if place:
                _share_head(plan.output / next(iter(RUNS)), Path(config.output), written)
            outcome = pretrain(config, resume=place > 0, progress=progress)
            if outcome.interrupted:
                return logs
            logs[label] = read_log(outcome.folder / "log.jsonl")
    return logs


def _share_head(trained: Path, folder: Path, settings: str) -> None:
    """Begin a run with the head of another: it would train the same one, from the same seed on the same masks."""
    if (trained / HEAD_FILE).exists():
        folder.mkdir()
        shutil.copy(trained / HEAD_FILE, folder / HEAD_FILE)
        (folder / SETTINGS_FILE).write_text(settings, encoding="utf-8")


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
