"""Anchors: the types that stand for a domain, chosen by TF-ICF and then edited by people who know better."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import TypeScores


def choose_anchors(tf_icf: TypeScores, eligible: Tensor, num_anchors: int) -> Tensor:
    """Return the rows of the best-scored eligible types, best first, int64 (K,).

    Args:
        tf_icf: TF-ICF of each type.
        eligible: Which types may be anchors, bool (V,).
        num_anchors: Number of anchors; fewer if fewer types are eligible. Equal scores keep the order of the rows.

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
    """Return the anchors: at least one, and no two alike.

    Args:
        anchors: The words.
        where: Where they come from, for the message.

    Raises:
        InputError: If there is none, or a word occurs twice.
    """
    if not anchors:
        raise InputError(f"{where}: there is no anchor; give at least one word")
    seen: set[str] = set()
    for anchor in anchors:
        if anchor in seen:
            raise InputError(f"{where}: {anchor!r} occurs twice; remove one")
        seen.add(anchor)
    return list(anchors)


def edit_anchors(
    anchors: Sequence[str],
    *,
    add: Iterable[str] = (),
    drop: Iterable[str] = (),
    replace: Mapping[str, str] | None = None,
) -> list[str]:
    """Return edited anchors: some dropped, some replaced in their places, some added at the end.

    Raises:
        InputError: If a word to drop or replace is no anchor, or a word occurs twice in the end.

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
