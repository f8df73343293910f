"""The page of the quickstart, and what it says about its own result."""

from collections.abc import Mapping, Sequence

from diffmask.demo.docstrings import Documented
from diffmask.evaluate.compare import Comparison
from diffmask.quickstart.losses import HeldOutLoss, curve_section, loss_section
from diffmask.quickstart.plan import Plan
from diffmask.report.comparison import comparison_sections, finding
from diffmask.report.html.page import code, header, page, paragraph, section
from diffmask.report.text.preview import TextPreview
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.train.log import Log

LOSS_LIMIT = (
    "Means over the seeds. All runs saw the same text, those of one seed in the same order, at the same mask ratio, "
    "for the same number of steps, and started from the same model and the same freshly trained prediction head. The "
    "losses are on the same held-out text under the same random masks. Difference masking trains on other words than "
    "these masks ask for, so its loss on all words may well be higher; which policy is better for a task is not to be "
    "seen here."
)
TASK_LIMIT = (
    "What this does not show: which policy is better in general. It is one small task about the very text that was "
    "trained on, with frozen features, few held-out texts, a small model and minutes of training. Where it says that "
    "no difference is shown, that is the result; longer training, more seeds and your own task may tell more."
)

COMMANDS_LEAD = (
    "These commands do the same. On your own data, put your files in the place of the text and your model in the place "
    "of the name after --model; a model is a folder or a name on the hub."
)


def story(
    plan: Plan,
    documents: Sequence[Documented],
    anchors: AnchorSet,
    preview: TextPreview,
    logs: Mapping[str, Log],
    losses: Sequence[HeldOutLoss],
    downstream: Comparison,
) -> str:
    """Return the page; the logs are those of the first seed, the losses are means over the seeds."""
    facts = [
        ("text", f"{len(documents):,} documents, {count_words(documents):,} words"),
        ("model", plan.model),
        ("reference", anchors.metadata["reference"]["name"]),
        ("steps", f"{plan.steps:,} of {plan.batch_size} rows"),
        ("mask ratio", f"{plan.config('whole-word').masking.ratio.start:g}"),
        ("seeds", ", ".join(str(plan.seed + seed) for seed in range(plan.seeds))),
    ]
    lead = (
        f"A pretrained model, continued on {plan.text_name}: once with random masks, once with masks that prefer what "
        "makes this text different."
    )
    return page(
        "diffmask quickstart",
        [
            header("Difference-Masking, start to finish", lead, facts),
            section("Which subpackage does a text document?", paragraph(finding(downstream)), paragraph(TASK_LIMIT)),
            *comparison_sections(downstream),
            loss_section(losses, LOSS_LIMIT),
            curve_section(logs),
            preview.sections(),
            section("Each step by itself", paragraph(COMMANDS_LEAD), code("\n".join(plan.commands().values()))),
        ],
    )


def count_words(documents: Sequence[Documented]) -> int:
    """Return the words of documents, as spaces divide them."""
    return sum(len(document.text.split()) for document in documents)
