"""Task gain: which words of a text a classifier needs (selective masking, Gu et al. 2020, "Train No Evil").

A text s with the label y is read word by word into a buffer s', empty at first. The score of a word w is

    S(w) = P(y | s) - P(y | s' w)

which is how far the confidence with the buffer and the word falls short of that with the whole text. If it falls short
by less than delta, the word is important and leaves the buffer, so that the next word must prove itself on its own;
otherwise it stays.
Only texts that the classifier gets right are asked, and words that are common everywhere are never important. This is
the rule of the paper (arXiv 2004.09733) as its code has it, where the buffer grows token by token, within sentences.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.core.types import IGNORE_INDEX, Scores, UnitMask
from diffmask.text.score.position_scores import PositionScorer, unit_scores
from diffmask.text.segment.pad import PadLabelled, pad_rows
from diffmask.text.segment.segmenter import Segmenter, pad_id, segmenter_for

DELTA = 0.05
"""By how much the confidence may fall short for a word to be important; the authors' scripts say 0.01."""
_BATCH_TOKENS, _BATCH_SIZE = 4096, 32
_MIN_WORD_COUNT = 5
"""Words that occur less often are not listed."""

_Confidence = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class _EncodedTexts:
    """Texts in tokens and units, without special tokens; cut to what a model reads, between units.

    Attributes:
        input_ids: int64 (N, T), filled up with 0.
        unit_ids: Unit of each token, int64 (N, T); -1 = none.
        valid: Which tokens are of the text, bool (N, T).
        types: The words (or tokens) of each text, one for each unit.
    """

    input_ids: Tensor
    unit_ids: Tensor
    valid: Tensor
    types: list[list[str]]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.types)

    def select(self, rows: Tensor) -> "_EncodedTexts":
        """Return some of the texts."""
        types = [self.types[row] for row in rows.tolist()]
        return _EncodedTexts(self.input_ids[rows], self.unit_ids[rows], self.valid[rows], types)

    def rows(self, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        """Return input_ids and unit_ids of each text, with the special tokens that a model adds."""
        special = segmenter_for(tokenizer).special_tokens
        rows = []
        for ids, units, length in zip(self.input_ids, self.unit_ids, self.valid.sum(1).tolist(), strict=True):
            unit_ids = [*[-1] * len(special.before), *units[:length].tolist(), *[-1] * len(special.after)]
            rows.append({"input_ids": [*special.before, *ids[:length].tolist(), *special.after], "unit_ids": unit_ids})
        return rows


@dataclass(frozen=True, eq=False)
class Gain:
    """What the rule says of every unit.

    Attributes:
        correct: Which texts the classifier gets right, bool (N,).
        lacking: S of each unit, float32 (N, U); NaN beyond a text's units and for texts that were not asked.
        important: Whether each unit is important, bool (N, U).
    """

    correct: Tensor
    lacking: Tensor
    important: Tensor


def encode_texts(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, units: str = "word"
) -> _EncodedTexts:
    """Return texts as tokens, of each at most `max_length`, counting the special tokens that a model adds."""
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
    return _EncodedTexts(
        pad_rows([ids for ids, _, _ in rows], 0),
        pad_rows([numbers for _, numbers, _ in rows], -1),
        torch.arange(width)[None] < lengths[:, None],
        [types for _, _, types in rows],
    )


def task_gain(
    texts: _EncodedTexts, labels: Tensor, confidence: _Confidence, delta: float = DELTA, *, progress: bool = False
) -> Gain:
    """Ask a classifier which words it needs; each call reads the next word of every text.

    Args:
        texts: The texts.
        labels: Label of each text, int64 (N,).
        confidence: Gives the probability of each label, float (N, C), for token ids (N, T) and a choice of them, bool
            (N, T), that is read; see `classifier`.
        delta: By how much the confidence in the label may fall short.
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


def classifier(model: Any, tokenizer: PreTrainedTokenizerBase) -> _Confidence:
    """Return a classifier's confidences as `task_gain` asks for them."""
    segmenter = segmenter_for(tokenizer)

    @torch.inference_mode()
    def confidence(input_ids: Tensor, kept: Tensor) -> Tensor:
        lengths = kept.sum(1)
        order = lengths.argsort(stable=True)
        found = torch.zeros(len(input_ids), model.config.num_labels)
        while len(order):
            # the longest come last, and tell how many fit
            number = max(1, _BATCH_TOKENS // (int(lengths[order[-1]]) + segmenter.special_tokens.num_tokens))
            order, rows = order[:-number], order[-number:]
            ids, valid = _packed(input_ids[rows], kept[rows], segmenter, pad_id(tokenizer))
            logits = model(input_ids=ids.to(model.device), attention_mask=valid.long().to(model.device)).logits
            found[rows] = logits.float().softmax(1).cpu()
        return found

    return confidence


def _packed(input_ids: Tensor, kept: Tensor, segmenter: Segmenter, fill: int) -> tuple[Tensor, Tensor]:
    """Return the kept tokens without gaps, between special tokens, and which positions are valid."""
    lengths, special = kept.sum(1), segmenter.special_tokens
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


@dataclass(frozen=True, eq=False)
class Needed:
    """Texts that a classifier gets right, and which of their words it needs.

    Attributes:
        texts: The texts.
        important: Which units are needed, bool (N, U).
        rows: input_ids and unit_ids of each text with special tokens, and labels: 1 = needed, -100 = no unit.
    """

    texts: _EncodedTexts
    important: UnitMask
    rows: list[dict[str, Any]]

    @property
    def num_units(self) -> int:
        """Units of all texts."""
        return sum(map(len, self.texts.types))

    def score_units(self, scorer: PositionScorer) -> Scores:
        """Return the score of each unit, float32 (N, U), on the CPU."""
        scores = torch.zeros(self.important.shape)
        for start in range(0, len(self.rows), _BATCH_SIZE):
            rows = self.rows[start : start + _BATCH_SIZE]
            batch = PadLabelled(0, of_words=True).inputs(rows)
            batch["unit_ids"] = pad_rows([row["unit_ids"] for row in rows], -1)
            scores[start : start + _BATCH_SIZE] = unit_scores(scorer, batch, scores.shape[1]).cpu()
        return scores

    def quality(self, scores: Scores) -> dict[str, float | None]:
        """Return F1 (at log-odds of 0) and ROC-AUC of scores of units; None where there is nothing to tell apart."""
        from sklearn.metrics import f1_score, roc_auc_score

        lengths = torch.tensor([len(types) for types in self.texts.types], dtype=torch.int64)
        inside = torch.arange(scores.shape[1])[None] < lengths[:, None]
        truth, found = self.important[inside].numpy(), scores[inside].numpy()
        if len(set(truth.tolist())) < 2:
            return {"f1": None, "auc": None}
        return {"f1": float(f1_score(truth, found > 0)), "auc": float(roc_auc_score(truth, found))}


def find_needed(
    texts: _EncodedTexts, gain: Gain, common: Collection[str], tokenizer: PreTrainedTokenizerBase
) -> Needed:
    """Keep the texts that the classifier gets right; words that are common everywhere are never needed."""
    kept = gain.correct.nonzero()[:, 0]
    texts, important = texts.select(kept), gain.important[kept]
    for row, types in enumerate(texts.types):
        important[row, : len(types)] &= torch.tensor([word not in common for word in types], dtype=torch.bool)
    rows = [
        row | {"labels": [int(needed[unit]) if unit >= 0 else IGNORE_INDEX for unit in row["unit_ids"]]}
        for row, needed in zip(texts.rows(tokenizer), important.tolist(), strict=True)
    ]
    return Needed(texts, important, rows)


def list_words(needed: Sequence[Needed], scores: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Return words with their count, share of needed occurrences and mean score (gain), highest score first."""
    counts, shares, sums = Counter[str](), Counter[str](), dict[str, float]()
    for part, found in zip(needed, scores, strict=True):
        for types, marks, values in zip(part.texts.types, part.important.tolist(), found.tolist(), strict=True):
            counts.update(types)
            # marks and values are as many as the words of the longest text
            for word, mark, value in zip(types, marks, values, strict=False):
                shares[word] += mark
                sums[word] = sums.get(word, 0.0) + value
    words = [word for word, count in counts.items() if count >= _MIN_WORD_COUNT]
    listed = [
        {
            "word": word,
            "count": counts[word],
            "important": shares[word] / counts[word],
            "gain": sums[word] / counts[word],
        }
        for word in words
    ]
    return sorted(listed, key=lambda row: -row["gain"])
