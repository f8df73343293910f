"""The page of the quickstart on video, and what it says about its own result."""

from collections.abc import Mapping, Sequence

from diffmask.evaluate.compare import Comparison
from diffmask.quickstart.losses import HeldOutLoss, curve_section, loss_section
from diffmask.quickstart.video_plan import VideoPlan
from diffmask.report.clips.preview import ClipPreview
from diffmask.report.comparison import comparison_sections, finding
from diffmask.report.html.page import code, header, page, paragraph, section
from diffmask.train.log import Log
from diffmask.video.clip.clip import Clip

LOSS_LIMIT = (
    "Means over the seeds. All runs saw the same clips, those of one seed the same crops in the same order, at the "
    "same mask ratio, for the same number of steps, and started from the same model. The losses are on the same "
    "held-out clips under the same random tubes. Difference masking trains on other patches than these masks ask for; "
    "which policy is better for a task is not to be seen here."
)
TASK_LIMIT = (
    "What this does not show: which policy is better in general. It is one small task on rendered clips, with frozen "
    "features, a model of a million weights and minutes of training. Where it says that no difference is shown, "
    "that is the result; longer training, more seeds and your own clips may tell more."
)
COMMANDS_LEAD = (
    "These commands do the same. On your own data, put your clips in the place of the rendered ones, and a VideoMAE, a "
    "folder or a name on the hub, in the place of the model in the config."
)


def story(
    plan: VideoPlan,
    clips: Mapping[str, Sequence[Clip]],
    preview: ClipPreview,
    logs: Mapping[str, Log],
    losses: Sequence[HeldOutLoss],
    downstream: Comparison,
) -> str:
    """Return the page; the logs are those of the first seed, the losses are means over the seeds."""
    facts = [
        ("clips", ", ".join(f"{len(clips[name])} {name}" for name in ("general", "train", "test"))),
        ("model", "VideoMAE, 4 layers of 128, 8 frames of 64 x 64 pixels"),
        ("general pretraining", f"{plan.general_steps:,} steps of {plan.batch_size} clips"),
        ("continued", f"{plan.steps:,} steps of {plan.batch_size} clips"),
        ("mask ratio", f"{plan.ratio:g}"),
        ("seeds", ", ".join(str(plan.seed + seed) for seed in range(plan.seeds))),
    ]
    lead = (
        "A small video model, pretrained on shapes that move over clutter and continued on handwritten digits that do: "
        "with random masks, and with masks that prefer what makes these clips different."
    )
    return page(
        "diffmask quickstart --video",
        [
            header("Difference-Masking on clips, start to finish", lead, facts),
            section("Which digit moves through a clip?", paragraph(finding(downstream)), paragraph(TASK_LIMIT)),
            *comparison_sections(downstream),
            loss_section(losses, LOSS_LIMIT, units="patches"),
            curve_section(logs, units="patches"),
            preview.sections("What is hidden, and what the continued model makes of it"),
            section("Each step by itself", paragraph(COMMANDS_LEAD), code("\n".join(plan.commands().values()))),
        ],
    )
