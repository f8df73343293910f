"""Which kind of data the options of a command speak of, where the data themselves do not say."""

import argparse
from pathlib import Path


def expects_clips(args: argparse.Namespace) -> bool | None:
    """Return whether the run, the anchors or the model that are given are of clips; None where they do not say."""
    config = getattr(args, "config", None)
    if getattr(args, "checkpoint", None) is not None:
        config = args.checkpoint.parent / "config.yaml"
    if config is not None and config.is_file():
        from diffmask.assemble.modality import read_config
        from diffmask.config import VideoConfig

        return isinstance(read_config(config), VideoConfig)
    if args.anchors is not None:
        from diffmask.video.anchors.anchor_set import NAMES, RECORD

        folder = Path(args.anchors) if Path(args.anchors).is_dir() else Path(args.anchors).parent
        if (folder / RECORD).is_file():
            # those of words have no picture
            return all((folder / name).is_file() for name in NAMES)
    return None if args.model is None else _is_video_model(args.model)


def _is_video_model(name: str) -> bool | None:
    from diffmask.core.errors import InputError
    from diffmask.text.model.load import load_config
    from diffmask.video.model.load import KINDS

    try:
        return load_config(name).model_type in KINDS
    except InputError:  # said again by who loads it
        return None
