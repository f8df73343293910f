"""What makes a domain different: TF-ICF, how many times more frequent a type is in the domain than in general.

It needs only frequencies of types, so the same function serves words and visual words.
"""

from torch import Tensor

from diffmask.core.types import TypeScores

EPSILON = 1e-6
"""Added to the general frequency, so that types that the reference has never seen have one: one in a million."""


def tf_icf(domain_frequencies: Tensor, reference_frequencies: Tensor, epsilon: float = EPSILON) -> TypeScores:
    """Return term frequency times inverse corpus frequency, `f_domain / (f_reference + epsilon)`, float64 (V,).

    It reads as "so many times its general frequency". The logarithmic form, `f_domain * log(1 / f_reference)`, would
    put "of", "and" and "the" first.

    >>> import torch
    >>> tf_icf(torch.tensor([0.25, 0.5]), torch.tensor([0.5, 0.0]), epsilon=0.5).tolist()
    [0.25, 1.0]
    """
    assert domain_frequencies.shape == reference_frequencies.shape
    assert epsilon > 0
    return domain_frequencies.double() / (reference_frequencies.double() + epsilon)


def reference_frequencies(domain_frequencies: Tensor, scores: TypeScores, epsilon: float = EPSILON) -> Tensor:
    """Return the general frequencies from which TF-ICF was computed; those below 1e-12 are rounding errors of zero."""
    frequencies = domain_frequencies.double() / scores.double() - epsilon
    return frequencies.masked_fill(frequencies < 1e-12, 0.0)
