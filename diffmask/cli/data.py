"""What the data of a command hold, and which modality its options are for."""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffmask.assemble.modality import Modality


def modality_of_data(args: argparse.Namespace, command: str, *, decides: bool = False) -> "Modality":
    """Return the modality of `args.data`; where they may be of several, what else is given decides.

    Args:
        args: Its options.
        command: Its name, under which each modality lists the options that not all have.
        decides: Whether such an option decides where the data may be of several modalities.

    Raises:
        InputError: If there is nothing, or an option is given that is for another modality.
    """
    from diffmask.assemble.modality import MODALITIES, modality_named
    from diffmask.core.errors import InputError
    from diffmask.video.clip.find import refuse_nothing

    every = [modality_named(name) for name in MODALITIES]
    options = {each.name: each.options[command] for each in every}
    given = [option for option in dict.fromkeys(chain(*options.values())) if getattr(args, option, None) is not None]
    asked = [name for name, own in options.items() if given and set(given) <= set(own)]
    modality = _modality(args, every, asked if decides else ())
    if modality.name == "text" and "text" not in asked:
        refuse_nothing(args.data)
    wrong = next((option for option in given if option not in options[modality.name]), None)
    if wrong is not None:
        owners = " and ".join(name for name, own in options.items() if wrong in own)
        raise InputError(
            f"--{wrong.replace('_', '-')} is an option for {owners}, but {args.data[0]} holds {modality.data}; "
            "leave it out"
        )
    return modality


def _modality(args: argparse.Namespace, every: Sequence["Modality"], asked: Sequence[str]) -> "Modality":
    """Return the modality that is named, or that the data are of; text where they are of no other.

    Args:
        args: The options of the command.
        every: All modalities.
        asked: Names of those that all given options are for.
    """
    from diffmask.assemble.modality import modality_named

    if args.modality is not None:
        return modality_named(args.modality)

    def expected(name: str) -> str | None:
        if asked and (len(asked) == 1 or name not in asked):
            return asked[0]
        return _expected(args)

    # what has clips and texts is told before what has clips
    others = [each for each in reversed(every) if each.name != "text"]
    found = next((each for each in others if each.holds(args.data, partial(expected, each.name))), None)
    return found or modality_named("text")


def _expected(args: argparse.Namespace) -> str | None:
    """Return the modality of the run, the anchors or the model that are given; None if none says."""
    from diffmask.assemble.modality import config_of_model, modality_of_model, read_config
    from diffmask.core.errors import InputError

    config = getattr(args, "config", None)
    if getattr(args, "checkpoint", None) is not None:
        config = args.checkpoint.parent / "config.yaml"
    if config is not None and config.is_file():
        return read_config(config).modality
    if args.anchors is not None:
        folder = Path(args.anchors) if Path(args.anchors).is_dir() else Path(args.anchors).parent
        # anchors of clips with texts have a folder for each side
        records = [each / "anchors.json" for each in (folder.parent, folder)]
        found = [_modality_in(record) for record in records if record.is_file()]
        if found:
            return "video-text" if "video-text" in found else found[-1]
    if args.model is None:
        return None
    try:
        return modality_of_model(config_of_model(args.model).model_type).name
    except InputError:  # whoever loads the model says so
        return None


def _modality_in(record: Path) -> str | None:
    """Return the modality of anchors; None if their record is damaged, as whoever reads them says."""
    try:
        return json.loads(record.read_text(encoding="utf-8")).get("modality", "text")
    except (ValueError, AttributeError):
        return None
