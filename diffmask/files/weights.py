"""Weights that are pickles: told apart before a library fails to read them, with how to convert them."""

from pathlib import Path

from diffmask.core.errors import InputError

_PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth", ".tar")


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
