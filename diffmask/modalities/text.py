"""Text: masked language models, words and tokens."""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from diffmask.assemble.modality import Modality, RowSizes, Words
from diffmask.config import TextConfig
from diffmask.core.errors import InputError

if TYPE_CHECKING:
    from diffmask.text.anchors.anchor_set import AnchorSet

_NUM_SHOWN = 12
"""Words with the highest and the lowest scores that a summary names."""


class _Text(Modality):
    name = "text"
    config = TextConfig
    words = Words(
        samples="text",
        wholes="words",
        parts="tokens",
        ratio_note="At least one word of every row is masked, so that short rows lie above a small ratio.",
        anchor_lead=(
            "The words that make this domain different: many times more frequent here than in general. Difference "
            "masking prefers what is similar to them."
        ),
    )
    data = "texts"
    options = {
        "anchors": ("model", "min_count", "preset", "reduce", "context_words", "column", "num_processes"),
        "preview": ("num_sentences", "column"),
    }
    model_types = ()  # any that is not of another modality

    def holds(self, sources, expected) -> bool:
        return True

    def anchors(self):
        return _TextAnchors()

    @property
    def evaluation(self):
        from diffmask.evaluate.methods.text import TextMethods

        return TextMethods()

    @property
    def masking(self):
        from diffmask.assemble.text import TextMasking

        return TextMasking

    def subject(self, config, masking):
        from diffmask.pretrain.text import TextSubject

        return TextSubject(config, masking)

    def row_sizes(self, config, masking, *, read_data: bool) -> RowSizes:
        from diffmask.pretrain.text import text_row_sizes

        return text_row_sizes(config, masking, read_data=read_data)

    @property
    def source(self):
        from diffmask.report.text.source import TextSource

        return TextSource

    def masked_in(self, folder, config, inputs):
        from diffmask.report.run.masked_text import MaskedText

        return MaskedText(folder, config, inputs)


class _TextAnchors:
    """`diffmask anchors` of text."""

    fixed = ("num_anchors", "min_count")

    @property
    def names(self) -> tuple[str, ...]:
        from diffmask.text.anchors.anchor_set import NAMES

        return NAMES

    def check(self, given: Mapping[str, Any]) -> None:
        if "model" not in given:
            raise InputError("--model is missing; give the model that is continued: a folder, a hub name, or minilm")
        if given.get("preset") == "published" and "context_words" in given:
            raise InputError(
                f"--context-words {given['context_words']} has no effect with --preset published, which reads words on "
                "their own; leave one out"
            )

    def find(self, given: Mapping[str, Any], command: str):
        from diffmask.text.anchors.find import AnchorSettings, build_anchors

        options = {"reference": ["wordfreq:en"], **given}
        read = {each.name for each in fields(AnchorSettings)} & options.keys()
        return build_anchors(AnchorSettings(**{name: options[name] for name in read}), command)

    def save(self, found, folder: str, *, overwrite: bool) -> None:
        found.save(folder, overwrite=overwrite)

    def summary(self, found) -> list[str]:
        """Return the anchors as a table, and the words with the highest and lowest scores."""
        return list_words(found)

    def next_steps(self, given: Mapping[str, Any], folder: str) -> list[str]:
        return [
            f"edit {folder}/anchors.csv if you know better words, and add to the command:",
            f"            --anchors {folder}/anchors.csv --overwrite",
            f"look:       diffmask preview {shlex.join(given['data'])} --anchors {folder}",
            f"train:      diffmask pretrain CONFIG model={given['model']} masking.anchors={folder}",
        ]


def list_words(anchors: "AnchorSet") -> list[str]:
    """Return lines of a table of anchors, and the words with the highest and lowest scores."""
    record = anchors.metadata
    totals = f"{record['num_documents']:,} documents, {record['num_words']:,} words, {len(anchors.types):,} types"
    width = max(12, *(len(anchor) for anchor in anchors.anchors))
    lines = [
        f"{totals}; reference {record['reference']['name']}",
        "",
        f"{'anchor':{width}}  {'count':>7}  {'per million':>11}  {'in general':>10}  {'times':>8}",
    ]
    for anchor, tf_icf, count, domain, reference in anchors.rows():
        numbers = f"{1e6 * domain:11,.1f}  {1e6 * reference:10,.1f}  {tf_icf:8,.0f}"
        lines.append(f"{anchor:{width}}  {count:7,}  {numbers if count else 'not in the data':>33}".rstrip())
    frequent = [row for row, count in enumerate(anchors.counts.tolist()) if count >= record["min_count"]]
    order = sorted(frequent or range(len(anchors.types)), key=lambda row: -anchors.scores[row].item())
    highest = ", ".join(anchors.types[row] for row in order[:_NUM_SHOWN])
    lowest = ", ".join(anchors.types[row] for row in order[::-1][:_NUM_SHOWN])
    return [*lines, "", f"masked most: {highest}", f"masked least: {lowest}"]


MODALITY = _Text()
