"""Loading CLIP models of open_clip by name, folder or file; nothing is fetched unless a tag or hub name is given."""

import difflib
import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from diffmask.core.errors import InputError, library_errors
from diffmask.core.machine import resolve_device
from diffmask.video.score.openclip_tower import Tower

_CONFIG = "open_clip_config.json"
_HUB = "hf-hub:"
_PASS = "pass a file (clip:ViT-B-16:WEIGHTS.safetensors), a folder with open_clip_config.json, or --embedder pixels"
_OTHER = "which needs no weights"


@dataclass(frozen=True)
class OpenClip:
    """A CLIP model, and what it needs to read frames and words.

    Attributes:
        name: What the user called it.
        model: The model of open_clip, in evaluation mode.
        tower: Its image tower.
        config: Its settings.
        mean: Mean of the colours it was trained with.
        std: Standard deviation of these colours.
        weights_hash: sha256 of its weights.
    """

    name: str
    model: Any
    tower: Tower
    config: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights_hash: str

    @cached_property
    def key(self) -> str:
        """Hash of everything that its embeddings depend on, such as colours and the activation besides weights."""
        content = json.dumps([self.weights_hash, self.config, self.mean, self.std], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.logit_scale.device

    @cached_property
    def tokenizer(self) -> Any:
        """Turns texts into token ids; looked for only when it is asked for, since pictures need none."""
        return _tokenizer(self.name, self.config)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) in [0, 1] normalised as in the model's training."""
        mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std

    @classmethod
    def load(cls, spec: str, device: str = "auto") -> Self:
        """Load a model of open_clip.

        Args:
            spec: `FOLDER` with a config and weights, `MODEL:WEIGHTS`, or `hf-hub:NAME`. MODEL is a name of open_clip or
                a config file; WEIGHTS a file, or a tag of open_clip, which is fetched from where it is published.
            device: Where the model runs.

        Raises:
            InputError: If model or weights do not exist, do not fit each other, or yield no patches.
        """
        import open_clip

        target = resolve_device(device)
        name, weights = _split(spec)
        config, preprocess = _read_config(name, spec)
        weights_file, extra = _find_weights(name, weights, spec)
        config, preprocess = config | extra.pop("model", {}), preprocess | extra
        model = _build(config, spec)
        _load(model, weights_file, spec)
        model = model.eval().requires_grad_(False).to(target)
        return cls(
            spec,
            model,
            Tower.of(model.visual, spec),
            config,
            tuple(preprocess.get("mean") or open_clip.OPENAI_DATASET_MEAN),
            tuple(preprocess.get("std") or open_clip.OPENAI_DATASET_STD),
            hash_weights(model),
        )


def _split(spec: str) -> tuple[str, str]:
    """Return the name of the model, and that of its weights if the name does not stand for both."""
    # a name such as hf-hub:NAME has a colon of its own
    if spec.startswith(_HUB) or Path(spec).exists():
        return spec, ""
    name, _, weights = spec.partition(":")
    return name, weights


def hash_weights(model: torch.nn.Module) -> str:
    """Return a sha256 of the weights of a model."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(weights.shape)} {weights.dtype}".encode())
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_config(name: str, spec: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the model and of its preprocessing."""
    import open_clip
    from open_clip.pretrained import download_pretrained_from_hf

    path = Path(name)
    if name.startswith(_HUB):
        path = _fetch(lambda: download_pretrained_from_hf(name.removeprefix(_HUB), _CONFIG), spec)
    if path.is_dir():
        path = path / _CONFIG
        if not path.is_file():
            raise InputError(f"folder {name} has no {_CONFIG}, so it is not a model of open_clip; {_PASS}, {_OTHER}")
    if path.suffix == ".json" and path.is_file():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            model = content.get("model_cfg", content)
            assert {"embed_dim", "vision_cfg", "text_cfg"} <= set(model)
        except (ValueError, AttributeError, AssertionError) as error:
            raise InputError(
                f"{path} is not a config of open_clip (embed_dim, vision_cfg, text_cfg); {_PASS}"
            ) from error
        return model, content.get("preprocess_cfg", {})
    found = open_clip.get_model_config(name.replace("/", "-"))
    if found is None:
        near = difflib.get_close_matches(name, open_clip.list_models(), 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"clip:{spec} names no model of open_clip, no folder and no config file{hint}; {_PASS}")
    return found, {}


def _find_weights(name: str, given: str, spec: str) -> tuple[Path, dict[str, Any]]:
    """Return the file of the weights, and what a tag of open_clip says about them."""
    import open_clip
    from open_clip.pretrained import download_pretrained, download_pretrained_from_hf

    folder = Path(name)
    if folder.is_dir():
        from open_clip.factory import _find_checkpoint_in_dir

        found = _find_checkpoint_in_dir(folder)
        if found is None:
            raise InputError(f"folder {name} holds no weights (.safetensors, .bin, .pt); {_PASS}, {_OTHER}")
        return Path(found), {}
    if name.startswith(_HUB):
        return _fetch(lambda: download_pretrained_from_hf(name.removeprefix(_HUB)), spec), {}
    if not given:
        raise InputError(
            f"clip:{spec} names no weights, and none are downloaded without being asked for; {_PASS}, {_OTHER}"
        )
    if Path(given).is_file():
        return Path(given), {}
    model = name.replace("/", "-")
    tag = open_clip.get_pretrained_cfg(model, given)
    if not tag:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise InputError(
            f"weights {given!r} are neither a file nor a tag of {name} (its tags: {tags}); {_PASS}, {_OTHER}"
        )
    extra: dict[str, Any] = {key: tag[key] for key in ("mean", "std") if key in tag}
    # weights trained with another activation would give wrong embeddings silently
    if "quick_gelu" in tag:
        extra["model"] = {"quick_gelu": tag["quick_gelu"]}
    return _fetch(lambda: download_pretrained(tag), spec, hub=bool(tag.get("hf_hub"))), extra


def _fetch(download: Callable[[], str | Path], spec: str, *, hub: bool = True) -> Path:
    from huggingface_hub import is_offline_mode

    what = f"the weights of clip:{spec} cannot be fetched"
    if not hub and is_offline_mode():
        raise InputError(f"{what}: HF_HUB_OFFLINE is set; {_PASS}, {_OTHER}")
    with library_errors(what, f"{_PASS}, {_OTHER}", OSError, ValueError, RuntimeError):
        return Path(download())


def _build(config: dict[str, Any], spec: str) -> Any:
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP
    from transformers import AutoConfig

    config = json.loads(json.dumps(config))
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    kind = CoCa if "multimodal_cfg" in config else CustomTextCLIP if custom else CLIP
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    unbuildable = (TypeError, KeyError, ValueError, AssertionError)
    with (
        library_errors(f"the config of clip:{spec} cannot be built", "check its keys", *unbuildable),
        library_errors(f"the text tower of clip:{spec} cannot be fetched", _PASS, OSError),
    ):
        if "hf_model_name" in config["text_cfg"]:
            config["text_cfg"]["hf_model_pretrained"] = False
            # open_clip would read it without forbidding code from the hub: read it first, with code forbidden
            AutoConfig.from_pretrained(config["text_cfg"]["hf_model_name"], trust_remote_code=False)
        return kind(**config)


def _load(model: Any, path: Path, spec: str) -> None:
    import open_clip
    from safetensors import SafetensorError

    damaged = (SafetensorError, pickle.UnpicklingError, EOFError, StopIteration, AttributeError, TypeError)
    unfit = f"the weights {path} do not fit the model of clip:{spec}"
    with (
        library_errors(unfit, "give its own", RuntimeError, KeyError, ValueError),
        library_errors(f"{path} holds no weights that can be read", "give .safetensors, or .pt", *damaged),
    ):
        open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)


def _tokenizer(spec: str, config: dict[str, Any]) -> Any:
    import open_clip

    name, _ = _split(spec)
    # a config may ask to run its own code: overruled
    options: dict[str, Any] = {"trust_remote_code": False} if config["text_cfg"].get("hf_tokenizer_name") else {}
    with library_errors(f"the tokenizer of clip:{spec} cannot be fetched", _PASS, OSError, ValueError):
        if Path(name).is_dir():
            return open_clip.get_tokenizer(f"local-dir:{name}", **options)
        if not Path(name).is_file():
            return open_clip.get_tokenizer(name if name.startswith(_HUB) else name.replace("/", "-"), **options)
    return open_clip.SimpleTokenizer(context_length=config["text_cfg"].get("context_length", 77))
