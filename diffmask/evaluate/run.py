"""One evaluation: a model on a task, seed by seed; each seed's results are a file of their own."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from diffmask.assemble.modality import config_of_model, modality_of_model
from diffmask.config.evaluation import METRICS, EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.core.machine import describe_hardware, resolve_device
from diffmask.evaluate.modality import PAIRS, ModalityMethods, Predict
from diffmask.evaluate.seed_file import SeedFile, check_results_folder, is_done, remove_others
from diffmask.tasks.leakage import find_leakage
from diffmask.tasks.question_task import question_files
from diffmask.tasks.task import Split, Task
from diffmask.text.model.load import resolve_model
from diffmask.train.record import Lineage, identify_model
from diffmask.version import __version__

_LIBRARIES = ("torch", "transformers", "scikit-learn")


@dataclass(frozen=True)
class _Prepared:
    """What is evaluated, with its task read.

    Attributes:
        settings: The evaluation.
        methods: The methods of the model's modality.
        folder: The model's folder, or its name on the hub.
        name: What the model is called in tables.
        task: The task.
        leakage: Which examples are in more than one split.
        unseen: For each test example, whether it is in no other split.
        output: Folder of the results.
    """

    settings: EvaluateSettings
    methods: ModalityMethods
    folder: str
    name: str
    task: Task
    leakage: dict[str, Any]
    unseen: list[bool]
    output: Path


def evaluate(settings: EvaluateSettings, *, overwrite: bool = False, progress: bool = False) -> list[Path]:
    """Evaluate a model on a task, and return the files of the results, one for each seed.

    Seeds whose files are there are not run again, so that an interrupted evaluation continues where it stopped.

    Args:
        settings: What, on what, and how.
        overwrite: Run seeds again whose files are there.
        progress: Show progress bars.

    Raises:
        InputError: If the model, the task or a setting cannot be used, or the folder holds the results of another
            evaluation.
    """
    device = resolve_device(settings.device)  # a missing device is reported before anything is read
    if settings.precision == "fp16" and device.type == "cpu":
        raise InputError("precision fp16 needs a GPU, and the device is the CPU; give fp32 or bf16")
    prepared = _prepare(settings, progress=progress)
    wanted = range(settings.first_seed, settings.first_seed + settings.seeds)
    paths = {seed: prepared.output / f"seed-{seed}.json" for seed in wanted}
    record = _describe(prepared)
    left = [seed for seed, path in paths.items() if overwrite or not is_done(path, record)]
    if not left:
        return list(paths.values())
    check_results_folder(prepared.output)
    predict = prepared.methods.predictor(
        prepared.folder, prepared.task, settings, output=prepared.output, progress=progress
    )
    for seed in left:
        started = time.monotonic()
        shares = [_share(prepared, predict, share, seed) for share in sorted(settings.shares)]
        result = record | {"seed": seed, "shares": shares, **_surroundings(), "seconds": time.monotonic() - started}
        if overwrite and seed == left[0]:
            remove_others(prepared.output, record)
        prepared.output.mkdir(parents=True, exist_ok=True)
        SeedFile.write(paths[seed], result)
    return list(paths.values())


def score_dev(settings: EvaluateSettings, *, progress: bool = False) -> float:
    """Return the mean score on a task's dev split over seeds, of a model trained on all labels; test has no part in it.

    Args:
        settings: What, on what, and how; the largest of its shares counts.
        progress: Show progress bars.

    Raises:
        InputError: As `evaluate`, or if the method trains nothing, and so has nothing to choose on dev.
    """
    prepared = _prepare(settings, progress=progress)
    if settings.method in prepared.methods.untrained:
        raise InputError(f"the method {settings.method} reads the test alone, and no dev split; choose another method")
    task = replace(prepared.task, splits={**prepared.task.splits, "test": prepared.task.dev})
    predict = prepared.methods.predictor(prepared.folder, task, settings, output=prepared.output, progress=progress)
    scores = []
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        rows = choose_share(task.train, max(settings.shares), seed)
        _check_rows(task, rows, max(settings.shares))
        scores.append(task.score(task.dev.labels, predict(rows, seed).test)[settings.metric])
    return sum(scores) / len(scores)


def _prepare(settings: EvaluateSettings, *, progress: bool = False) -> _Prepared:
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
    config = config_of_model(folder)  # a missing model is reported first
    evaluation: ModalityMethods = modality_of_model(config.model_type).evaluation
    methods = evaluation.of_task(settings)
    methods.check(settings, config)
    task = _read_task(settings, methods, config.model_type, progress=progress)
    texts = {name: split.joined() for name, split in task.splits.items()}
    found = find_leakage(texts, labels={name: split.labels for name, split in task.splits.items()})
    name = settings.name or (given.resolve().name if given.is_dir() else settings.model.replace("/", "-"))
    variant = methods.variant(settings)
    what = "-".join(filter(None, (task.name, settings.method, variant)))
    output = Path(settings.output or (Path("evaluations") / name if run is None else run / "evaluation") / what)
    if output.exists() and not output.is_dir():
        raise InputError(f"the output {output} is a file; give the name of a folder with -o")
    leakage = found.to_json() | {"summary": task.summarise(found)}
    name += f" ({variant})" if variant else ""
    return _Prepared(settings, methods, folder, name, task, leakage, found.unseen("test"), output)


def _read_task(settings: EvaluateSettings, methods: ModalityMethods, model_type: str, *, progress: bool) -> Task:
    try:
        return methods.read_task(settings, progress=progress)
    except InputError as error:
        if methods.name == PAIRS or not question_files(settings.task.files):
            raise
        raise InputError(
            f"{', '.join(settings.task.files)} holds questions about clips, which a model of {PAIRS} answers, and "
            f"{settings.model!r} is a model of {methods.name} ({model_type}); give another model, or labelled "
            f"{'texts' if methods.name == 'text' else 'clips'}"
        ) from error


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


def _share(prepared: _Prepared, predict: Predict, share: float, seed: int) -> dict[str, Any]:
    """Train on a share of the examples, and return its part of the results."""
    task, started = prepared.task, time.monotonic()
    rows: list[int] = []
    if prepared.settings.method not in prepared.methods.untrained:
        rows = choose_share(task.train, share, seed)
        _check_rows(task, rows, share)
    predicted = predict(rows, seed)
    on_dev = task.score(task.dev.labels, predicted.dev) if predicted.dev else {}
    unseen = [row for row, alone in enumerate(prepared.unseen) if alone]
    return {
        "share": share,
        "num_train": len(rows),
        "predictions": predicted.test,
        "dev": {name: value for name, value in on_dev.items() if name in METRICS},
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


def _describe(prepared: _Prepared) -> dict[str, Any]:
    """Return what is the same in the files of all seeds."""
    task = prepared.task
    return {
        "name": prepared.name,
        "model": prepared.settings.model,
        "model_hash": identify_model(resolve_model(prepared.folder)),
        "continued": Lineage.read(prepared.folder).to_json(),
        "method": prepared.settings.method,
        "task": {
            "name": task.name,
            "kind": task.kind,
            "labels": task.labels,
            "outside": task.outside,
            **{f"num_{name}": len(split) for name, split in task.splits.items()},
            "dev_from_train": task.dev_from_train,
            **task.sources(),
            "hash": task.hash,
            "leakage": prepared.leakage,
        },
        "settings": _deciding(prepared),
        "targets": task.test.labels,
        "unseen": prepared.unseen,
    }


def _deciding(prepared: _Prepared) -> dict[str, Any]:
    """Return the settings on which the outcome depends, but for what is evaluated."""
    settings = json.loads(json.dumps(asdict(prepared.settings)))
    for name in ("model", "task", "seeds", "first_seed", "device", "name", "output"):
        del settings[name]
    return prepared.methods.deciding(settings, prepared.settings.method)


def _surroundings() -> dict[str, Any]:
    """Return the versions and the hardware that results were made with."""
    versions = {"diffmask": __version__} | {name: version(name) for name in _LIBRARIES}
    return {"versions": versions, "hardware": describe_hardware()}
