"""Settings of an evaluation that cannot be used."""

from diffmask.core.errors import InputError
from diffmask.evaluate.settings import METHODS, METRICS, EvaluateSettings


def check_settings(settings: EvaluateSettings) -> None:
    """Refuse settings that cannot be used.

    Raises:
        InputError: For the first of them.
    """
    choices = {"method": METHODS, "metric": METRICS, "precision": ("fp32", "bf16", "fp16")}
    for name, known in choices.items():
        if getattr(settings, name) not in known:
            raise InputError(f"unknown {name} {getattr(settings, name)!r}; choose from: {', '.join(known)}")
    if not settings.shares or not all(0.0 < share <= 1.0 for share in settings.shares):
        raise InputError(f"shares={list(settings.shares)} must lie in (0, 1], such as 0.1, 0.3 and 1")
    tuning, probe = settings.finetune, settings.probe
    least = {
        "seeds": (settings.seeds, 1),
        "first_seed": (settings.first_seed, 0),
        "max_length": (settings.max_length, 8),
        "eval_batch_size": (settings.eval_batch_size, 1),
        "finetune.epochs": (tuning.epochs, 1),
        "finetune.patience": (tuning.patience, 1),
        "finetune.batch_size": (tuning.batch_size, 1),
        "probe.folds": (probe.folds, 2),
        "probe.max_iterations": (probe.max_iterations, 1),
    }
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise InputError(f"{name}={value} is too small; give at least {smallest}")
    for name, values in (("learning_rates", tuning.learning_rates), ("regularisations", probe.regularisations)):
        if not values or min(values) <= 0.0:
            raise InputError(f"{name}={list(values)} must be numbers above 0, at least one")
