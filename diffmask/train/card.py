"""The model card: how a model was made, written beside its weights."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

import diffmask

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "wordfreq")


def write_card(
    path: Path,
    front: Mapping[str, Any],
    config: Mapping[str, Any],
    inputs: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> None:
    """Write a README.md that records settings, inputs with their hashes, versions and the last evaluation.

    Args:
        path: Where to write.
        front: The card's front matter, but for the library's name.
        config: The run's settings.
        inputs: The files that were read, with hashes, and what is known of the anchors.
        metrics: The last evaluation.
    """
    sections = [
        f"---\n{yaml.safe_dump({'library_name': 'transformers', **front}, sort_keys=False)}---",
        f"# {config['model']}, continued",
        f"Continued from `{config['model']}` with diffmask, masking policy `{config['masking']['policy']}`.",
        "## Evaluation",
        _table(metrics) if metrics else "No held-out data were given.",
        "## Settings",
        _code(config),
        "## Inputs",
        _code(inputs),
        "## Versions",
        _code(versions()),
    ]
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions of what a run depends on."""
    own = {"diffmask": diffmask.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in PACKAGES}


def _table(metrics: Mapping[str, float]) -> str:
    rows = [
        f"| {name} | {value:.4f} |" if isinstance(value, float) else f"| {name} | {value:,} |"
        for name, value in metrics.items()
    ]
    return "\n".join(["| measure | value |", "|---|---|", *rows])


def _code(mapping: Mapping[str, Any]) -> str:
    return f"```yaml\n{yaml.safe_dump(dict(mapping), sort_keys=False, allow_unicode=True)}```"
