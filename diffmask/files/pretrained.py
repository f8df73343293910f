"""Folders and names of models of transformers: what is asked before text or video loads one, and without noise."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import AutoConfig, PreTrainedConfig
from transformers.utils import logging

from diffmask.core.errors import InputError, library_errors

_PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth", ".tar")
_MOST_LAYERS, _LARGEST_SIZE = 1_000, 10_000_000
_LAYERS = re.compile(r"(^|_)n?_?layers?$|num_(hidden_)?layers|num_blocks")
_SIZES = re.compile(r"_size$|_embeddings$|_dim$|^d_|^dim$|^n_words$|^num_frames$")


def read_config(name: str, folder: str, where: str, what: str | None = None) -> PreTrainedConfig:
    """Return the config of a model: its architecture, without the weights.

    Args:
        name: What the user called the model.
        folder: Its folder, or its name on the hub.
        where: What to give instead, for messages.
        what: How a message about one that cannot be read begins; None says that there is no model.

    Raises:
        InputError: If there is no such model, its config is damaged, or it is a file.
    """
    if Path(folder).is_file():
        refuse_pickle(folder)
    with library_errors(what or f"no model in {name!r}", where, Exception):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    for key, value in config.get_text_config().to_dict().items():
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        limit = _MOST_LAYERS if _LAYERS.search(key) else _LARGEST_SIZE if _SIZES.search(key) else value
        # building such a model would run until it is killed
        if value > limit:
            raise InputError(
                f"config.json of {name!r} says {key}={value}, and no model has more than {limit:,}; copy the file from "
                "where the weights came from"
            )
    return config


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep transformers from reporting what it loads: what matters of it is returned, refused or trained.

    Its progress bar is shown on a terminal only, as those of diffmask are.
    """
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def refuse_pickle(name: str) -> None:
    """Refuse a file that is a pickle, or a folder that holds weights as nothing else.

    Args:
        name: What is to be loaded: a folder, a file, or the name of a model.

    Raises:
        InputError: If its weights are a pickle.
    """
    path = Path(name)
    if path.is_file():
        if path.suffix not in _PICKLES:
            raise InputError(
                f"{name} is a file; give the folder that save_pretrained wrote, with config.json and model.safetensors"
            )
        found, beside = path.name, "beside a config.json in a folder, and give that folder"
    elif path.is_dir() and not any(path.glob("*.safetensors")):
        pickles = sorted(each.name for each in path.iterdir() if each.suffix in _PICKLES)
        # the Trainer's own settings and states are no weights
        pickles = [each for each in pickles if not each.startswith(("training_args", "optimizer", "scheduler", "rng"))]
        if not pickles:
            return
        found, beside = pickles[0], "beside its config.json"
    else:
        return
    raise InputError(
        f"the weights in {name!r} are a pickle ({found}), which may run code when it is read; read it with "
        "torch.load(weights_only=True) and write it as model.safetensors with safetensors.torch.save_file(weights, "
        f'"model.safetensors", metadata={{"format": "pt"}}) {beside}'
    )
