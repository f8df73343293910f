"""The labelled task that a scorer is made from: which of its texts are trained on, and which are held out."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffmask.config.evaluation import SINGLE_LABEL, TaskSettings
from diffmask.files.splits import splits_named
from diffmask.tasks.task import HELD_OUT_SHARE, Split, Task, hash_task, label_names, read_examples
from diffmask.text.corpus.documents import Sources, list_files

TRAINING, HELD_OUT, LEFT_OUT = "training", "held out", "left out"
_USES = {"train": TRAINING, "dev": HELD_OUT, "test": LEFT_OUT}


_logger = logging.getLogger(__name__)


def find_files(sources: Sources) -> list[tuple[Path, str]]:
    """Return the files of a task, each with what it is used for, which its name tells.

    Of several files, those named test are left out, and those named dev (or val, valid, eval, ...) are held out. If no
    file is left for training, all are trained on.
    """
    files = [(path, _USES[(splits_named(path) or ["train"])[0]]) for path in list_files(sources)]
    if all(use != TRAINING for _, use in files):
        return [(path, TRAINING) for path, _ in files]
    return files


def read_single_texts(
    files: Sequence[tuple[Path, str]],
    *,
    text: str | None = None,
    label: str | None = None,
    max_texts: int | None = None,
    seed: int = 0,
) -> Task:
    """Read a task of one label per text, in the splits train and dev; no text of dev is trained on.

    Where no text is held out, a tenth of all is, chosen by their content.

    Args:
        files: What `find_files` has found.
        text: Name of the column of texts; None finds it.
        label: Name of the column of labels; None finds it.
        max_texts: Number of texts to train on, chosen by their content; a fifth as many are held out. None takes all.
        seed: Decides both choices.

    Raises:
        InputError: A file cannot be read, has no labels or no texts, or all labels are the same.
    """
    settings = TaskSettings((), kind=SINGLE_LABEL, text=text, label=label)
    found: dict[str, dict[str, str]] = {TRAINING: {}, HELD_OUT: {}}
    for path, use in files:
        if use != LEFT_OUT:
            for words, _, name in read_examples([path], settings, single_texts=True)[1]:
                found[use].setdefault(words, name)
    names = sorted(label_names(list(found[TRAINING].values()), SINGLE_LABEL))
    training, held_out = (
        dict(sorted(found[use].items(), key=lambda pair: _order(pair[0], seed))) for use in (TRAINING, HELD_OUT)
    )
    held_out = {words: name for words, name in held_out.items() if words not in training}
    if not held_out:
        # the end of the order, whose start is what `max_texts` takes
        last = list(training)[len(training) - max(1, round(HELD_OUT_SHARE * len(training))) :]
        held_out = {words: training.pop(words) for words in last}
    rows = {name: row for row, name in enumerate(names)}
    if num_unknown := sum(name not in rows for name in held_out.values()):
        _logger.warning("%s held-out texts have labels that no training text has, and are left out", f"{num_unknown:,}")
    limit = None if max_texts is None else max(1, max_texts // 5)
    splits = {"train": _split(training, rows, max_texts), "dev": _split(held_out, rows, limit)}
    return Task(str(files[0][0]), SINGLE_LABEL, names, splits, hash_task(names, splits))


def _split(found: Mapping[str, str], rows: Mapping[str, int], limit: int | None) -> Split:
    # a label that was not trained on cannot be predicted
    pairs = [(words, rows[name]) for words, name in found.items() if name in rows][:limit]
    return Split([words for words, _ in pairs], None, [row for _, row in pairs])


def _order(words: str, seed: int) -> bytes:
    return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8, salt=str(seed).encode()[:16]).digest()
