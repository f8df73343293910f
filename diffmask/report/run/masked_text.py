"""What a run masked, seen again: the same held-out sentences as its masker saw them at several of its steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.assemble.recipe import Ingredients
from diffmask.assemble.text import TextMasking, class_names
from diffmask.config import MaskingConfig, PretrainConfig
from diffmask.core.masker import Masker
from diffmask.files.blocks import Block
from diffmask.pretrain.text import choose_held_out, tokenise_settings
from diffmask.report.figures.run_logs import CLASS_LOSS
from diffmask.report.html.curves import Log
from diffmask.report.preview.build_look import build_look, held_at
from diffmask.report.preview.cut import sample_documents
from diffmask.report.preview.look import Look
from diffmask.report.preview.preview import Preview, PreviewSettings, make_preview
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.corpus.documents import Document, read_documents
from diffmask.text.segment.tokenise import row_maker

NUM_SENTENCES = 4
NUM_DOCUMENTS = 400
"""Of the sample that the figures are taken from."""
NUM_READ = 8_000
"""Documents among which held-out ones are looked for."""
_AT_A_TIME = 500


@dataclass(frozen=True)
class Course:
    """How far a run went, with what it logged."""

    log: Log
    last_step: int
    num_steps: int


def preview_run(
    config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, anchors: AnchorSet | None, course: Course
) -> tuple[Preview, str]:
    """Return what the run masked, and which text that is shown on.

    Raises:
        InputError: If something that the config names is not there any more.
    """
    documents, note = held_out_documents(config, tokenizer)
    settings = PreviewSettings(
        num_sentences=NUM_SENTENCES,
        num_documents=NUM_DOCUMENTS,
        max_length=config.data.max_length,
        domain_threshold=config.masking.domain_threshold,
    )
    looks = _looks(config.masking, tokenizer, anchors, course)
    return make_preview(documents, looks, anchors, tokenizer, settings), note


def held_out_documents(config: PretrainConfig, tokenizer: PreTrainedTokenizerBase) -> tuple[list[Document], str]:
    """Return documents that the run did not train on, or, where it held none out, some that it did; and which."""
    data = config.data
    if data.eval:
        found = sample_documents(read_documents(data.eval, data.column), NUM_DOCUMENTS)
        return found, "They are of the held-out text (data.eval)."
    sample = sample_documents(read_documents(data.train, data.column), NUM_READ)
    make_rows = row_maker(tokenizer, tokenise_settings(config, TextMasking.resolve(config.masking)), None)
    held: list[Document] = []
    for start in range(0, len(sample) if data.eval_share > 0 else 0, _AT_A_TIME):
        part = sample[start : start + _AT_A_TIME]
        rows = make_rows(Block("sample", 1, 1.0, [each.text for each in part]))
        chosen = choose_held_out([row.values.to_numpy() for row in rows.batch["input_ids"]], data.eval_share)
        lost = set(rows.documents[~chosen].tolist())
        seen = set(rows.documents.tolist())
        held += [each for number, each in enumerate(part, 1) if number in seen - lost]
        if len(held) >= NUM_DOCUMENTS:
            break
    if held:
        return held[:NUM_DOCUMENTS], "They are of text that was held out of the training."
    return sample[:NUM_DOCUMENTS], "They are of the training text, of which no document was held out whole."


def _looks(
    masking: MaskingConfig, tokenizer: PreTrainedTokenizerBase, anchors: AnchorSet | None, course: Course
) -> dict[str, Look]:
    """Return the masker at several steps; where it never changes, as it is, beside random masking."""
    resolved = TextMasking.resolve(masking)
    whole = build_look(resolved, tokenizer, anchors)
    learns = bool(whole.masker.policy.state_dict())
    ends = [(whole.masker.ratio(at), whole.masker.strength(at)) for at in (step / 20 for step in range(21))]
    if not learns and len(set(ends)) == 1:
        plain = "random-token" if resolved.units == "token" else "whole-word"
        names = dict.fromkeys([plain, masking.policy])
        shown = {name: TextMasking.resolve(TextMasking.for_policy(masking, name)) for name in names}
        looks = {name: build_look(each, tokenizer, anchors) for name, each in shown.items()}
        return looks | {masking.policy: whole}
    looks = {}
    for step in dict.fromkeys([0, course.last_step // 2, max(0, min(course.last_step, course.num_steps) - 1)]):
        made = resolved.masker(Ingredients(masking, anchors, class_names(whole.annotators)))
        masker = held_at(made, step / course.num_steps)
        if learns:
            masker.policy.load_state_dict(_learned_at(masker, class_names(whole.annotators), course.log, step))
        looks[_name(step, masker, varies=len({strength for _, strength in ends}) > 1)] = replace(whole, masker=masker)
    return looks


def _name(step: int, masker: Masker, *, varies: bool) -> str:
    strength = f", strength {100 * masker.strength(0.0):.0f}\u00a0%" if varies else ""
    return f"step {step:,}: ratio {100 * masker.ratio(0.0):.1f}\u00a0%{strength}"


def _learned_at(masker: Masker, names: Sequence[str], log: Log, step: int) -> dict[str, Tensor]:
    """Return what a policy had learned by a step: the losses of classes, which every log line holds."""
    state = dict(masker.policy.state_dict())
    entry = class_losses(names, log, step)
    for key, value in state.items():
        if key.endswith("loss_weighted.losses") and entry is not None:
            state[key] = torch.tensor([entry[CLASS_LOSS + name] for name in names], dtype=value.dtype)
    return state


def class_losses(names: Sequence[str], log: Log, step: int) -> Mapping[str, Any] | None:
    """Return the last log line up to a step that has the losses of all classes."""
    known = [entry for entry in log if entry["step"] <= step and all(CLASS_LOSS + name in entry for name in names)]
    return max(known, key=lambda entry: entry["step"], default=None)
