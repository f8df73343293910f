"""What a run on text masked: held-out sentences as its masker saw them at several of its steps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.assemble.recipe import Ingredients
from diffmask.assemble.text import TextMasking, class_names
from diffmask.config import TextConfig
from diffmask.core.masker import Masker
from diffmask.files.blocks import Block
from diffmask.policies.loss_weighted import class_weights
from diffmask.pretrain.text import choose_held_out, tokenise_settings
from diffmask.report.figures.run_logs import CLASS_LOSS
from diffmask.report.html.charts import heat_table
from diffmask.report.html.page import macros
from diffmask.report.preview import hold
from diffmask.report.run.read import Folder, Section
from diffmask.report.text.cut import sample_documents
from diffmask.report.text.look import TextLook
from diffmask.report.text.preview import PreviewSettings, TextPreview
from diffmask.text.anchors.anchor_set import AnchorSet, load_anchors
from diffmask.text.corpus.documents import Document, describe_sources, read_documents
from diffmask.text.model.load import load_tokenizer
from diffmask.text.segment.tokenise import row_maker
from diffmask.train.log import Log

_NUM_SENTENCES = 4
_NUM_DOCUMENTS = 400
"""Of the sample that the figures are taken from."""
_NUM_READ = 8_000
"""Documents among which held-out ones are searched."""
_AT_A_TIME = 500
_MOST_STEPS = 8
"""Steps at which the weights of classes are shown."""


class MaskedText:
    """What a run on text masked: a `Masked`."""

    def __init__(self, folder: Folder, config: TextConfig | None, inputs: Mapping[str, Any]):
        self._folder, self._config, self._inputs = folder, config, inputs
        self._known = None if config is None else self._read_anchors(config)

    @property
    def anchors(self) -> Sequence[tuple[str, float]]:
        """The anchors that the run used, with their TF-ICF where it is known."""
        known = [] if self._known is None else [(name, times) for name, times, *_ in self._known.rows()]
        return known or [(name, 0.0) for name in self._inputs.get("anchors", {}).get("anchors", [])]

    def preview(self) -> tuple[TextPreview, str] | None:
        """Return what was masked, if text, anchors and tokenizer are there, and which text that is shown on."""
        if self._config is None:
            return None
        if self._config.masking.anchors is not None and self._known is None:
            self._folder.missing.append("Heat maps and bands: they need the anchors that the run used.")
            return None
        return self._folder.attempt("Heat maps and bands", self._preview, self._config)

    def sections(self) -> Sequence[Section]:
        """Return the classes of loss-weighted masking."""
        if self._config is None or not any(key.startswith(CLASS_LOSS) for entry in self._folder.log for key in entry):
            return []
        names = self._folder.attempt("Classes of words", self._class_names, self._config)
        found = _classes(names, self._folder.log) if names else None
        return [] if found is None else [found]

    def _class_names(self, config: TextConfig) -> Sequence[str]:
        return class_names(TextMasking(config.masking).annotators(self._known))

    def _read_anchors(self, config: TextConfig) -> AnchorSet | None:
        """Return the anchors of the run, if they are still those that it used."""
        if config.masking.anchors is None:
            self._folder.missing.append(
                "Anchors: the run was made without (masking.anchors), so that no word is known to be of the domain."
            )
            return None
        found = self._folder.attempt("TF-ICF of the anchors", load_anchors, config.masking.anchors)
        used = self._inputs.get("anchors")
        if found is not None and used is not None and _plain(found.metadata | {"anchors": found.anchors}) != used:
            self._folder.missing.append(
                f"TF-ICF of the anchors: {config.masking.anchors} was made again since the run."
            )
            return None
        return found

    def _preview(self, config: TextConfig) -> tuple[TextPreview, str]:
        changed = "data" in self._inputs and describe_sources(config.data.train) != self._inputs["data"]
        kept = self._folder.path / "model"  # a finished run has kept its tokenizer
        tokenizer = load_tokenizer(str(kept) if kept.is_dir() else config.model)
        documents, note = held_out_documents(config, tokenizer)
        settings = PreviewSettings(
            num_sentences=_NUM_SENTENCES,
            num_documents=_NUM_DOCUMENTS,
            max_length=config.data.max_length,
            domain_threshold=config.masking.domain_threshold,
        )
        preview = TextPreview.of(documents, self._looks(config, tokenizer), self._known, tokenizer, settings)
        if changed:
            self._folder.missing.append(
                "The text that the run read: it has changed since then; the sentences shown are from the present text."
            )
        return preview, note

    def _looks(self, config: TextConfig, tokenizer: PreTrainedTokenizerBase) -> dict[str, TextLook]:
        settings, folder = config.masking, self._folder
        masking = TextMasking.resolve(settings)
        whole = TextLook.of(masking, tokenizer, self._known)
        names = class_names(whole.annotators)
        learns = bool(whole.masker.policy.state_dict())

        def at(step: int) -> TextLook:
            made = masking.masker(Ingredients(settings, self._known, names))
            masker = hold(made, min(1.0, step / folder.num_steps))
            if learns:
                masker.policy.load_state_dict(_learned_at(masker, names, folder.log, step))
            return replace(whole, masker=masker)

        def beside() -> dict[str, TextLook]:
            plain = "random-token" if masking.units == "token" else "whole-word"
            random = TextMasking.resolve(TextMasking.for_policy(settings, plain))
            return {plain: TextLook.of(random, tokenizer, self._known)} | {settings.policy: whole}

        return folder.looks(whole, at, beside, digits=1, learns=learns)


def held_out_documents(config: TextConfig, tokenizer: PreTrainedTokenizerBase) -> tuple[list[Document], str]:
    """Return documents that the run did not train on, or, where it held none out, some that it did; and which."""
    data = config.data
    if data.eval:
        found = sample_documents(read_documents(data.eval, data.column), _NUM_DOCUMENTS)
        return found, "They are of the held-out text (data.eval)."
    sample = sample_documents(read_documents(data.train, data.column), _NUM_READ)
    make_rows = row_maker(tokenizer, tokenise_settings(config, TextMasking.resolve(config.masking)), None)
    held: list[Document] = []
    for start in range(0, len(sample) if data.eval_share > 0 else 0, _AT_A_TIME):
        part = sample[start : start + _AT_A_TIME]
        rows = make_rows(Block("sample", 1, 1.0, [each.text for each in part]))
        chosen = choose_held_out([row.values.to_numpy() for row in rows.batch["input_ids"]], data.eval_share)
        lost = set(rows.documents[~chosen].tolist())
        seen = set(rows.documents.tolist())
        held += [each for number, each in enumerate(part, 1) if number in seen - lost]
        if len(held) >= _NUM_DOCUMENTS:
            break
    if held:
        return held[:_NUM_DOCUMENTS], "They are of text that was held out of the training."
    return sample[:_NUM_DOCUMENTS], "They are of the training text, of which no document was held out whole."


def _classes(names: Sequence[str], log: Log) -> Section | None:
    """Return losses and weights of classes, at steps spread over the log; None where no line has all of them."""
    steps = sorted({int(entry["step"]) for entry in log if CLASS_LOSS + names[0] in entry})
    picked = (
        [steps[round(place * (len(steps) - 1) / (_MOST_STEPS - 1))] for place in range(_MOST_STEPS)] if steps else []
    )
    known = {step: entry for step in picked if (entry := _class_losses(names, log, step)) is not None}
    losses = [[entry[CLASS_LOSS + name] for name in names] for entry in known.values()]
    weights = [class_weights(torch.tensor(each, dtype=torch.float64)).tolist() for each in losses]
    return class_section(names, list(known), losses, weights) if known else None


def class_section(
    names: Sequence[str], steps: Sequence[int], losses: Sequence[Sequence[float]], weights: Sequence[Sequence[float]]
) -> Section:
    """Return what loss-weighted masking knew of its classes: a row each, the heaviest first.

    Args:
        names: The classes.
        steps: Steps that are shown.
        losses: For each step, one number a class.
        weights: The same of the weights.
    """
    rows = sorted(range(len(names)), key=lambda row: -weights[-1][row])
    table = heat_table(
        "weight after step",
        [names[row] for row in rows],
        [f"{step:,}" for step in steps],
        [[each[row] for each in weights] for row in rows],
        titles=[[f"{names[row]}, loss {each[row]:.3f}" for each in losses] for row in rows],
    )
    return Section("classes", "Classes of words", macros("run.html").classes(table))


def _learned_at(masker: Masker, names: Sequence[str], log: Log, step: int) -> dict[str, Tensor]:
    """Return what a policy had learned by a step: the losses of classes, which every log line holds."""
    state = dict(masker.policy.state_dict())
    entry = _class_losses(names, log, step)
    for key, value in state.items():
        if key.endswith("loss_weighted.losses") and entry is not None:
            state[key] = torch.tensor([entry[CLASS_LOSS + name] for name in names], dtype=value.dtype)
    return state


def _class_losses(names: Sequence[str], log: Log, step: int) -> Mapping[str, Any] | None:
    """Return the last log line up to a step that has the losses of all classes."""
    known = [entry for entry in log if entry["step"] <= step and all(CLASS_LOSS + name in entry for name in names)]
    return max(known, key=lambda entry: entry["step"], default=None)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
