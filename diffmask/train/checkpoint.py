"""A checkpoint: sealed with the checksums of its files once it is whole, and checked before a run continues from it."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from diffmask.core.errors import InputError, first_line
from diffmask.files.cache import checksum
from diffmask.files.folders import settle, write_text
from diffmask.files.json_object import read_object

MANIFEST_FILE = "manifest.json"
"""File of a checkpoint, written last: the size and the checksum of each of the others."""
POLICY_FILE = "policy.safetensors"
"""File of a checkpoint with what the policy has learned."""
STATE_FILE = "trainer_state.json"
_FORMAT = 1
_ZIPS = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
"""What the Trainer writes beside the weights, each an archive that knows the checksums of its parts."""


def seal(checkpoint: Path) -> None:
    """Write the manifest of a checkpoint of which all files are there, once the disk has them."""
    settle(checkpoint)
    files = {
        str(path.relative_to(checkpoint)): {"num_bytes": path.stat().st_size, "crc32": checksum(path)}
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file()
    }
    write_text(checkpoint / MANIFEST_FILE, json.dumps({"format": _FORMAT, "files": files}, indent=1) + "\n")


def damage(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, None if it is whole.

    Those of earlier versions have no manifest: their files must be there, and be whole as far as each of them tells.
    """
    manifest = checkpoint / MANIFEST_FILE
    if not manifest.exists():
        return next(_damage_without_manifest(checkpoint), None)
    try:
        files = json.loads(manifest.read_bytes())["files"]
        known = {name: (int(each["num_bytes"]), int(each["crc32"])) for name, each in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"its {MANIFEST_FILE} is damaged"
    for name, (num_bytes, crc32) in known.items():
        path = checkpoint / name
        if not path.is_file():
            return f"its {name} is missing"
        if path.stat().st_size != num_bytes:
            return f"its {name} has {path.stat().st_size:,} bytes in the place of {num_bytes:,}"
        if checksum(path) != crc32:
            return f"its {name} has changed since it was written"
    return None


def _damage_without_manifest(checkpoint: Path) -> Iterator[str]:
    try:
        state = json.loads((checkpoint / STATE_FILE).read_bytes())
        if not isinstance(state["global_step"], int):
            yield f"its {STATE_FILE} is damaged"
    except FileNotFoundError:
        yield f"its {STATE_FILE}, which is written last, is missing"
    except (ValueError, KeyError, TypeError):
        yield f"its {STATE_FILE} is damaged"
    names = weights_files(checkpoint)
    if not any((checkpoint / name).exists() for name in names):
        if any(path.is_dir() for path in checkpoint.iterdir()):
            return  # FSDP and DeepSpeed have files of their own
        yield f"its {SAFE_WEIGHTS_NAME} is missing"
    for name in (*names, POLICY_FILE):
        if not (checkpoint / name).exists():
            if name != POLICY_FILE:
                yield f"its {name} is missing"
            continue
        try:
            with safe_open(checkpoint / name, "pt"):
                pass
        except (SafetensorError, OSError):
            yield f"its {name} is damaged"
    ranks = sorted(path.name for path in checkpoint.glob("rng_state_*.pth"))
    for name in (*_ZIPS[:2], *(ranks or _ZIPS[2:])):
        if not (checkpoint / name).exists():
            yield f"its {name} is missing"
        elif not _is_whole_zip(checkpoint / name):
            yield f"its {name} is damaged"


def _is_whole_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError):
        return False


def weights_files(checkpoint: Path) -> list[str]:
    """Return the names of the files that hold the weights of a checkpoint, whether they are there or not."""
    index = checkpoint / SAFE_WEIGHTS_INDEX_NAME
    if index.exists():
        try:
            return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            return [SAFE_WEIGHTS_NAME]  # which is missing beside a damaged index
    adapter = "adapter_model.safetensors"
    return [adapter if (checkpoint / adapter).exists() else SAFE_WEIGHTS_NAME]


def step_of(checkpoint: Path) -> int:
    """Return the step of a checkpoint, which is the end of its name."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def checkpoints_of(run: Path) -> list[Path]:
    """Return the checkpoints of a run, whole or not, by their steps."""
    found = (path for path in run.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.name.rsplit("-", 1)[1].isdecimal())
    return sorted((path for path in found if path.is_dir()), key=step_of)


def remove_old(run: Path, step: int, keep: int | None, best: str | None) -> None:
    """Delete all but the last checkpoints of a run; those of later steps, which it could not use, are not counted.

    Args:
        run: The run.
        step: Of the checkpoint that was just written.
        keep: How many are kept; None keeps all.
        best: One that is kept in any case.
    """
    if not keep:
        return
    past = [path for path in checkpoints_of(run) if step_of(path) <= step]
    protected = {past[-1], *([Path(best)] if best else [])}
    others = [path for path in past if path not in protected]
    for path in others[: max(0, len(past) - max(keep, len(protected)))]:
        if not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def read_policy(checkpoint: Path) -> dict[str, Tensor]:
    """Return what the policy had learned at a checkpoint; nothing if it is one that does not learn.

    Raises:
        InputError: If the file is damaged.
    """
    path = checkpoint / POLICY_FILE
    try:
        return load_file(path) if path.exists() else {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged ({first_line(error)}); continue from another checkpoint") from error


def check_checkpoint(checkpoint: Path) -> None:
    """Refuse to continue from a checkpoint that is sealed and not whole any more.

    Raises:
        InputError: It names the file.
    """
    reason = damage(checkpoint) if (checkpoint / MANIFEST_FILE).exists() else None
    if reason is not None:
        raise InputError(f"the checkpoint {checkpoint} is damaged: {reason}; continue from another one")


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return where the training was at a checkpoint.

    Raises:
        InputError: If the file is damaged.
    """
    schema = {"global_step": int, "max_steps": int}
    return read_object(checkpoint / STATE_FILE, schema, "give another checkpoint of the run")
