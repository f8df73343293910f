"""The page of the quickstart, and what it says about its own result."""

from collections.abc import Mapping, Sequence

from diffmask.quickstart.plan import Plan
from diffmask.report.curves import Log
from diffmask.report.heatmap import anchor_section, heat_section, number_section
from diffmask.report.page import code, header, page, paragraph, section
from diffmask.report.preview import Preview
from diffmask.report.results import curve_section, read_results, result_section
from diffmask.text.anchors import AnchorSet
from diffmask.text.docstrings import Documented

LIMITS = (
    "What this shows: both runs saw the same text in the same order, at the same mask ratio, for the same number of "
    "steps, and started from the same model and the same freshly trained prediction head. The losses are on the same "
    "held-out text under the same random masks.",
    "What it does not show: which policy is better. This is one seed, a small model and minutes of training; a "
    "difference of a few hundredths may turn around with another seed. Difference masking trains on other words than "
    "the evaluation asks for, so its loss on all words may well be higher. Whether a continued model serves a task "
    "better is to be measured on that task, with several seeds.",
)

COMMANDS_LEAD = (
    "These commands do the same. On your own data, put your files in the place of the text and your model in the place "
    "of the name after --model; a model is a folder or a name on the hub."
)


def story(
    plan: Plan, documents: Sequence[Documented], anchors: AnchorSet, preview: Preview, logs: Mapping[str, Log]
) -> str:
    """Return the page."""
    facts = [
        ("text", f"{len(documents):,} documents, {count_words(documents):,} words"),
        ("model", plan.model),
        ("reference", anchors.metadata["reference"]["name"]),
        ("steps", f"{plan.steps:,} of {plan.batch_size} rows"),
        ("mask ratio", f"{plan.config('whole-word').masking.ratio.start:g}"),
        ("seed", str(plan.seed)),
    ]
    lead = (
        f"A pretrained model, continued on {plan.text_name}: once with random masks, once with masks that prefer what "
        "makes this text different."
    )
    threshold = plan.config("whole-word").masking.domain_threshold
    return page(
        "diffmask quickstart",
        [
            header("Difference-Masking, start to finish", lead, facts),
            result_section(read_results(logs), *LIMITS),
            curve_section(logs),
            anchor_section(anchors),
            heat_section(preview),
            number_section(preview, threshold),
            section("Each step by itself", paragraph(COMMANDS_LEAD), code("\n".join(plan.commands().values()))),
        ],
    )


def count_words(documents: Sequence[Documented]) -> int:
    """Return the words of documents, as spaces divide them."""
    return sum(len(document.text.split()) for document in documents)
