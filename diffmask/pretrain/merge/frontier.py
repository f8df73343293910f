"""The frontier between an original model and a continued one: what each share of the way between them is worth."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from diffmask.assemble.modality import modality_of, read_config, resolve
from diffmask.assemble.training import build_arguments
from diffmask.config.evaluation import EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.files.pretrained import quiet_loading
from diffmask.pretrain.merge.weights import Line
from diffmask.pretrain.subject import Rows, Subject, make_trainer
from diffmask.text.model.load import resolve_model
from diffmask.text.score.position_scores import hash_model
from diffmask.train.folder import SETTINGS_FILE, read_inputs
from diffmask.train.record import Lineage, identify_model, plain_name, write_short_card
from diffmask.train.trainer import MaskedTrainer

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The usual shares of the way."""


@dataclass(frozen=True)
class MergeSettings:
    """What is merged, and what it is measured on.

    Attributes:
        run: Folder of a run.
        shares: Of the way from its original to its model, each in [0, 1].
        general: Text or clips of no domain, as `data.eval` takes them; empty measures no general loss.
        task: Evaluation whose dev score is measured; its model is set here. None measures none.
        keep: The share whose model is saved; None saves the best on dev, or nothing without a task.
        device: Where to compute: auto, cpu, cuda, ...

    Raises:
        InputError: If a share is outside [0, 1] or given twice, or the one to keep is not among them.
    """

    run: Path
    shares: tuple[float, ...] = SHARES
    general: tuple[str, ...] = ()
    task: EvaluateSettings | None = None
    keep: float | None = None
    device: str = "auto"

    def __post_init__(self):
        """Check the shares."""
        for share in self.shares:
            if not 0 <= share <= 1:
                raise InputError(f"the share {share:g} is outside [0, 1]; 0 is the original, 1 the continued model")
        if len(set(self.shares)) < len(self.shares):
            raise InputError("a share is given twice; give each once")
        if self.keep is not None and self.keep not in self.shares:
            shown = " ".join(f"{share:g}" for share in self.shares)
            raise InputError(f"--keep {self.keep:g} is none of the shares ({shown}); add it to --share")


@dataclass(frozen=True)
class Point:
    """What one model between the two is worth.

    Attributes:
        share: Of the way from the original to the continued model.
        domain_loss: Loss of the rows that the run held out, under its fixed masks.
        general_loss: Loss of the general data under masks of the same law; None where there are none.
        dev_score: Mean score of the task's dev split; None without a task.
    """

    share: float
    domain_loss: float
    general_loss: float | None
    dev_score: float | None


@dataclass(frozen=True)
class Frontier:
    """What was measured.

    Attributes:
        settings: What was merged.
        original: Name of the run's original; of a folder, without the folders around it.
        models: The weights of both ends, as `identify_model` names them.
        points: One for each share, in rising order.
        kept: The share whose model was saved; None if none was.
    """

    settings: MergeSettings
    original: str
    models: dict[str, str]
    points: tuple[Point, ...]
    kept: float | None

    def to_json(self) -> dict[str, Any]:
        """Return what is recorded."""
        task = self.settings.task
        return {
            "run": self.settings.run.name,
            "original": self.original,
            "models": self.models,
            "rule": "share of the way from the original's weights to the continued ones",
            "kept": self.kept,
            "general": [Path(each).name for each in self.settings.general],
            "task": None
            if task is None
            else {"files": [Path(each).name for each in task.task.files], "method": task.method, "metric": task.metric,
                  "seeds": task.seeds, "split": "dev"},
            "points": [asdict(point) for point in self.points],
        }  # fmt: skip


def best_on_dev(points: Sequence[Point]) -> float | None:
    """Return the share with the best dev score, of equal ones that nearest to the original; None without scores.

    >>> best_on_dev([Point(0.0, 4.0, None, 0.5), Point(0.5, 3.0, None, 0.7), Point(1.0, 2.0, None, 0.7)])
    0.5
    """
    scored = [(point.dev_score, -point.share) for point in points if point.dev_score is not None]
    return -max(scored)[1] if scored else None


def merge(
    settings: MergeSettings, output: Path, score: Callable[[EvaluateSettings], float], *, progress: bool = False
) -> Frontier:
    """Measure the models between a run's original and its own, and save one of them as output/model.

    Three models are held at a time: the two ends and the one between.

    Args:
        settings: What is merged.
        output: An existing folder for the model that is kept.
        score: Returns the score of a model on the dev split of a task.
        progress: Show progress bars.

    Raises:
        InputError: If the run, its original, its held-out rows or the task cannot be used, or the models do not match.
    """
    config = _read_run(settings)
    subject = _original(config, settings.run)
    line = Line.between(subject.model, settings.run / "model", subject.fresh)
    rows = subject.read(progress=progress)
    if rows.evaluation is None:
        raise InputError(
            f"the run {settings.run} held nothing out, so there is no loss to measure; run it with data.eval"
        )
    general = _general_rows(config, settings.general, progress=progress)
    points = []
    with tempfile.TemporaryDirectory(dir=output) as drafts:
        arguments = build_arguments(config.training, drafts, evaluates=False, progress=progress)
        trainer = make_trainer(subject.model, arguments, subject.masking, rows, [], processing=subject.processing)
        for share in sorted(settings.shares):
            line.go_to(share)
            domain = trainer.evaluate()["eval_loss"]
            other = None if general is None else trainer.evaluate(general.evaluation)["eval_loss"]
            points.append(Point(share, domain, other, _dev_score(trainer, settings.task, score, Path(drafts))))
    name = plain_name(config.model)
    kept = best_on_dev(points) if settings.keep is None else settings.keep
    if kept is not None:
        line.go_to(kept)
        _save(trainer, output / "model")
        lineage = Lineage.read(settings.run / "model" if kept else resolve_model(config.model))
        _write_card(output / "model", name, kept, lineage)
    ends = {"original": resolve_model(config.model), "continued": settings.run / "model"}
    models = {end: identify_model(folder) for end, folder in ends.items()}
    return Frontier(settings, name, models, tuple(points), kept)


def _dev_score(
    trainer: MaskedTrainer, task: EvaluateSettings | None, score: Callable[[EvaluateSettings], float], drafts: Path
) -> float | None:
    """Return the score of the model that a trainer holds, saved for the evaluation to load."""
    if task is None:
        return None
    _save(trainer, drafts / "model")
    return score(replace(task, model=str(drafts / "model"), output=str(drafts / "results")))


def _read_run(settings: MergeSettings) -> Any:
    """Return the settings of a run, without what was learned beside."""
    path = settings.run / SETTINGS_FILE
    if not path.is_file() or not (settings.run / "model").is_dir():
        raise InputError(
            f"{settings.run} is no complete run; give a folder of `diffmask pretrain`, with {SETTINGS_FILE} and model/"
        )
    config = read_config(path)
    device = None if settings.device == "auto" else settings.device
    config = replace(config, training=replace(config.training, device=device or config.training.device))
    return replace(config, task=None) if hasattr(config, "task") else config


def _original(config: Any, run: Path) -> Subject:
    """Load the model that a run started from.

    Raises:
        InputError: If it is not there, or is not what it was.
    """
    try:
        subject = modality_of(config).subject(config, resolve(config))
    except InputError as error:
        raise InputError(f"the run {run} cannot be merged with its original, {config.model!r}: {error}") from error
    noted = read_inputs(run).get("model")
    if noted is not None and noted != hash_model(subject.model, without=subject.fresh):
        raise InputError(
            f"{config.model!r} has other weights than when the run {run} was continued from it; put the original back"
        )
    return subject


def _general_rows(config: Any, files: tuple[str, ...], *, progress: bool) -> Rows | None:
    """Return general data as rows that are held out, which the run's masking law is measured on."""
    if not files:
        return None
    general = replace(config, data=replace(config.data, eval=files))
    return modality_of(general).subject(general, resolve(general)).read(progress=progress)


def _save(trainer: MaskedTrainer, folder: Path) -> None:
    with quiet_loading():
        trainer.save_model(str(folder))
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, of no use to whoever loads the model


def _write_card(folder: Path, original: str, share: float, lineage: Lineage) -> None:
    """Say in the model's card what it was made of."""
    told = (
        f"Each weight is {1 - share:g} times that of `{original}` plus {share:g} times that of the model continued "
        "from it with diffmask (WiSE-FT, Wortsman et al. 2022)."
    )
    write_short_card(folder, f"{original}, merged", told, lineage)
