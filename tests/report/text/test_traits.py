import pytest
import torch
from support.domain import COUNTS, GENERAL, domain_anchors

from diffmask.report.text.look import BANDS, DOMAIN, FUNCTION, NUMBERS, PUNCTUATION, TRAITS, Traits


@pytest.fixture(scope="module")
def traits():
    return Traits(domain_anchors(), threshold=10.0)


def test_a_word_is_the_domains_own_from_the_threshold_on(traits):
    total = sum(COUNTS.values())
    own = {word for word in COUNTS if COUNTS[word] / total / (GENERAL[word] + 1e-6) >= 10}
    assert {word for word in COUNTS if traits.is_domain(word)} == own
    assert "kinase" in own and "the" not in own
    assert not traits.is_domain("quark")


def test_a_word_that_the_reference_does_not_know_and_a_number_are_no_function_words(traits):
    assert traits.is_function("the") and traits.is_function("of")
    assert not traits.is_function("kinase") and not traits.is_function("7") and not traits.is_function(",")


@pytest.mark.parametrize(
    ("word", "band"),
    [
        ("the", "1 in 1,000 words or more"),
        ("found", "1 in 10,000 or more"),
        ("rat", "1 in 100,000 or more"),
        ("protein", "1 in a million or more"),
        ("binds", "rarer or unknown"),
        ("kinase", "rarer or unknown"),
        ("never seen", "rarer or unknown"),
        ("7", NUMBERS),
        ("1984", NUMBERS),
        (",", PUNCTUATION),
        ("_", PUNCTUATION),
    ],
)
def test_every_unit_has_one_band(traits, word, band):
    assert traits.band(word) == band
    row = dict(zip(TRAITS, traits.of([word])[0].tolist(), strict=True))
    assert [name for name in (*BANDS, NUMBERS, PUNCTUATION) if row[name]] == [band]


def test_shares_against_a_slow_loop(traits):
    words = [*COUNTS, ",", "quark"]
    generator = torch.Generator().manual_seed(0)
    types = torch.randint(-1, len(words), (5, 9), generator=generator)
    amounts = torch.rand(5, 9, generator=generator)
    found = Traits.shares(amounts, types, traits.of(words))
    total, sums = 0.0, dict.fromkeys(TRAITS, 0.0)
    for row in range(5):
        for unit in range(9):
            if types[row, unit] >= 0:
                word, amount = words[types[row, unit]], amounts[row, unit].item()
                total += amount
                sums[DOMAIN] += amount * traits.is_domain(word)
                sums[FUNCTION] += amount * traits.is_function(word)
                sums[traits.band(word)] += amount
    assert found == pytest.approx({name: value / total for name, value in sums.items()})
    assert sum(found[name] for name in (*BANDS, NUMBERS, PUNCTUATION)) == pytest.approx(1)
