"""Needed: the words that a classifier needs, as labels of tokens, and how well a scorer of tokens tells them."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.core.types import IGNORE_INDEX, Scores, UnitMask
from diffmask.selective.gain import EncodedTexts, Gain
from diffmask.text.score.position_scores import PositionScorer, pool
from diffmask.text.segment.batches import Batches
from diffmask.text.segment.segmenter import segmenter_for
from diffmask.text.segment.windows import special_tokens_of

MIN_WORD_COUNT = 5
"""Words that occur less often are not listed."""
_BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class Needed:
    """Texts that a classifier gets right, and which of their words it needs.

    Attributes:
        texts: The texts.
        important: Which units are needed, bool (N, U).
        rows: input_ids and unit_ids of each text with special tokens, and labels: 1 = needed, -100 = no unit.
    """

    texts: EncodedTexts
    important: UnitMask
    rows: list[dict[str, Any]]

    @property
    def num_units(self) -> int:
        """Units of all texts."""
        return sum(map(len, self.texts.types))


def find_needed(texts: EncodedTexts, gain: Gain, common: Collection[str], tokenizer: PreTrainedTokenizerBase) -> Needed:
    """Keep the texts that the classifier gets right; words that are common everywhere are never needed."""
    kept = gain.correct.nonzero()[:, 0]
    texts, important = texts.select(kept), gain.important[kept]
    for row, types in enumerate(texts.types):
        important[row, : len(types)] &= torch.tensor([word not in common for word in types], dtype=torch.bool)
    rows = [
        row | {"labels": [int(needed[unit]) if unit >= 0 else IGNORE_INDEX for unit in row["unit_ids"]]}
        for row, needed in zip(rows_of(texts, tokenizer), important.tolist(), strict=True)
    ]
    return Needed(texts, important, rows)


def rows_of(texts: EncodedTexts, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    """Return input_ids and unit_ids of each text, with the special tokens that a model adds."""
    special = special_tokens_of(segmenter_for(tokenizer).backend)
    rows = []
    for ids, units, length in zip(texts.input_ids, texts.unit_ids, texts.valid.sum(1).tolist(), strict=True):
        unit_ids = [*[-1] * len(special.before), *units[:length].tolist(), *[-1] * len(special.after)]
        rows.append({"input_ids": [*special.before, *ids[:length].tolist(), *special.after], "unit_ids": unit_ids})
    return rows


def score_units(scorer: PositionScorer, needed: Needed) -> Scores:
    """Return the score of each unit, float32 (N, U), on the CPU."""
    scores = torch.zeros(needed.important.shape)
    for start in range(0, len(needed.rows), _BATCH_SIZE):
        rows = needed.rows[start : start + _BATCH_SIZE]
        batch = Batches(0, of_words=True).inputs(rows)
        found = scorer(batch["input_ids"], batch["attention_mask"]).cpu()
        unit_ids = torch.full(found.shape, -1)
        for target, row in zip(unit_ids, rows, strict=True):
            target[: len(row["unit_ids"])] = torch.tensor(row["unit_ids"])
        scores[start : start + _BATCH_SIZE] = pool(found, unit_ids, scores.shape[1], scorer.pooling)
    return scores


def quality(needed: Needed, scores: Scores) -> dict[str, float | None]:
    """Return F1 (at log-odds of 0) and ROC-AUC of the scores of units; None where there is nothing to tell apart."""
    from sklearn.metrics import f1_score, roc_auc_score

    lengths = torch.tensor([len(types) for types in needed.texts.types], dtype=torch.int64)
    inside = torch.arange(scores.shape[1])[None] < lengths[:, None]
    truth, found = needed.important[inside].numpy(), scores[inside].numpy()
    if len(set(truth.tolist())) < 2:
        return {"f1": None, "auc": None}
    return {"f1": float(f1_score(truth, found > 0)), "auc": float(roc_auc_score(truth, found))}


def list_words(needed: Sequence[Needed], scores: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Return words with their count, share of needed occurrences and mean score (gain), highest score first."""
    counts, shares, sums = Counter[str](), Counter[str](), dict[str, float]()
    for part, found in zip(needed, scores, strict=True):
        for types, flags, values in zip(part.texts.types, part.important.tolist(), found.tolist(), strict=True):
            counts.update(types)
            # the rows of flags and values go on to the length of the longest text
            for word, flag, value in zip(types, flags, values, strict=False):
                shares[word] += flag
                sums[word] = sums.get(word, 0.0) + value
    words = [word for word, count in counts.items() if count >= MIN_WORD_COUNT]
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
