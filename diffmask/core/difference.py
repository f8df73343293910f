"""What makes a domain different: TF-ICF, how many times more frequent a type is in the domain than in general.

The same function serves words and visual words; it sees counts of types only.
"""

from torch import Tensor

from diffmask.core.types import TypeScores

EPSILON = 1e-6
"""Stands for the frequency of what the reference has never seen; a word in a million."""


def tf_icf(domain_frequencies: Tensor, reference_frequencies: Tensor, epsilon: float = EPSILON) -> TypeScores:
    """Return term frequency times inverse corpus frequency, `f_domain / (f_reference + epsilon)`, float64 (V,).

    The logarithmic form `f_domain * log(1 / f_reference)` puts "of", "and" and "the" first; this one does not. It reads
    as "so many times its general frequency".

    >>> import torch
    >>> tf_icf(torch.tensor([0.25, 0.5]), torch.tensor([0.5, 0.0]), epsilon=0.5).tolist()
    [0.25, 1.0]
    """
    assert domain_frequencies.shape == reference_frequencies.shape
    assert epsilon > 0
    return domain_frequencies.double() / (reference_frequencies.double() + epsilon)


def reference_frequencies(domain_frequencies: Tensor, scores: TypeScores, epsilon: float = EPSILON) -> Tensor:
    """Return the general frequencies that TF-ICF was computed from; those below a word in 10^12 are zero."""
    frequencies = domain_frequencies.double() / scores.double() - epsilon
    return frequencies.masked_fill(frequencies < 1e-12, 0.0)
