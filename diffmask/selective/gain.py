"""Task gain: which words of a text a classifier needs (selective masking, Gu et al. 2020, "Train No Evil").

A text s with the label y is read word by word into a buffer s', empty at first. The score of a word w is

    S(w) = P(y | s) - P(y | s' w)

how much the buffer with the word lacks of the confidence in the whole text. If it lacks less than delta, the word
is important, and does not stay in the buffer, so that the next word must show the same on its own; otherwise it stays.
Only texts that the classifier gets right are asked, and words that are common everywhere are never important. This is
the rule of the paper (arXiv 2004.09733) as its code has it, where a buffer grows by tokens, of the sentences of a text.

Fine-tuning of a small head and what is under it, for texts or for tokens: what scorers of tokens are made with.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainingArguments

from diffmask.core.machine import resolve_device
from diffmask.core.types import IGNORE_INDEX
from diffmask.text.model.load import load_weights
from diffmask.text.segment.pad import PadLabelled, pad_rows
from diffmask.text.segment.segmenter import SpecialTokens, pad_id, segmenter_for

DELTA = 0.05
"""What the confidence may lack at most; the authors' scripts say 0.01."""
BATCH_TOKENS = 4096

Confidence = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """Texts in tokens and units, without special tokens; cut to what a model reads, between units.

    Attributes:
        input_ids: int64 (N, T), filled up with 0.
        unit_ids: Unit of each token, int64 (N, T); -1 = none.
        valid: Which tokens are of the text, bool (N, T).
        types: Of the units of each text.
    """

    input_ids: Tensor
    unit_ids: Tensor
    valid: Tensor
    types: list[list[str]]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.types)

    def select(self, rows: Tensor) -> "EncodedTexts":
        """Return some of the texts."""
        types = [self.types[row] for row in rows.tolist()]
        return EncodedTexts(self.input_ids[rows], self.unit_ids[rows], self.valid[rows], types)


@dataclass(frozen=True, eq=False)
class Gain:
    """What the rule says of every unit.

    Attributes:
        correct: Which texts the classifier gets right, bool (N,).
        lacking: S of each unit, float32 (N, U); NaN beyond a text's units and for texts that were not asked.
        important: bool (N, U).
    """

    correct: Tensor
    lacking: Tensor
    important: Tensor


def encode_texts(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, units: str = "word"
) -> EncodedTexts:
    """Return texts as tokens; at most `max_length` with the special tokens that a model adds."""
    segmenter = segmenter_for(tokenizer, units)
    room = max_length - segmenter.special_tokens.num_tokens
    segments = segmenter(list(texts))
    ends = np.cumsum(segments.num_tokens)
    rows = []
    for start, end in zip(ends - segments.num_tokens, ends, strict=True):
        found = segments.units[start:end]
        if len(found) > room:
            # a unit that is cut goes as a whole, unless it is all there is
            inside = np.flatnonzero(found[:room] != found[room]) if found[room] >= 0 else np.arange(room)
            found = found[: inside[-1] + 1 if len(inside) else room]
        first = min((unit for unit in found.tolist() if unit >= 0), default=0)
        numbers = np.where(found < 0, -1, found - first)
        types = [segments.word_surfaces[segments.words[first + unit]] for unit in range(numbers.max(initial=-1) + 1)]
        rows.append((segments.input_ids[start : start + len(found)], numbers, types))
    width = max((len(numbers) for _, numbers, _ in rows), default=0)
    lengths = torch.tensor([len(numbers) for _, numbers, _ in rows])
    return EncodedTexts(
        pad_rows([ids for ids, _, _ in rows], 0),
        pad_rows([numbers for _, numbers, _ in rows], -1),
        torch.arange(width)[None] < lengths[:, None],
        [types for _, _, types in rows],
    )


def task_gain(
    texts: EncodedTexts, labels: Tensor, confidence: Confidence, delta: float = DELTA, *, progress: bool = False
) -> Gain:
    """Ask a classifier which words it needs; all texts go on by a word per call.

    Args:
        texts: The texts.
        labels: Of the texts, int64 (N,).
        confidence: Gives the probability of each label, float (N, C), for token ids (N, T) and those of them, bool
            (N, T), that are read; see `classifier`.
        delta: What the confidence in the label may lack.
        progress: Show a progress bar.
    """
    from tqdm import tqdm

    whole = confidence(texts.input_ids, texts.valid)
    correct = whole.argmax(1) == labels
    num_units = texts.unit_ids.amax(1) + 1 if texts.unit_ids.shape[1] else torch.zeros(len(texts), dtype=torch.int64)
    num_asked = num_units * correct
    lacking = torch.full((len(texts), int(num_units.max()) if len(texts) else 0), torch.nan)
    buffer = torch.zeros_like(texts.valid)
    with tqdm(
        total=int(num_asked.sum()), desc="gain", unit="word", disable=None if progress else True, leave=False
    ) as bar:
        for unit in range(lacking.shape[1]):
            rows = (num_asked > unit).nonzero()[:, 0]
            if not len(rows):
                break
            tried = buffer[rows] | (texts.unit_ids[rows] == unit)
            wanted = labels[rows]
            found = confidence(texts.input_ids[rows], tried).gather(1, wanted[:, None])[:, 0]
            lacking[rows, unit] = whole[rows, wanted] - found
            needed = lacking[rows, unit] < delta
            buffer[rows] = torch.where(needed[:, None], buffer[rows], tried)
            bar.update(len(rows))
    return Gain(correct, lacking, lacking < delta)


def classifier(model: Any, tokenizer: PreTrainedTokenizerBase) -> Confidence:
    """Return a classifier's confidences as `task_gain` asks for them."""
    special = segmenter_for(tokenizer).special_tokens

    @torch.inference_mode()
    def confidence(input_ids: Tensor, kept: Tensor) -> Tensor:
        lengths = kept.sum(1)
        order = lengths.argsort(stable=True)
        found = torch.zeros(len(input_ids), model.config.num_labels)
        while len(order):
            # the longest come last, and tell how many fit
            number = max(1, BATCH_TOKENS // (int(lengths[order[-1]]) + special.num_tokens))
            order, rows = order[:-number], order[-number:]
            ids, valid = _packed(input_ids[rows], kept[rows], special, pad_id(tokenizer))
            logits = model(input_ids=ids.to(model.device), attention_mask=valid.long().to(model.device)).logits
            found[rows] = logits.float().softmax(1).cpu()
        return found

    return confidence


def _packed(input_ids: Tensor, kept: Tensor, special: SpecialTokens, fill: int) -> tuple[Tensor, Tensor]:
    """Return the kept tokens without gaps, between special tokens, and which positions are valid."""
    lengths = kept.sum(1)
    width = int(lengths.max())
    order = (~kept).long().argsort(dim=1, stable=True)[:, :width]
    before, after = len(special.before), len(special.after)
    packed = torch.full((len(kept), before + width + after), fill)
    packed[:, :before] = torch.tensor(special.before, dtype=torch.int64)
    inside = torch.arange(width)[None] < lengths[:, None]
    packed[:, before : before + width] = torch.where(inside, input_ids.gather(1, order), fill)
    for place, token in enumerate(special.after):
        packed[torch.arange(len(kept)), before + lengths + place] = token
    return packed, torch.arange(packed.shape[1])[None] < (lengths + before + after)[:, None]


Row = Mapping[str, Any]


@dataclass(frozen=True)
class FineTuning:
    """How a model is fine-tuned; AdamW, a tenth of the steps to warm up, then a linear decay.

    Attributes:
        epochs: Passes over the rows.
        learning_rate: The highest.
        batch_size: Rows of a step.
        seed: Of the order of rows, dropout and the head.
        device: auto, cpu, cuda.
        class_weights: Weight of each class in the loss; None weighs all alike.
    """

    epochs: float
    learning_rate: float
    batch_size: int = 32
    seed: int = 0
    device: str = "auto"
    class_weights: tuple[float, ...] | None = None


def fine_tune(
    kind: Any, name: str, rows: Sequence[Row], num_labels: int, settings: FineTuning, *, progress: bool = False
) -> PreTrainedModel:
    """Return a model fine-tuned on rows, on its device, in evaluation mode.

    Args:
        kind: `AutoModelForSequenceClassification` or `AutoModelForTokenClassification`.
        name: The pretrained model: a folder, a hub name, or `minilm`.
        rows: input_ids with special tokens, and labels: one of the text, or one of each token (-100 = none); the rest
            of a row is not read.
        num_labels: Number of labels.
        settings: How.
        progress: Show a progress bar.

    Raises:
        InputError: If there is no such model or device.
    """
    device = resolve_device(settings.device)
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(settings.seed)
        model, _ = load_weights(kind, name, num_labels=num_labels)
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            per_device_train_batch_size=settings.batch_size,
            warmup_steps=0.1,
            weight_decay=0.01,
            seed=settings.seed,
            train_sampling_strategy="group_by_length",
            dataloader_pin_memory=device.type == "cuda",
            use_cpu=device.type == "cpu",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=not progress,
            remove_unused_columns=False,
        )
        weights = settings.class_weights

        def loss(output: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
            logits = output.logits.float()
            given = None if weights is None else torch.tensor(weights, device=logits.device)
            return cross_entropy(logits.flatten(0, -2), labels.flatten(), given, ignore_index=IGNORE_INDEX)

        # the Trainer's type is that of its own data sets; a list of rows is one to torch
        training: Any = list(rows)
        batches = PadLabelled(0, of_words=isinstance(rows[0]["labels"], list))
        trainer = Trainer(model, arguments, data_collator=batches, train_dataset=training, compute_loss_func=loss)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return cast(Any, model).eval().to(device)
