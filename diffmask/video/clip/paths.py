"""Which clip a name in a table means: its whole path, or the end of one, with or without the suffix of the file."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePath

from diffmask.core.errors import InputError


def clips_named(names: Iterable[str], paths: Iterable[str]) -> dict[str, str]:
    """Return the path that each name means; names that mean none are left out.

    Raises:
        InputError: If a name could mean several.
    """
    whole = {os.path.abspath(path): path for path in paths}
    meant = {name: whole[os.path.abspath(name)] for name in names if os.path.abspath(name) in whole}
    ends = {name: PurePath(name).parts for name in names if name not in meant}
    wanted, lengths = set(ends.values()), {len(end) for end in ends.values()}
    full: dict[tuple[str, ...], list[str]] = defaultdict(list)
    bare: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in whole.values():
        parts = PurePath(path).parts
        for end in (parts[-length:] for length in lengths if length <= len(parts)):
            without = (*end[:-1], PurePath(path).stem)
            if end in wanted:
                full[end].append(path)
            if without != end and without in wanted:
                bare[without].append(path)
    for name, end in ends.items():
        found = full[end] or bare[end]
        if len(found) > 1:
            raise InputError(
                f"the boxes of {name!r} could be those of {len(found)} clips, such as {found[0]} and {found[1]}; "
                "write as much of the path as tells them apart"
            )
        if found:
            meant[name] = found[0]
    return meant
