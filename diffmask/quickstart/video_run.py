"""The steps of the quickstart on video, one after the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from rich.console import Console

from diffmask.assemble.video import VideoMasking
from diffmask.config import VideoConfig, to_mapping
from diffmask.demo.rendered_clips import render_digits
from diffmask.evaluate.compare.compare import CompareSettings, compare
from diffmask.evaluate.compare.results import read_results
from diffmask.evaluate.run import evaluate
from diffmask.pretrain import pretrain
from diffmask.quickstart.steps import MARKER, claim, mean_losses, step
from diffmask.quickstart.video_plan import GENERAL, RUNS, VideoPlan
from diffmask.quickstart.video_story import LOSS_LIMIT, TASK_LIMIT, story
from diffmask.report.clips.build_look import build_clip_look
from diffmask.report.clips.page import print_clip_preview
from diffmask.report.clips.preview import ClipPreview
from diffmask.report.compare.losses import BEFORE, result_table
from diffmask.report.compare.tables import ComparisonTable, print_comparison
from diffmask.report.compare.write import comparison_table
from diffmask.report.html.curves import Log, read_log
from diffmask.report.html.page import write_page
from diffmask.report.run.masked_clips import gather_clips, load_trained, preview_clips, spread_out
from diffmask.version import __version__
from diffmask.video.anchors.anchor_set import VisualAnchors
from diffmask.video.anchors.contact_sheet import draw_sheet
from diffmask.video.anchors.find import build_visual_anchors
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import index_clips, write_index

PAGE = "quickstart.html"
NUM_SHOWN = 4
_INDEXES = ("general", "domain", "train", "test")
_OURS = (
    MARKER, PAGE, "clips", "fresh", GENERAL, "anchors", "cache", "evaluation", *RUNS,
    *(f"{name}.yaml" for name in (GENERAL, *RUNS)), *(f"{name}.parquet" for name in _INDEXES),
)  # fmt: skip


def run_video_quickstart(
    plan: VideoPlan, console: Console, *, overwrite: bool = False, progress: bool = False
) -> Path | None:
    """Do every step, and return the page; None if it was interrupted.

    Args:
        plan: How large.
        console: What is done is printed here.
        overwrite: Write into a folder that holds something else.
        progress: Show progress bars.

    Raises:
        InputError: If the folder holds something else, or clips cannot be encoded here.
    """
    record = {"version": __version__, "steps": plan.steps, "seed": plan.seed, "modality": "video"}
    claim(plan.output, _OURS, record, overwrite=overwrite)
    commands = plan.commands()
    with step(console, "1/7", "Clips: rendered, encoded and indexed", commands["index"]):
        clips = _make_clips(plan, console, progress=progress)
    title = f"A general model: {plan.general_steps} steps on clips without digits, from random weights"
    with step(console, "2/7", title, commands["general"]):
        plan.make_model()
        if _pretrain(plan, plan.general_config(), progress=progress) is None:
            return _stopped(console)
    with step(console, "3/7", "Anchors: what is seen in these clips and not in the general ones", commands["anchors"]):
        anchors, patches = build_visual_anchors(plan.anchor_settings, commands["anchors"], progress=progress)
        anchors.save(plan.path("anchors"), draw_sheet(anchors, patches))
        console.print(f"{len(anchors.names)} anchors; look at {plan.path('anchors', 'sheet.png')}", highlight=False)
    with step(console, "4/7", "Preview: what each policy would hide", commands["preview"]):
        print_clip_preview(_preview(plan, clips["test"], anchors, None), console)
    logs = _pretrain_all(plan, console, progress=progress)
    if logs is None:
        return _stopped(console)
    losses = mean_losses(logs)
    console.print(result_table(losses, "patches"))
    console.print(f"\n{LOSS_LIMIT}")
    with step(
        console, "6/7", "Which digit? Logistic regression on what each model makes of a clip", commands["evaluate"]
    ):
        downstream = _evaluate_all(plan, progress=progress)
    print_comparison(downstream, console)
    console.print(f"\n{TASK_LIMIT}")
    with step(console, "7/7", "The page, with masks and what the continued model makes of them"):
        preview = _preview(plan, clips["test"], anchors, plan.config("difference"))
        first = {label: seeds[0] for label, seeds in logs.items()}
        path = plan.output / PAGE
        write_page(story(plan, clips, preview, first, losses, downstream), path)
    console.print(f"\nEverything is in {plan.output}. Open the page: {path}", highlight=False)
    return path


def _stopped(console: Console) -> None:
    console.print("\nstopped; the same command starts over")


def _make_clips(plan: VideoPlan, console: Console, *, progress: bool) -> dict[str, list[Clip]]:
    """Render and index the clips, and return those of each index."""
    made = render_digits(
        plan.output / "clips",
        num_general=plan.general,
        num_domain=plan.domain,
        num_test=plan.test,
        seed=plan.seed,
        progress=progress,
    )
    found = {
        name: list(index_clips([folder], num_processes=2, joins=[made.labels], progress=progress))
        for name, folder in (("general", made.general), ("domain", made.domain))
    }
    for split in ("train", "test"):
        found[split] = [clip for clip in found["domain"] if clip.split == split]
    for name, clips in found.items():
        write_index(plan.path(f"{name}.parquet"), clips)
    console.print(
        f"{len(found['general'])} clips of shapes and strokes over moving clutter; {len(found['train'])} with a digit "
        f"to train on, {len(found['test'])} to test on, each of other people's handwriting"
    )
    console.print("On your own data: any folder of clips will do", style="dim")
    return found


def _pretrain(plan: VideoPlan, config: VideoConfig, *, progress: bool) -> Log | None:
    """Run a config, written beside its run; return its log, or None if it was interrupted."""
    run = Path(config.output)
    top = run.relative_to(plan.output).parts[0]
    written = plan.output / f"{top}.yaml"
    if not written.exists():
        written.write_text(yaml.safe_dump(to_mapping(config), sort_keys=False), encoding="utf-8")
    outcome = pretrain(config, progress=progress)
    return None if outcome.interrupted else read_log(run / "log.jsonl")


def _pretrain_all(plan: VideoPlan, console: Console, *, progress: bool) -> dict[str, list[Log]] | None:
    """Continue the general model once per policy and seed, and return the logs; None if it was interrupted."""
    logs: dict[str, list[Log]] = {}
    title = f"Continued: {len(RUNS)} policies, {plan.seeds} seeds, {plan.steps} steps of {plan.batch_size} clips each"
    with step(console, "5/7", title, plan.commands()["pretrain"]):
        for policy, label in RUNS.items():
            for seed in range(plan.seeds):
                log = _pretrain(plan, plan.config(policy, seed), progress=progress)
                if log is None:
                    return None
                logs.setdefault(label, []).append(log)
    return logs


def _preview(
    plan: VideoPlan, clips: Sequence[Clip], anchors: VisualAnchors, trained: VideoConfig | None
) -> ClipPreview:
    """Return what the policies hide of some clips; with a run, also what its model makes of its own masks."""
    config = plan.config("difference")
    grid = load_trained(plan.output / GENERAL / "model", config).grid
    maskings = {label: plan.config(policy).masking for policy, label in RUNS.items()}
    gathered = gather_clips(spread_out(clips, NUM_SHOWN), config, grid, anchors, maskings=list(maskings.values()))
    looks = {label: build_clip_look(VideoMasking.resolve(masking), grid) for label, masking in maskings.items()}
    loaded = None if trained is None else load_trained(Path(trained.output) / "model", trained)
    return preview_clips(gathered, looks, loaded)


def _evaluate_all(plan: VideoPlan, *, progress: bool) -> ComparisonTable:
    """Probe the model that was not continued, and those of each policy and seed, and compare them."""
    folder = plan.output / "evaluation"
    wanted: list[Mapping] = [
        {
            "model": plan.path(GENERAL, "model"),
            "name": BEFORE,
            "output": str(folder / "none"),
            "seeds": range(plan.seeds),
        }
    ]
    for policy, label in RUNS.items():
        wanted += [
            {
                "model": plan.config(policy, seed).output,
                "name": label,
                "output": str(folder / policy),
                "seeds": range(seed, seed + 1),
            }
            for seed in range(plan.seeds)
        ]
    for each in wanted:
        evaluate(plan.evaluation(**each), progress=progress)
    results = read_results([folder / "none", *(folder / policy for policy in RUNS)])
    return comparison_table(compare(results, CompareSettings(metric="accuracy", all_pairs=True)))
