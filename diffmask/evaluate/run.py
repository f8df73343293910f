"""One evaluation: a model on a task, seed by seed; each seed's results are a file of their own."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffmask.config.evaluation import FINETUNE, TOKENS, EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.evaluate.checks import check_length, check_machine, check_modality, check_settings
from diffmask.evaluate.methods.frozen import Prober
from diffmask.evaluate.methods.text import Finetuner, text_features, word_keys
from diffmask.evaluate.methods.video import VIDEO_MODELS, video_predictor
from diffmask.evaluate.record import Evaluated, describe, surroundings
from diffmask.evaluate.seed_file import is_done, remove_others, write_seed_file
from diffmask.tasks.leakage import find_leakage
from diffmask.tasks.metrics import Predicted, summary
from diffmask.tasks.task import Split, Task, read_task
from diffmask.tasks.video_task import VideoTask, clip_leakage, read_video_task
from diffmask.text.model.load import load_config, load_tokenizer

Predict = Callable[[list[int], int], Predicted]
"""From a choice of training texts and a seed to predictions."""


def evaluate(settings: EvaluateSettings, *, overwrite: bool = False, progress: bool = False) -> list[Path]:
    """Evaluate a model on a task, and return the files of the results, one for each seed.

    Seeds whose files are there are not run again, so that an interrupted evaluation goes on where it stopped.

    Args:
        settings: What, on what, and how.
        overwrite: Run seeds again whose files are there.
        progress: Show progress bars.

    Raises:
        InputError: If the model, the task or a setting cannot be used, or the folder holds the results of another
            evaluation.
    """
    check_settings(settings)
    check_machine(settings)
    prepared = _prepare(settings, progress=progress)
    wanted = range(settings.first_seed, settings.first_seed + settings.seeds)
    record = describe(prepared)
    left = [seed for seed in wanted if overwrite or not is_done(prepared.output / f"seed-{seed}.json", record)]
    predict = _predictor(prepared, progress=progress) if left else None
    for seed in left:
        assert predict is not None
        started = time.monotonic()
        shares = [_share(prepared, predict, share, seed) for share in sorted(settings.shares)]
        result = record | {"seed": seed, "shares": shares, **surroundings(), "seconds": time.monotonic() - started}
        if overwrite and seed == left[0]:
            remove_others(prepared.output, record)
        prepared.output.mkdir(parents=True, exist_ok=True)
        write_seed_file(prepared.output / f"seed-{seed}.json", result)
    return [prepared.output / f"seed-{seed}.json" for seed in wanted]


def _prepare(settings: EvaluateSettings, *, progress: bool = False) -> Evaluated:
    """Read the task and find what is evaluated.

    Args:
        settings: What, on what, and how.
        progress: Show progress bars.

    Raises:
        InputError: If the task or the model cannot be used.
    """
    given = Path(settings.model)
    run = given if (given / "config.yaml").is_file() else None
    if run is not None and not (run / "model").is_dir():
        raise InputError(f"the run {run} has no model/ yet; finish it with `diffmask pretrain ... --resume`")
    folder = settings.model if run is None else str(run / "model")
    config = load_config(folder)  # a model that is not there is said first
    check_modality(settings, config, video=config.model_type in VIDEO_MODELS)
    if config.model_type in VIDEO_MODELS:
        task: Task = read_video_task(settings, progress=progress)
    else:
        check_length(config, settings.max_length)
        task = read_task(settings.task)
    texts = {name: split.joined() for name, split in task.splits.items()}
    found = find_leakage(texts, labels={name: split.labels for name, split in task.splits.items()})
    summary = clip_leakage(found) if isinstance(task, VideoTask) else found.summary()
    name = settings.name or (given.resolve().name if given.is_dir() else settings.model.replace("/", "-"))
    output = Path(settings.output) if settings.output else _output(run, name, task.name, settings.method)
    if output.exists() and not output.is_dir():
        raise InputError(f"the output {output} is a file; give the name of a folder with -o")
    leakage = found.to_json() | {"summary": summary}
    return Evaluated(settings, folder, name, task, leakage, found.unseen("test"), output)


def _output(run: Path | None, name: str, task: str, method: str) -> Path:
    folder = Path("evaluations") / name if run is None else run / "evaluation"
    return folder / f"{task}-{method}"


def _predictor(prepared: Evaluated, *, progress: bool) -> Predict:
    settings, task = prepared.settings, prepared.task
    if isinstance(task, VideoTask):
        return video_predictor(prepared.folder, task, settings, output=prepared.output, progress=progress)
    # byte-level tokenizers split lists of words only as if a space stood before each
    options = {"add_prefix_space": True} if task.kind == TOKENS else {}
    tokenizer = load_tokenizer(prepared.folder, **options)
    if settings.method == FINETUNE:
        tuner = Finetuner(prepared.folder, tokenizer, task, settings, output=prepared.output, progress=progress)
        return lambda rows, seed: tuner.predict(task.train.take(rows), seed)
    features = text_features(prepared.folder, tokenizer, task, settings, progress=progress)
    return Prober(features, word_keys(task.train), task, settings).predict


def choose_share(train: Split, share: float, seed: int) -> list[int]:
    """Return the places of a share of the training examples; a smaller share is part of a larger one.

    A text's place in the order depends on the text (a clip's, on its content) and the seed, so that equal ones come
    together.
    """
    if share == 1.0:
        return list(range(len(train)))
    salt = str(seed).encode()[:16]
    texts = train.joined()
    order = sorted(
        range(len(texts)),
        key=lambda row: (hashlib.blake2b(texts[row].encode("utf-8", "surrogatepass"), salt=salt).digest(), row),
    )
    return sorted(order[: max(1, round(share * len(order)))])


def _share(prepared: Evaluated, predict: Predict, share: float, seed: int) -> dict[str, Any]:
    """Train on a share of the examples, and return its part of the results."""
    task, started = prepared.task, time.monotonic()
    rows = choose_share(task.train, share, seed)
    _check_rows(task, rows, share)
    predicted = predict(rows, seed)
    unseen = [row for row, alone in enumerate(prepared.unseen) if alone]
    return {
        "share": share,
        "num_train": len(rows),
        "predictions": predicted.test,
        "dev": summary(task.score(task.dev.labels, predicted.dev)),
        "test": {
            "all": task.score(task.test.labels, predicted.test),
            "unseen": task.score([task.test.labels[row] for row in unseen], [predicted.test[row] for row in unseen])
            if unseen
            else None,
        },
        "chosen": predicted.chosen,
        "fresh": list(predicted.fresh),
        "seconds": time.monotonic() - started,
    }


def _check_rows(task: Task, rows: Sequence[int], share: float) -> None:
    labels = [task.train.labels[row] for row in rows]
    several = any(isinstance(label, list) for label in labels)
    if len({str(name) for label in labels for name in (label if several else [label])}) < 2:
        raise InputError(
            f"a share of {share:g} of the training {task.examples} has fewer than two labels; give a larger one"
        )
