"""The steps of the quickstart, one after the other."""

from pathlib import Path

import yaml
from rich.console import Console

from diffmask.assemble.text import TextMasking
from diffmask.config import to_mapping
from diffmask.demo.docstrings import Documented, is_held_out, read_docstrings, write_documents
from diffmask.pretrain import pretrain
from diffmask.quickstart.downstream import evaluate_all, write_task
from diffmask.quickstart.plan import RUNS, SUBPACKAGES, Plan
from diffmask.quickstart.steps import MARKER, claim, mean_losses, step
from diffmask.quickstart.story import LOSS_LIMIT, TASK_LIMIT, count_words, story
from diffmask.report.compare.losses import result_table
from diffmask.report.compare.tables import print_comparison
from diffmask.report.html.curves import Log, read_log
from diffmask.report.html.page import write_page
from diffmask.report.preview.build_look import build_look
from diffmask.report.preview.heatmap_terminal import print_preview
from diffmask.report.preview.preview import PreviewSettings, make_preview
from diffmask.text.anchors.find import build_anchors
from diffmask.text.corpus.documents import read_documents
from diffmask.text.model.load import load_tokenizer
from diffmask.version import __version__

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
    record = {"version": __version__, "steps": plan.steps, "seed": plan.seed, "model": plan.model}
    claim(plan.output, _OURS, record, overwrite=overwrite)
    (plan.output / "text").mkdir()
    documents = _write_text(plan, console)
    commands = plan.commands()
    with step(
        console, "2/6", "Anchors: the words that make this text different from English in general", commands["anchors"]
    ):
        anchors = build_anchors(plan.anchor_settings, commands["anchors"])
        anchors.save(plan.output / "anchors")
        console.print(", ".join(anchors.anchors), style="bold")
    with step(console, "3/6", "Preview: what each policy would hide", commands["preview"]):
        settings = PreviewSettings(num_sentences=6)
        maskings = {label: TextMasking.resolve(plan.config(name).masking) for name, label in RUNS.items()}
        looks = {label: build_look(each, tokenizer, anchors) for label, each in maskings.items()}
        text = read_documents(plan.config("whole-word").data.train)
        preview = make_preview(text, looks, anchors, tokenizer, settings)
        print_preview(preview, console, 3)
    logs = _pretrain_all(plan, console, progress=progress)
    if logs is None:
        console.print("\nstopped; the same command starts over")
        return None
    results = mean_losses(logs)
    console.print()
    console.print(result_table(results))
    console.print(f"\n{LOSS_LIMIT}")
    question = "Which subpackage does a text document? Logistic regression on what each model makes of it"
    with step(console, "6/6", question, commands["evaluate"]):
        console.print(write_task(plan, documents))
        downstream = evaluate_all(plan, progress=progress)
    print_comparison(downstream, console)
    console.print(f"\n{TASK_LIMIT}")
    path = plan.output / PAGE
    first = {label: seeds[0] for label, seeds in logs.items()}
    write_page(story(plan, documents, anchors, preview, first, results, downstream), path)
    console.print(f"\nEverything is in {plan.output}. Open the page: {path}", highlight=False)
    return path


def _write_text(plan: Plan, console: Console) -> list[Documented]:
    with step(console, "1/6", f"Text: {plan.text_name}, as installed here"):
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
        with step(console, f"{4 + place}/6", title, command):
            for seed in range(plan.seeds):
                outcome = pretrain(plan.config(policy, seed), progress=progress)
                if outcome.interrupted:
                    return None
                logs.setdefault(label, []).append(read_log(outcome.folder / "log.jsonl"))
    return logs
