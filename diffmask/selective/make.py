"""Selective masking, from a labelled task to a scorer of tokens (Gu et al. 2020, "Train No Evil", arXiv 2004.09733).

1. Fine-tune a classifier on the task. 2. Ask it which words it needs (`selective.gain`). 3. Teach a model to tell
these words from the others, so that texts without labels can be masked.

Needed: the words that a classifier needs, as labels of tokens, and how well a scorer of tokens tells them.
"""

import importlib.metadata
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.core.types import IGNORE_INDEX, Scores, UnitMask
from diffmask.selective.gain import (
    DELTA,
    EncodedTexts,
    FineTuning,
    Gain,
    classifier,
    encode_texts,
    fine_tune,
    task_gain,
)
from diffmask.tasks.labelled import LEFT_OUT, Task, read_task
from diffmask.text.anchors.anchor_set import hash_tokenizer
from diffmask.text.corpus.documents import describe_sources
from diffmask.text.model.load import load_tokenizer
from diffmask.text.score.gain_scorer import check_scorer_folder, gain_scorer, save_scorer
from diffmask.text.score.position_scores import PositionScorer, hash_model, pool
from diffmask.text.segment.pad import PadLabelled
from diffmask.text.segment.segmenter import segmenter_for
from diffmask.version import __version__

MIN_WORD_COUNT = 5
"""Words that occur less often are not listed."""
_BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class _Needed:
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


def find_needed(
    texts: EncodedTexts, gain: Gain, common: Collection[str], tokenizer: PreTrainedTokenizerBase
) -> _Needed:
    """Keep the texts that the classifier gets right; words that are common everywhere are never needed."""
    kept = gain.correct.nonzero()[:, 0]
    texts, important = texts.select(kept), gain.important[kept]
    for row, types in enumerate(texts.types):
        important[row, : len(types)] &= torch.tensor([word not in common for word in types], dtype=torch.bool)
    rows = [
        row | {"labels": [int(needed[unit]) if unit >= 0 else IGNORE_INDEX for unit in row["unit_ids"]]}
        for row, needed in zip(_rows_of(texts, tokenizer), important.tolist(), strict=True)
    ]
    return _Needed(texts, important, rows)


def _rows_of(texts: EncodedTexts, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    """Return input_ids and unit_ids of each text, with the special tokens that a model adds."""
    special = segmenter_for(tokenizer).special_tokens
    rows = []
    for ids, units, length in zip(texts.input_ids, texts.unit_ids, texts.valid.sum(1).tolist(), strict=True):
        unit_ids = [*[-1] * len(special.before), *units[:length].tolist(), *[-1] * len(special.after)]
        rows.append({"input_ids": [*special.before, *ids[:length].tolist(), *special.after], "unit_ids": unit_ids})
    return rows


def score_units(scorer: PositionScorer, needed: _Needed) -> Scores:
    """Return the score of each unit, float32 (N, U), on the CPU."""
    scores = torch.zeros(needed.important.shape)
    for start in range(0, len(needed.rows), _BATCH_SIZE):
        rows = needed.rows[start : start + _BATCH_SIZE]
        batch = PadLabelled(0, of_words=True).inputs(rows)
        found = scorer(batch["input_ids"], batch["attention_mask"]).cpu()
        unit_ids = torch.full(found.shape, -1)
        for target, row in zip(unit_ids, rows, strict=True):
            target[: len(row["unit_ids"])] = torch.tensor(row["unit_ids"])
        scores[start : start + _BATCH_SIZE] = pool(found, unit_ids, scores.shape[1], scorer.pooling)
    return scores


def quality(needed: _Needed, scores: Scores) -> dict[str, float | None]:
    """Return F1 (at log-odds of 0) and ROC-AUC of the scores of units; None where there is nothing to tell apart."""
    from sklearn.metrics import f1_score, roc_auc_score

    lengths = torch.tensor([len(types) for types in needed.texts.types], dtype=torch.int64)
    inside = torch.arange(scores.shape[1])[None] < lengths[:, None]
    truth, found = needed.important[inside].numpy(), scores[inside].numpy()
    if len(set(truth.tolist())) < 2:
        return {"f1": None, "auc": None}
    return {"f1": float(f1_score(truth, found > 0)), "auc": float(roc_auc_score(truth, found))}


def list_words(needed: Sequence[_Needed], scores: Sequence[Tensor]) -> list[dict[str, Any]]:
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


IMPORTANT_WEIGHT = 3.0
"""Weight of important tokens in the scorer's loss, as in the authors' scripts: there are few."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class SelectiveSettings:
    """How a scorer is made.

    The authors' scripts fine-tune BERT-base for 10 epochs, at 2e-5 for the classifier and 1e-5 for the scorer, on the
    whole task; the defaults here are for a small encoder and minutes on a CPU.

    Attributes:
        task: Files or folders with texts and labels.
        model: The pretrained model: a folder, a hub name, or `minilm`.
        text: Column of the texts; None finds it.
        label: Column of the labels; None finds it.
        max_texts: Texts that are trained on; None takes all.
        max_length: Tokens that are read of a text, special tokens included.
        units: What the buffer grows by: `word`, or `token` as published.
        delta: What the confidence may lack for a word to be important.
        epochs: Passes over the texts, of the classifier and of the scorer.
        learning_rate: Of the classifier.
        scorer_learning_rate: Of the scorer; None takes the classifier's.
        batch_size: Texts of a step.
        common_words: So many of the most frequent words of the language are never important; the authors leave out
            the 326 stop words of spaCy.
        language: Language of the common words, one that wordfreq knows.
        seed: Of the choice of texts and of both trainings.
        device: auto, cpu, cuda.
    """

    task: Sequence[str]
    model: str
    text: str | None = None
    label: str | None = None
    max_texts: int | None = 1000
    max_length: int = 128
    units: str = "word"
    delta: float = DELTA
    epochs: float = 3.0
    learning_rate: float = 2e-4
    scorer_learning_rate: float | None = None
    batch_size: int = 32
    common_words: int = 100
    language: str = "en"
    seed: int = 0
    device: str = "auto"

    def __post_init__(self):
        """Check the numbers."""
        least = {"max_texts": 10, "batch_size": 1, "common_words": 0, "seed": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise InputError(f"{name}={value} is too small; give at least {bound}")
        for name in ("epochs", "learning_rate", "scorer_learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name}={value:g} is too small; give more than 0")
        if not 0 < self.delta <= 1:
            raise InputError(f"delta={self.delta:g} is outside (0, 1]; it is a difference of two probabilities")


def build_scorer(
    settings: SelectiveSettings,
    output: str | Path,
    *,
    overwrite: bool = False,
    tell: Tell = lambda line: None,
    progress: bool = False,
) -> dict[str, Any]:
    """Make a scorer and write its folder; return the record that scorer.json holds.

    Args:
        settings: How.
        output: The folder to write.
        overwrite: Replace a scorer that stands there.
        tell: Is given a line about each step.
        progress: Show progress bars.

    Raises:
        InputError: The task, the model or a setting cannot be used, or the classifier has learned nothing.
    """
    output, start = check_scorer_folder(output, overwrite=overwrite), time.perf_counter()
    tokenizer = load_tokenizer(settings.model)
    _check_length(settings, tokenizer)
    common = _common_words(settings)
    task = read_task(
        settings.task, text=settings.text, label=settings.label, max_texts=settings.max_texts, seed=settings.seed
    )
    needed, metrics = _ask(settings, task, tokenizer, common, tell, progress=progress)
    share = _important_share(needed[0], settings.delta)
    tell(f"scorer: {len(needed[0].rows):,} texts, {100 * share:.1f} % of their words important")
    tuning = _tuning(settings, settings.scorer_learning_rate, class_weights=(1.0, IMPORTANT_WEIGHT))
    model = fine_tune(AutoModelForTokenClassification, settings.model, needed[0].rows, 2, tuning, progress=progress)
    scores = [score_units(gain_scorer(model, tokenizer), part) for part in needed]
    record = {
        "version": __version__,
        "packages": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers")},
        "settings": asdict(settings),
        "hashes": {"tokenizer": hash_tokenizer(tokenizer), "scorer": hash_model(model)},
        "files": [{"path": str(path), "use": use} for path, use in task.files],
        "data": describe_sources([path for path, use in task.files if use != LEFT_OUT]),
        "labels": task.names,
        "num_texts": len(task.training.texts),
        "num_held_out": len(task.held_out.texts),
        "classifier": metrics,
        "important_share": share,
        "scorer": quality(needed[1], scores[1]),
        "words": list_words(needed, scores),
        "seconds": round(time.perf_counter() - start, 1),
    }
    save_scorer(output, model, tokenizer, record)
    return record


def _ask(
    settings: SelectiveSettings,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    common: frozenset[str],
    tell: Tell,
    *,
    progress: bool,
) -> tuple[list[_Needed], dict[str, float]]:
    """Train a classifier; return the words that it needs in training and in held-out texts, and how good it is."""
    parts = (task.training, task.held_out)
    texts = [encode_texts(part.texts, tokenizer, settings.max_length, settings.units) for part in parts]
    tell(f"classifier: {len(texts[0]):,} texts of {len(task.names)} labels, {len(texts[1]):,} held out")
    pairs = zip(_rows_of(texts[0], tokenizer), task.training.labels, strict=True)
    rows = [row | {"labels": label} for row, label in pairs]
    kind, tuning = AutoModelForSequenceClassification, _tuning(settings, None)
    model = fine_tune(kind, settings.model, rows, len(task.names), tuning, progress=progress)
    confidence = classifier(model, tokenizer)
    gains = [
        task_gain(part, torch.tensor(examples.labels), confidence, settings.delta, progress=progress)
        for part, examples in zip(texts, parts, strict=True)
    ]
    metrics = _check_classifier(gains, task)
    percent = {name: f"{100 * value:.1f} %" for name, value in metrics.items()}
    tell(f"classifier: {percent['accuracy']} of held-out texts right, {percent['largest_class']} in the largest class")
    return [find_needed(part, gain, common, tokenizer) for part, gain in zip(texts, gains, strict=True)], metrics


def _tuning(
    settings: SelectiveSettings, learning_rate: float | None, class_weights: tuple[float, ...] | None = None
) -> FineTuning:
    return FineTuning(
        epochs=settings.epochs,
        learning_rate=learning_rate or settings.learning_rate,
        batch_size=settings.batch_size,
        seed=settings.seed,
        device=settings.device,
        class_weights=class_weights,
    )


def _check_length(settings: SelectiveSettings, tokenizer: PreTrainedTokenizerBase) -> None:
    least = segmenter_for(tokenizer, settings.units).special_tokens.num_tokens + 1
    most = tokenizer.model_max_length
    if not least <= settings.max_length <= most:
        raise InputError(f"max_length={settings.max_length} is outside [{least}, {most}], what this model reads")


def _common_words(settings: SelectiveSettings) -> frozenset[str]:
    import wordfreq

    if settings.common_words == 0:
        return frozenset()
    languages = sorted(wordfreq.available_languages())
    if settings.language not in languages:
        raise InputError(
            f"wordfreq has no language {settings.language!r}; choose from: {', '.join(languages)}, or give "
            "--common-words 0"
        )
    return frozenset(wordfreq.top_n_list(settings.language, settings.common_words))


def _check_classifier(gains: Sequence[Gain], task: Task) -> dict[str, float]:
    """Return what share of texts is right, and refuse a classifier that has learned nothing."""
    largest = Counter(task.training.labels).most_common(1)[0][0]
    accuracy = _share(gains[1].correct)
    guessed = _share(torch.tensor(task.held_out.labels) == largest)
    if accuracy <= guessed:
        raise InputError(
            f"the classifier gets {100 * accuracy:.1f} % of the held-out texts right, and naming the largest class "
            f"{100 * guessed:.1f} %, so it needs no words; give more --epochs, --max-texts, or another --learning-rate"
        )
    return {"accuracy": accuracy, "largest_class": guessed, "accuracy_on_training": _share(gains[0].correct)}


def _share(values: Tensor) -> float:
    return values.double().mean().item() if len(values) else 0.0


def _important_share(needed: _Needed, delta: float) -> float:
    share = int(needed.important.sum()) / max(1, needed.num_units)
    if not 0.0 < share < 1.0:
        raise InputError(
            f"delta={delta:g} makes {'all' if share else 'none'} of {needed.num_units:,} words important; "
            f"give a {'smaller' if share else 'larger'} --delta"
        )
    return share
