"""Selective masking, from a labelled task to a scorer of tokens (Gu et al. 2020, "Train No Evil", arXiv 2004.09733).

1. Fine-tune a classifier on the task. 2. Ask it which words it needs (`selective.gain`). 3. Teach a model to tell
these words from the others, so that texts without labels can be masked.
"""

import importlib.metadata
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from diffmask.config.limits import EPOCHS, LENGTH, ROWS, SEED, Between, above, at_least, check_limits
from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.core.types import IGNORE_INDEX
from diffmask.selective.gain import (
    DELTA,
    Gain,
    Needed,
    classifier,
    encode_texts,
    find_needed,
    list_words,
    task_gain,
)
from diffmask.selective.task import LEFT_OUT, find_files, read_single_texts
from diffmask.tasks.task import Task
from diffmask.text.anchors.anchor_set import hash_tokenizer
from diffmask.text.corpus.documents import describe_sources
from diffmask.text.model.load import load_tokenizer, load_weights
from diffmask.text.score.gain_scorer import check_scorer_folder, gain_scorer, save_scorer
from diffmask.text.score.position_scores import hash_model
from diffmask.text.segment.pad import PadLabelled
from diffmask.text.segment.segmenter import segmenter_for
from diffmask.version import __version__

_IMPORTANT_WEIGHT = 3.0
"""Weight of important tokens in the scorer's loss, as in the authors' scripts: there are few."""


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
        max_texts: Number of texts that are trained on; None takes all.
        max_length: Tokens that are read of a text, special tokens included.
        units: What the buffer grows by: `word`, or `token` as published.
        delta: By how much the confidence may fall short for a word to be important.
        epochs: Passes over the texts, of the classifier and of the scorer.
        learning_rate: Highest learning rate of the classifier.
        scorer_learning_rate: Highest learning rate of the scorer; None takes the classifier's.
        batch_size: Texts of a step.
        common_words: Number of the most frequent words of the language, which are never important; the authors leave
            out the 326 stop words of spaCy.
        language: Language of the common words, one that wordfreq knows.
        seed: Decides the choice of texts and both trainings.
        device: auto, cpu, cuda.
    """

    task: Sequence[str]
    model: str
    text: str | None = None
    label: str | None = None
    max_texts: Annotated[int | None, at_least(10)] = 1000
    max_length: Annotated[int, LENGTH] = 128
    units: str = "word"
    delta: Annotated[float, Between(0, 1, "it is a difference of two probabilities", without_low=True)] = DELTA
    epochs: Annotated[float, above(0), EPOCHS] = 3.0
    learning_rate: Annotated[float, above(0)] = 2e-4
    scorer_learning_rate: Annotated[float | None, above(0)] = None
    batch_size: Annotated[int, at_least(1), ROWS] = 32
    common_words: Annotated[int, at_least(0)] = 100
    language: str = "en"
    seed: Annotated[int, at_least(0), SEED] = 0
    device: str = "auto"

    def __post_init__(self):
        """Refuse values that are not allowed."""
        check_limits(self)


def build_scorer(
    settings: SelectiveSettings,
    output: str | Path,
    *,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda line: None,
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
    start = time.perf_counter()
    output = check_scorer_folder(output, overwrite=overwrite, reads=[*settings.task, settings.model])
    tokenizer = load_tokenizer(settings.model)
    _check_length(settings, tokenizer)
    common = _common_words(settings)
    files = find_files(settings.task)
    task = read_single_texts(
        files, text=settings.text, label=settings.label, max_texts=settings.max_texts, seed=settings.seed
    )
    needed, metrics = _ask(settings, task, tokenizer, common, tell, progress=progress)
    share = _important_share(needed[0], settings.delta)
    tell(f"scorer: {len(needed[0].rows):,} texts, {100 * share:.1f} % of their words important")
    model = _fine_tune(
        AutoModelForTokenClassification,
        needed[0].rows,
        2,
        settings,
        learning_rate=settings.scorer_learning_rate or settings.learning_rate,
        class_weights=(1.0, _IMPORTANT_WEIGHT),
        progress=progress,
    )
    scores = [part.score_units(gain_scorer(model, tokenizer)) for part in needed]
    record = {
        "version": __version__,
        "packages": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers")},
        "settings": asdict(settings),
        "hashes": {"tokenizer": hash_tokenizer(tokenizer), "scorer": hash_model(model)},
        "files": [{"path": str(path), "use": use} for path, use in files],
        "data": describe_sources([path for path, use in files if use != LEFT_OUT]),
        "labels": task.labels,
        "num_texts": len(task.train),
        "num_held_out": len(task.dev),
        "classifier": metrics,
        "important_share": share,
        "scorer": needed[1].quality(scores[1]),
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
    tell: Callable[[str], None],
    *,
    progress: bool,
) -> tuple[list[Needed], dict[str, float]]:
    """Train a classifier; return the words that it needs in training and in held-out texts, and how good it is."""
    parts = (task.train, task.dev)
    texts = [encode_texts(part.texts, tokenizer, settings.max_length, settings.units) for part in parts]
    tell(f"classifier: {len(texts[0]):,} texts of {len(task.labels)} labels, {len(texts[1]):,} held out")
    pairs = zip(texts[0].rows(tokenizer), task.train.labels, strict=True)
    rows = [row | {"labels": label} for row, label in pairs]
    kind, rate = AutoModelForSequenceClassification, settings.learning_rate
    model = _fine_tune(kind, rows, len(task.labels), settings, learning_rate=rate, progress=progress)
    confidence = classifier(model, tokenizer)
    gains = [
        task_gain(part, torch.tensor(examples.labels), confidence, settings.delta, progress=progress)
        for part, examples in zip(texts, parts, strict=True)
    ]
    metrics = _check_classifier(gains, task)
    percent = {name: f"{100 * value:.1f} %" for name, value in metrics.items()}
    tell(f"classifier: {percent['accuracy']} of held-out texts right, {percent['largest_class']} in the largest class")
    return [find_needed(part, gain, common, tokenizer) for part, gain in zip(texts, gains, strict=True)], metrics


def _fine_tune(
    kind: Any,
    rows: Sequence[dict[str, Any]],
    num_labels: int,
    settings: SelectiveSettings,
    *,
    learning_rate: float,
    class_weights: tuple[float, ...] | None = None,
    progress: bool,
) -> PreTrainedModel:
    """Return the model fine-tuned on rows, on its device, ready to predict.

    AdamW, a tenth of the steps to warm up, then a linear decay.

    Args:
        kind: `AutoModelForSequenceClassification` or `AutoModelForTokenClassification`.
        rows: input_ids with special tokens, and labels: one of the text, or one of each token (-100 = none); the rest
            of a row is not read.
        num_labels: Number of labels.
        settings: How.
        learning_rate: The highest learning rate.
        class_weights: Weight of each class in the loss; None weighs all alike.
        progress: Show a progress bar.
    """
    device = resolve_device(settings.device)
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(settings.seed)
        model, _ = load_weights(kind, settings.model, num_labels=num_labels)
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=settings.epochs,
            learning_rate=learning_rate,
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

        def loss(output: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
            logits = output.logits.float()
            given = None if class_weights is None else torch.tensor(class_weights, device=logits.device)
            return cross_entropy(logits.flatten(0, -2), labels.flatten(), given, ignore_index=IGNORE_INDEX)

        # the Trainer's type is that of its own data sets; a list of rows is one to torch
        training: Any = list(rows)
        batches = PadLabelled(0, of_words=isinstance(rows[0]["labels"], list))
        trainer = Trainer(model, arguments, data_collator=batches, train_dataset=training, compute_loss_func=loss)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return cast(Any, model).eval().to(device)


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
    largest = Counter(task.train.labels).most_common(1)[0][0]
    accuracy = _share(gains[1].correct)
    guessed = _share(torch.tensor(task.dev.labels) == largest)
    if accuracy <= guessed:
        raise InputError(
            f"the classifier gets {100 * accuracy:.1f} % of the held-out texts right, and naming the largest class "
            f"{100 * guessed:.1f} %, so it needs no words; give more --epochs, --max-texts, or another --learning-rate"
        )
    return {"accuracy": accuracy, "largest_class": guessed, "accuracy_on_training": _share(gains[0].correct)}


def _share(values: Tensor) -> float:
    return values.double().mean().item() if len(values) else 0.0


def _important_share(needed: Needed, delta: float) -> float:
    share = int(needed.important.sum()) / max(1, needed.num_units)
    if not 0.0 < share < 1.0:
        raise InputError(
            f"delta={delta:g} makes {'all' if share else 'none'} of {needed.num_units:,} words important; "
            f"give a {'smaller' if share else 'larger'} --delta"
        )
    return share
