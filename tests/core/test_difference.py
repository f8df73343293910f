"""TF-ICF against a loop, and back to the frequencies it came from."""

import pytest
import torch

from diffmask.core.difference import EPSILON, reference_frequencies, tf_icf


def test_tf_icf_is_the_formula():
    domain = torch.tensor([0.5, 0.01, 0.0, 3e-5], dtype=torch.float64)
    reference = torch.tensor([0.06, 2e-6, 0.1, 0.0], dtype=torch.float64)
    slow = [d / (r + 1e-6) for d, r in zip(domain.tolist(), reference.tolist(), strict=True)]
    assert tf_icf(domain, reference).tolist() == pytest.approx(slow, rel=1e-12)


def test_epsilon_bounds_what_the_reference_has_never_seen():
    scores = tf_icf(torch.tensor([1e-3, 1e-3]), torch.tensor([0.0, 0.0]), epsilon=1e-3)
    assert scores.tolist() == pytest.approx([1.0, 1.0])
    assert EPSILON == 1e-6


def test_half_precision_counts_do_not_lose_rare_words():
    scores = tf_icf(torch.tensor([1.0], dtype=torch.float32), torch.tensor([1e-7], dtype=torch.float32))
    assert scores.dtype == torch.float64
    assert scores.item() == pytest.approx(1 / 1.1e-6, rel=1e-6)


def test_the_reference_is_found_again_with_its_zeros():
    torch.manual_seed(0)
    domain = torch.rand(200, dtype=torch.float64) * 1e-2 + 1e-8
    reference = torch.rand(200, dtype=torch.float64) * 1e-3
    reference[::3] = 0
    again = reference_frequencies(domain, tf_icf(domain, reference))
    assert torch.allclose(again, reference, rtol=1e-8, atol=1e-14)
    assert (again[::3] == 0).all()
