"""What the data of a command hold, and which modality its options are for."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffmask.assemble.modality import Modality


def modality_of_data(args: argparse.Namespace, command: str, *, decides: bool = False) -> "Modality":
    """Return the modality of `args.data`; where they may be of several, what else is given decides.

    Args:
        args: Its options.
        command: Its name, under which each modality lists the options that no other has.
        decides: Whether such an option decides where the data may be of several modalities.

    Raises:
        InputError: If there is nothing, or an option is given that is for another modality.
    """
    from diffmask.assemble.modality import MODALITIES, modality_named
    from diffmask.core.errors import InputError
    from diffmask.video.clip.find import refuse_nothing

    every = [modality_named(name) for name in MODALITIES]
    own = {
        each.name: [name for name in each.options[command] if getattr(args, name, None) is not None] for each in every
    }
    asked = [name for name, options in own.items() if options]
    others = [each for each in every if each.name != "text"]
    found = next(
        (each for each in others if each.holds(args.data, lambda: _expected(args, asked if decides else []))), None
    )
    modality = found or modality_named("text")
    if found is None and asked != ["text"]:
        refuse_nothing(args.data)
    for name, options in own.items():
        if options and name != modality.name:
            option = f"--{options[0].replace('_', '-')}"
            raise InputError(
                f"{option} is an option for {name}, but {args.data[0]} holds {modality.data}; leave it out"
            )
    return modality


def _expected(args: argparse.Namespace, asked: list[str]) -> str | None:
    """Return the modality of the run, the options, the anchors or the model that are given; None if none says."""
    from diffmask.assemble.modality import config_of_model, modality_of_model, read_config
    from diffmask.core.errors import InputError

    config = getattr(args, "config", None)
    if getattr(args, "checkpoint", None) is not None:
        config = args.checkpoint.parent / "config.yaml"
    if config is not None and config.is_file():
        return read_config(config).modality
    if len(asked) == 1:
        return asked[0]
    if args.anchors is not None:
        record = (Path(args.anchors) if Path(args.anchors).is_dir() else Path(args.anchors).parent) / "anchors.json"
        if record.is_file():
            try:
                return json.loads(record.read_text(encoding="utf-8")).get("modality", "text")
            except (ValueError, AttributeError):  # whoever reads the anchors says that they are damaged
                return None
    if args.model is None:
        return None
    try:
        return modality_of_model(config_of_model(args.model).model_type).name
    except InputError:  # whoever loads the model says so
        return None
