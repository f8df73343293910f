"""Anchors: the types that stand for a domain. Chosen by TF-ICF, then edited by hand where people know better."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import TypeScores


def choose_anchors(tf_icf: TypeScores, eligible: Tensor, num_anchors: int) -> Tensor:
    """Return the rows of the best-scored eligible types, best first, int64 (K,).

    Args:
        tf_icf: How much each type belongs to the domain.
        eligible: Which types may be anchors, bool (V,).
        num_anchors: How many; fewer where fewer are eligible. Equal scores keep the order of the rows.

    Raises:
        InputError: If `num_anchors` is below 1, or no type is eligible.
    """
    if num_anchors < 1:
        raise InputError(f"num_anchors={num_anchors} is below 1; the published method takes 20")
    rows = eligible.nonzero()[:, 0]
    if not len(rows):
        raise InputError("no word of the data may be an anchor; lower min_count, or give more data")
    order = torch.sort(tf_icf[rows], descending=True, stable=True).indices
    return rows[order[:num_anchors]]


def check_anchors(anchors: Sequence[str], where: str = "the anchors") -> list[str]:
    """Return the anchors, which must be some, and different.

    Args:
        anchors: Words.
        where: What they are called in the message.

    Raises:
        InputError: If there is none, or one comes twice.
    """
    if not anchors:
        raise InputError(f"{where}: there is no anchor; give at least one word")
    seen: set[str] = set()
    for anchor in anchors:
        if anchor in seen:
            raise InputError(f"{where}: {anchor!r} comes twice; remove one")
        seen.add(anchor)
    return list(anchors)


def edit_anchors(
    anchors: Sequence[str],
    *,
    add: Iterable[str] = (),
    drop: Iterable[str] = (),
    replace: Mapping[str, str] | None = None,
) -> list[str]:
    """Return anchors edited by hand: first dropped and replaced in place, then added at the end.

    Raises:
        InputError: If a word to drop or replace is not there, or one comes twice in the end.

    >>> edit_anchors(["mm", "kinase", "agonist"], drop=["mm"], replace={"agonist": "ligand"}, add=["enzyme"])
    ['kinase', 'ligand', 'enzyme']
    """
    replace = dict(replace or {})
    drop = list(drop)
    for word in [*drop, *replace]:
        if word not in anchors:
            raise InputError(f"{word!r} is not among the anchors; drop or replace one of: {', '.join(anchors)}")
    kept = [replace.get(anchor, anchor) for anchor in anchors if anchor not in drop]
    return check_anchors([*kept, *add], "the edited anchors")
